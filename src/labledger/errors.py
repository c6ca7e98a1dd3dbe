"""The root of every error that labledger raises on purpose.

A message says what was found, where, and what to do; it may run over several lines. The command line
prints it as it stands and ends with `exit_code`.
"""


class LabledgerError(Exception):
    """Something a user can act on went wrong."""

    exit_code = 1


class ConfigError(LabledgerError):
    """What the user wrote (a file, a flag) cannot be used as it stands."""

    exit_code = 2


class UnreadableFileError(LabledgerError):
    """A file that should hold a record is not JSON, is cut short, or has a value of a wrong type."""
