"""The table of a sweep: means over the draws with their intervals, a row per cell and bank, as a file keeps it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labledger.errors import ConfigError
from labledger.intervals import mean_intervals
from labledger.json_text import JsonError, load_json
from labledger.parquet_files import parquet_bytes, read_parquet
from payment_simulator.sweeps.measures import Floats
from payment_simulator.sweeps.settings import Axis

if TYPE_CHECKING:
    import pyarrow

LEVEL = 0.95
ABOUT = b"labledger"
"""The key of a table's metadata under which it says what it is."""
PARTS = ("", "_low", "_high", "_n", "_difference", "_difference_low", "_difference_high")
MAX_ROWS = 10_000_000
ROWS_AT_A_TIME = 10_000


def rows_of(
    axes: Sequence[Axis], banks: Sequence[tuple[str, ...]], names: Sequence[str], figures: Iterable[Floats]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a sweep, one per cell and bank, and of each cell the system's, whose `bank` is None, first.

    `figures` are of each cell: draws x (banks and, last, the system) x `names`. Of each there is the mean over the
    draws, its interval, the number of draws that it is known in, and the mean difference from the first cell in the
    same draws, with its interval, paired; None is what is not known.
    """
    values = product(*(axis.values for axis in axes))
    base: dict[str | None, Floats] = {}
    for number, (settings, ids, found) in enumerate(zip(values, banks, figures, strict=True)):
        of_bank = {bank: found[:, place] for place, bank in enumerate((*ids, None))}
        if not number:
            base = of_bank
        columns = [*mean_intervals(found, level=LEVEL), *_differences(of_bank, base if number else {})]
        cell = {axis.path: value for axis, value in zip(axes, settings, strict=True)}
        for bank in (None, *ids):
            place = len(ids) if bank is None else ids.index(bank)
            row = {**cell, "bank": bank}
            for figure, name in enumerate(names):
                row |= {name + part: _known(each[place, figure]) for part, each in zip(PARTS, columns, strict=True)}
            yield row


def _differences(of_bank: Mapping[str | None, Floats], base: Mapping[str | None, Floats]) -> Sequence[Floats]:
    nothing = np.full_like(next(iter(of_bank.values())), np.nan)
    pairs = [each - base[bank] if bank in base else nothing for bank, each in of_bank.items()]
    return mean_intervals(np.stack(pairs, axis=1), level=LEVEL)[:3]


def _known(value: Any) -> Any:
    return None if np.isnan(value) else value.item()


def columns_of(axes: Sequence[Axis], names: Sequence[str]) -> dict[str, str]:
    """Return the columns of a sweep's table, and the names of their types in Arrow."""
    columns = {axis.path: _kind_of(axis) for axis in axes} | {"bank": "string"}
    return columns | {name + part: "int64" if part == "_n" else "float64" for name in names for part in PARTS}


def _kind_of(axis: Axis) -> str:
    """Return the type of the column of an axis: of numbers, of true and false, or else text."""
    values = [value for value in axis.values if value is not None]
    if values and all(isinstance(value, bool) for value in values):
        return "bool"
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return "string"
    return "int64" if all(isinstance(value, int) and abs(value) < 2**63 for value in values) else "float64"


def table_bytes(
    rows: Iterable[dict[str, Any]], columns: Mapping[str, str], about: Mapping[str, Any]
) -> tuple[bytes, "pyarrow.Table"]:
    """Return a table, and the bytes of a Parquet file of it; `columns` are types by name, `about` its metadata."""
    import pyarrow as pa

    kinds = {name: pa.type_for_alias(kind) for name, kind in columns.items()}
    schema = pa.schema(kinds, metadata={ABOUT: json.dumps(about)})
    texts = [name for name, kind in columns.items() if kind == "string"]
    parts, waiting = [], list[dict[str, Any]]()
    for row in rows:
        waiting.append(row | {name: _as_text(row[name]) for name in texts})
        if len(waiting) == ROWS_AT_A_TIME:
            parts.append(pa.Table.from_pylist(waiting, schema=schema))
            waiting.clear()
    table = pa.concat_tables([*parts, pa.Table.from_pylist(waiting, schema=schema)])
    return parquet_bytes(table), table


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def read_table(path: Path, kind: str) -> tuple["pyarrow.Table", dict[str, Any]]:
    """Return a table that was written, and what it says of itself.

    Raises:
        ConfigError: it is no table of that kind.
    """
    try:
        table = read_parquet(path, max_rows=MAX_ROWS, follow=True)
        about = load_json((table.schema.metadata or {}).get(ABOUT, b"null"))
    except (OSError, JsonError) as error:
        raise ConfigError(f"{path}: is there already, and cannot be read as a table; name another output") from error
    if not isinstance(about, dict) or about.get("kind") != kind:
        raise ConfigError(f"{path}: is there already, and is no table of this command; name another output")
    return table, about


@dataclass(frozen=True)
class Estimated:
    """A figure of a row: its mean, and the ends of its interval; None is what is not known."""

    mean: float | None
    low: float | None
    high: float | None


def estimated(row: Mapping[str, Any], name: str, *, difference: bool = False) -> Estimated:
    """Return a figure of a row of a table, or its difference from the first cell."""
    parts = PARTS[4:] if difference else PARTS[:3]
    return Estimated(*(row[name + part] for part in parts))
