"""The errors of llenergymeasure, each with the exit code that the command line ends with."""

from labledger.errors import ConfigError, LabledgerError

__all__ = [
    "BackendError",
    "ConfigError",
    "ExperimentError",
    "LabledgerError",
    "MemoryExhaustedError",
    "MeterError",
    "PreFlightError",
]


class PreFlightError(LabledgerError):
    """The experiment cannot start; the message has every reason, one per line."""


class BackendError(LabledgerError):
    """The backend could not load the model or generate."""


class MemoryExhaustedError(BackendError):
    """The device's memory ran out: a second try would end in the same way."""


class MeterError(LabledgerError):
    """An energy source cannot be read."""


class ExperimentError(LabledgerError):
    """The experiment ran and has no result."""
