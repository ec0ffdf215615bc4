"""What only one family of networks needs."""
