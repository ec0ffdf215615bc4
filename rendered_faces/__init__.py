"""Rendered faces: motion, light and frames of a performance. Imports nothing of the corpora."""
