"""The problems of several checks, told together."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from labledger.errors import ConfigError, problems_in
from labledger.yaml_files import in_order_of_lines

T = TypeVar("T")


class ProblemList:
    """The problems that checks have found, each once."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def of(self, check: Callable[[], T]) -> T | None:
        """Return what a check returns; None where it raises a ConfigError, whose problems are kept."""
        try:
            return check()
        except ConfigError as error:
            self.add(problems_in(error))
            return None

    def add(self, problems: Iterable[str]) -> None:
        """Keep problems, those that are not there yet."""
        self.found = list(dict.fromkeys([*self.found, *problems]))

    def refuse(self) -> None:
        """Do nothing where there are none.

        Raises:
            ConfigError: there are: one a line, in the order of their places.
        """
        if self.found:
            raise ConfigError("\n".join(in_order_of_lines(self.found)))
