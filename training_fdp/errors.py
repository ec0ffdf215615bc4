"""Errors of training and publishing that a user can act on; those of settings and splits are in `evaluation_fdp`."""

from evaluation_fdp.errors import UserError


class TrainingError(UserError, RuntimeError):
    """A fold that could not be trained to its end (a loss that is not finite, ...)."""


class PublishError(UserError, ValueError):
    """A checkpoint folder that must not or cannot be uploaded to the Hub."""


class Interrupted(BaseException):
    """The run was stopped by a signal and has saved its state.

    Not an `Exception`, like `KeyboardInterrupt`, so that handlers of a failed fold do not catch it.
    """
