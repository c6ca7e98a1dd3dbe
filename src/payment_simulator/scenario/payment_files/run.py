"""The rest of a scenario, as far as it is known when its file of payments is read."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """The ids of a scenario's banks, and the length of its run; None of what it does not say.

    `named` are those of banks that it names, which may be some of them.
    """

    banks: Collection[str] | None = None
    ticks_per_day: int | None = None
    num_days: int | None = None
    named: Collection[str] = ()

    @property
    def ticks(self) -> int | None:
        """The ticks of the whole run, None where it does not say how long a day is."""
        return None if self.ticks_per_day is None else self.ticks_per_day * (self.num_days or 1)


NOTHING_KNOWN = Run()
