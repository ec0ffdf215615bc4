"""Faces painted from a procedural anatomy; no photograph, scan or trained model is behind them."""
