"""A result as one flat row, for tables, CSV, Parquet and SQL."""

import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import attrgetter
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from labledger.untrusted_text import clean
from llenergymeasure.domain.experiment import SCHEMA_VERSION, ExperimentResult
from llenergymeasure.domain.figures import Distribution, EnergyUncertainty, LatencyStats
from llenergymeasure.results.config_columns import (
    BEGINNINGS,
    MAX_INT64,
    NO_CONFIG,
    ConfigValues,
    Value,
    config_table,
    config_values,
)

__all__ = ["CONFIG_COLUMNS", "LOAD_COLUMNS", "Row", "Value", "arrow_table", "columns", "flat_row", "time_columns"]

if TYPE_CHECKING:
    import pyarrow

CONFIG_COLUMNS = {
    "model": str,
    "precision": str,
    "device": str,
    "batch_size": int,
    "num_prompts": int,
    "max_output_tokens": int,
}
LOAD_COLUMNS = {"concurrency": int, "request_rate": float}
QUALITY_COLUMNS = {"questions": int, "right": int, "share": float, "low": float, "high": float}
TEXT_LISTS = ("verdict_reasons", "measurement_warnings")
SHOWN_DIGITS = 40
ROWS_AT_A_TIME = 1000


class Column(NamedTuple):
    """A column of the flat table: its type (str, int or float), and its value of a result."""

    kind: type
    value: Callable[[ExperimentResult], Value]


class Row(dict[str, Value]):
    """A flat row. It knows its whole configuration besides: `row["config.decoder.top_k"]`, None where it has none."""

    __slots__ = ("config",)

    def __init__(self, config: ConfigValues = NO_CONFIG) -> None:
        super().__init__()
        self.config = config

    def __missing__(self, name: str) -> Value:
        if name.startswith(BEGINNINGS):
            return self.config.get(name)
        raise KeyError(name)


@cache
def columns() -> dict[str, type]:
    """The name and type (str, int or float) of each column, in order.

    Scalar fields keep their names; of nested ones there are `ttft_ms_mean` (each latency and statistic),
    `energy_uncertainty_edge_j` (each part), the commonest fields of `effective_config`, `failed_requests` of every
    kind, `gpu_names`, `quality_share` (with its interval and what it is of), the audit of a server's token counts in
    words and the output tokens in dispute, and lists of sentences as one text. Times are texts in ISO 8601.
    """
    return {"folder": str, **{name: column.kind for name, column in _columns().items()}}


def flat_row(result: ExperimentResult, folder: Path | None = None, names: Iterable[str] | None = None) -> Row:
    """One row with every column of `columns`, or with those of these names; what a result does not have is None.

    Of its configuration any column may be named, as `config.decoder.top_k`.
    """
    known = _columns()
    row = Row(config_values(result.effective_config))
    for name in columns() if names is None else names:
        if name in known:
            row[name] = known[name].value(result)
        else:
            row[name] = _text_of(folder) if name == "folder" else row.config.get(name)
    return row


@cache
def time_columns() -> frozenset[str]:
    """The columns that are times, as texts in ISO 8601."""
    return frozenset(
        name for name, field in ExperimentResult.model_fields.items() if _scalar(field.annotation) is datetime
    )


def _text_of(folder: Path | None) -> str | None:
    """The folder's name; of one that is no UTF-8 the bytes are written out: no table could hold it."""
    return None if folder is None else os.fsencode(folder).decode("utf-8", "backslashreplace")


@cache
def _columns() -> dict[str, Column]:
    """The columns but `folder`, which is not in a result."""
    found: dict[str, Column] = {}
    for name, field in ExperimentResult.model_fields.items():
        kind = _scalar(field.annotation)
        if kind is datetime:
            found[name] = Column(str, _moment(name))
        elif kind is not None:
            found[name] = Column(kind, attrgetter(name))
        if name == "experiment_id":
            found |= {each: Column(type_, _configured(each, type_)) for each, type_ in CONFIG_COLUMNS.items()}
            found |= {each: Column(type_, _configured(each, type_, "load")) for each, type_ in LOAD_COLUMNS.items()}
    for part in EnergyUncertainty.model_fields:
        found[f"energy_uncertainty_{part}"] = Column(float, _inside("energy_uncertainty", part))
    spreads = {name: ("latency_stats", name) for name in LatencyStats.model_fields}
    for spread, path in (spreads | {"client_lateness_ms": ("client_lateness_ms",)}).items():
        for name in Distribution.model_fields:
            found[f"{spread}_{name}"] = Column(int if name == "n" else float, _inside(*path, name))
    found |= {f"quality_{name}": Column(kind, _inside("quality", name)) for name, kind in QUALITY_COLUMNS.items()}
    found["failed_requests"] = Column(int, _failed_requests)
    found["gpu_names"] = Column(str, _gpu_names)
    found["token_audit"] = Column(str, _inside("token_audit", "described"))
    found["output_tokens_in_dispute"] = Column(int, _inside("token_audit", "output_tokens_in_dispute"))
    return found | {name: Column(str, _sentences(name)) for name in TEXT_LISTS}


def _moment(name: str) -> Callable[[ExperimentResult], Value]:
    def value(result: ExperimentResult) -> Value:
        moment: datetime | None = getattr(result, name)
        return None if moment is None else moment.isoformat()

    return value


def _configured(
    name: str, kind: type[str | int | float], section: str | None = None
) -> Callable[[ExperimentResult], Value]:
    """A value of `effective_config`, or of a section of it; None where it is of another type."""

    def value(result: ExperimentResult) -> Value:
        config: Any = result.effective_config if section is None else result.effective_config.get(section)
        found: Any = config.get(name) if isinstance(config, dict) else None
        return found if isinstance(found, kind) and not isinstance(found, bool) else None

    return value


def _inside(*path: str) -> Callable[[ExperimentResult], Value]:
    """A field of a nested record; None where one on the way to it is absent."""

    def value(result: ExperimentResult) -> Value:
        found: Any = result
        for name in path:
            if (found := getattr(found, name)) is None:
                return None
        return found  # type: ignore[no-any-return]

    return value


def _sentences(name: str) -> Callable[[ExperimentResult], Value]:
    return lambda result: "; ".join(getattr(result, name))


def _failed_requests(result: ExperimentResult) -> Value:
    return sum(result.request_failures.values()) if result.has_load else None


def _gpu_names(result: ExperimentResult) -> Value:
    environment = result.environment_snapshot
    return "; ".join(str(gpu.name) for gpu in environment.gpus) if environment else None


def config_of(row: Mapping[str, Value]) -> ConfigValues:
    """Return the configuration that a row knows; of a plain dictionary none."""
    return row.config if isinstance(row, Row) else NO_CONFIG


def arrow_table(rows: Iterable[Mapping[str, Value]]) -> "pyarrow.Table":
    """The rows as an Arrow table: text, int64, float64 and bool, its metadata with `schema_version`.

    After the columns of every table come those of `config_table`. The rows are taken some at a time: in the table a
    row has a fifth of the memory that it has as a dict. An integer that does not fit into 64 bits is null, and a
    UserWarning that names the row's folder and the column.
    """
    import pyarrow as pa

    kinds: dict[type, Callable[[], Any]] = {str: pa.string, int: pa.int64, float: pa.float64, bool: pa.bool_}
    schema = pa.schema(
        [pa.field(name, kinds[kind]()) for name, kind in columns().items()],
        metadata={"schema_version": SCHEMA_VERSION},
    )
    batches, waiting, configs = [], iter(rows), list[ConfigValues]()
    while chunk := list(itertools.islice(waiting, ROWS_AT_A_TIME)):
        configs += map(config_of, chunk)
        values = [[row[name] for row in chunk] for name in columns()]
        for name, kind, cells in zip(columns(), columns().values(), values, strict=True):
            if kind is int:
                _fit(cells, name, chunk)
        arrays = [pa.array(cells, field.type) for cells, field in zip(values, schema, strict=True)]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    table = pa.Table.from_batches(batches, schema=schema)
    for name, (kind, cells) in config_table(configs).items():
        table = table.append_column(name, pa.array(cells, kinds[kind]()))
    return table


def whole_rows(rows: Iterable[Mapping[str, Value]]) -> list[dict[str, Value]]:
    """Return the rows as plain dictionaries, each with the columns of `config_table` of all of them."""
    listed = list(rows)
    table = config_table([config_of(row) for row in listed])
    return [{**row, **{name: cells[place] for name, (_, cells) in table.items()}} for place, row in enumerate(listed)]


def _fit(cells: list[Value], name: str, rows: Sequence[Mapping[str, Value]]) -> None:
    """Put None in the place of each integer that int64 has no room for, in a column of these rows."""
    for place, value in enumerate(cells):
        if isinstance(value, int) and abs(value) > MAX_INT64:
            cells[place] = None
            folder = rows[place]["folder"]
            where = f"{folder}: {name}" if folder else name
            reason = "does not fit into 64 bits and is null in the table; CSV and JSON keep it"
            warnings.warn(f"{where}: {clean(str(value), SHOWN_DIGITS)} {reason}", stacklevel=4)


def _scalar(annotation: Any) -> type | None:
    """The type of a field that holds one value; None of a list, a dict, a tuple or a record."""
    origin = get_origin(annotation)
    if origin is Literal:
        return str
    if origin is Annotated:
        return _scalar(get_args(annotation)[0])
    if origin in (Union, UnionType):
        parts = [part for part in get_args(annotation) if part is not type(None)]
        return _scalar(parts[0]) if len(parts) == 1 else None
    return annotation if annotation in (str, int, float, datetime) else None
