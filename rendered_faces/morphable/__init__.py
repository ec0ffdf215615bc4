"""Faces of a morphable model (ICT-FaceKit) that the user brings."""
