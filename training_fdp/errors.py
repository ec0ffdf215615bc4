"""Errors of training and publishing that a user can act on; those of settings and splits are the evaluation's."""

from evaluation_fdp.errors import ConfigError, ProtocolError, UserError

__all__ = ["ConfigError", "ProtocolError", "PublishError", "TrainingError", "UserError"]


class TrainingError(UserError, RuntimeError):
    """A fold that could not be trained to its end (a loss that is not finite, ...)."""


class PublishError(UserError, ValueError):
    """A checkpoint, or what lies beside it, that must not or cannot go to the Hub as it is."""


class Interrupted(BaseException):
    """The run was asked to stop and has saved its state.

    Not an `Exception`, as `KeyboardInterrupt` is none: no handler of a fold's failure may take it for one.
    """
