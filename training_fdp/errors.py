"""Errors of the training room that a user can act on: each is one sentence with its remedy."""


class ConfigError(ValueError):
    """A setting, or a set of settings, that cannot be run as given."""


class ProtocolError(ConfigError):
    """The corpus cannot be split as the protocol asks (too few subjects, a class nobody teaches, ...)."""


class TrainingError(RuntimeError):
    """A fold that could not be trained to its end (a loss that is not finite, ...)."""


class PublishError(ValueError):
    """A checkpoint, or what lies beside it, that must not or cannot go to the Hub as it is."""
