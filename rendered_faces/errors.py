"""What can go wrong while faces are rendered; every class is also the built-in error that a caller would expect."""


class RenderingError(RuntimeError):
    """Faces cannot be rendered as asked."""


class RenderingOptionError(RenderingError, ValueError):
    """A setting of the renderer is out of its range."""


class FaceModelNotFoundError(RenderingError, FileNotFoundError):
    """A folder holds no morphable face model, or a file of it is damaged."""
