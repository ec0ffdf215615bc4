"""Errors that a user can act on: the message is one sentence with the rule, what was given, and the remedy."""


class UserError(Exception):
    """Base of the errors whose message is written for the user: a command prints it and exits with code 2."""


class ConfigError(UserError, ValueError):
    """A setting, or a set of settings, that cannot be run as given."""


class ProtocolError(ConfigError):
    """The corpus cannot be split as the protocol asks (too few subjects, a class without a training clip, ...)."""


class ResultsError(UserError, ValueError):
    """A results.json, or the predictions.csv beside it, that cannot be read or is inconsistent."""
