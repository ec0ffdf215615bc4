"""Rendered faces: their motion, their light and the film of a performance. Knows no corpus."""
