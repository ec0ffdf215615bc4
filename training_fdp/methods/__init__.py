"""Methods: one module per family of networks, behind the interface of `base.Method`."""
