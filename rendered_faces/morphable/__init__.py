"""Faces of a morphable model (ICT-FaceKit) on the user's disk."""
