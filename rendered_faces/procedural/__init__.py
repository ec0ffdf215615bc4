"""Faces painted from a procedural anatomy, without photographs, scans or trained models."""
