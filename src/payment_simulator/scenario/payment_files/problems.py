"""Rows of a file of payments that cannot be used: where they stand, how many there are, and what to do."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from labledger.errors import ConfigError
from labledger.untrusted_text import SHOWN, clean, reason_of
from labledger.yaml_files import Location
from payment_simulator.scenario.payment_files.source import Source

MOST_LINES = 20
"""Rows that a message names; of the others it has the number."""

OWN_LINE = re.compile(r"[^:]*:[0-9]+:")
"""The beginning of a problem that has a place: a file and a line."""
BESIDE = ("id", "priority", "divisible")
"""Columns without whose values a row can be checked all the same."""

Mask = NDArray[np.bool_]


class SectionError(ConfigError):
    """A file that a section of the scenario names cannot be used: `problems`, a line each, to be told at the key."""

    def __init__(self, location: Location, *problems: str) -> None:
        named = ".".join(map(str, location))
        super().__init__("\n".join(f"{named}: {problem}" for problem in problems))
        self.location = location

    def placed(self, place: Callable[[Location], str]) -> ConfigError:
        """Return the error with the file and line of the key, where it has them."""
        where = place(self.location)
        return ConfigError("\n".join(": ".join(filter(None, (where, line))) for line in str(self).splitlines()))


class PaymentsKeyError(SectionError):
    """A key under `payments` is wrong, which a message without its file and line names in full."""

    def __init__(self, key: str, *problems: str) -> None:
        super().__init__(("payments", *filter(None, key.split("."))), *problems)


@contextmanager
def reading(source: Source, ours: str) -> Iterator[None]:
    """Read one of our columns of a source.

    Raises:
        PaymentsKeyError: it is of a kind, or has values, that Arrow cannot make anything of.
    """
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OverflowError, IndexError) as error:
        kind = clean(str(source.table.schema.field(source.columns[ours]).type), SHOWN)
        problem = f"{source.shown_column(ours)} is of {kind}, and cannot be read as the {ours}"
        raise PaymentsKeyError(
            f"columns.{ours}", f"{clean(source.name, 300)}: {problem}: {reason_of(error)}"
        ) from error


@dataclass(frozen=True)
class _Group:
    """Rows with one problem, by file: places in the source's table; `text` has the cell, and says what is wrong.

    Of those that are `is_one`, the first row stands for all: what is wrong is not the row.
    """

    source: Source
    rows: NDArray[np.int64]
    column: str
    text: Callable[[str], str]
    remedy: str
    is_one: bool

    def __len__(self) -> int:
        return 1 if self.is_one else len(self.rows)


@dataclass
class Problems:
    """Collects rows that cannot be used, from all files, and refuses them together."""

    _groups: list[_Group] = field(default_factory=list)

    def add(
        self,
        source: Source,
        bad: Mask,
        column: str,
        text: Callable[[str], str] | str,
        remedy: str = "",
        *,
        is_one: bool = False,
    ) -> None:
        """Note the rows of a source's table where `bad` is true.

        `column` is our name of the cell that is shown. `text` is the problem, or makes it of the cell; `remedy` is
        what to say in the scenario, once for all of them, with their number for `{n}`. With `is_one` they are one
        problem, told at the first of them.
        """
        (rows,) = np.nonzero(bad)
        if len(rows):
            words = text if callable(text) else _about(text)
            self._groups.append(_Group(source, rows, column, words, remedy, is_one))

    def unusable(self, source: Source) -> Mask:
        """Return the rows of a source's table that have a cell without a value, and cannot be checked further."""
        found = np.zeros(len(source), dtype=np.bool_)
        for group in self._groups:
            if group.source is source and group.column not in BESIDE:
                found[group.rows] = True
        return found

    def refuse(self) -> None:
        """Do nothing where there are none.

        Raises:
            ConfigError: there are: a line for each of the first, in the order of files and rows, below the last of
                them the number of the others, and what to do about them.
        """
        if not self._groups:
            return
        total = sum(map(len, self._groups))
        lines = list(self._lines())
        if total > len(lines):
            lines.append(f"  and {total - len(lines):,} more")
        numbers: dict[str, int] = {}
        for group in filter(lambda each: each.remedy, self._groups):
            numbers[group.remedy] = numbers.get(group.remedy, 0) + len(group.rows)
        lines += ["  " + remedy.replace("{n}", f"{number:,}") for remedy, number in numbers.items()]
        raise ConfigError("\n".join(lines))

    def _lines(self) -> Iterator[str]:
        """Yield the first rows: some of each kind of problem, so that many of one hide no other."""
        share = max(1, MOST_LINES // len(self._groups))
        left = MOST_LINES
        for source in dict.fromkeys(id(group.source) for group in self._groups):
            found = []
            for group in (each for each in self._groups if id(each.source) == source):
                shown = group.rows[: min(share, left, len(group))].tolist()
                left -= len(shown)
                cells = group.source.cells(shown, group.column)
                found += [(row, group, cell) for row, cell in zip(shown, cells, strict=True)]
            found.sort(key=lambda each: each[0])
            if found:
                places = found[0][1].source.places([row for row, _, _ in found])
                for place, (_, group, cell) in zip(places, found, strict=True):
                    yield f"{place}: {group.source.shown_column(group.column)}: {group.text(cell)}"


def _about(text: str) -> Callable[[str], str]:
    return lambda cell: f"{cell}: {text}"


def some_of(names: Sequence[str], most: int = 10) -> str:
    """Return names for a message, some of them where there are many."""
    rest = f", and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
