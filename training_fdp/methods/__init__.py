"""Methods: the code of one family of networks each, behind one interface."""
