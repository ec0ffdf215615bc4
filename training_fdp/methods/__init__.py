"""Methods: what only one family of networks needs, behind one interface."""
