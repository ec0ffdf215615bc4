"""Errors of the renderer; every class derives from the fitting built-in error as well."""


class RenderingError(RuntimeError):
    """Faces cannot be rendered as asked."""


class RenderingOptionError(RenderingError, ValueError):
    """A setting of the renderer is out of its range."""


class FaceModelNotFoundError(RenderingError, FileNotFoundError):
    """A folder holds no morphable face model, or a file of it is damaged."""
