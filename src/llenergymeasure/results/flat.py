"""A result as one flat row, for tables, CSV, Parquet and SQL."""

import os
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from labledger.untrusted_text import clean
from llenergymeasure.domain.experiment import SCHEMA_VERSION, ExperimentResult
from llenergymeasure.domain.figures import Distribution, EnergyUncertainty, LatencyStats

if TYPE_CHECKING:
    import pyarrow

Value = str | int | float | None
MAX_INT64 = 2**63 - 1
CONFIG_COLUMNS = {
    "model": str,
    "precision": str,
    "device": str,
    "batch_size": int,
    "num_prompts": int,
    "max_output_tokens": int,
}
LOAD_COLUMNS = {"concurrency": int, "request_rate": float}
TEXT_LISTS = ("verdict_reasons", "measurement_warnings")
SHOWN_DIGITS = 40


@cache
def columns() -> dict[str, type]:
    """The name and type (str, int or float) of each column, in order.

    Scalar fields keep their names; of nested ones there are `ttft_ms_mean` (each latency and statistic),
    `energy_uncertainty_edge_j` (each part), the commonest fields of `effective_config`, `failed_requests` of
    every kind, `gpu_names`, the audit of a server's token counts in words and the output tokens in dispute, and lists
    of sentences as one text. Times are texts in ISO 8601.
    """
    found: dict[str, type] = {"folder": str}
    for name, field in ExperimentResult.model_fields.items():
        kind = _scalar(field.annotation)
        if kind is not None:
            found[name] = kind
        found |= {"experiment_id": {**CONFIG_COLUMNS, **LOAD_COLUMNS}}.get(name, {})
    found |= {f"energy_uncertainty_{part}": float for part in EnergyUncertainty.model_fields}
    for latency in LatencyStats.model_fields:
        found |= {f"{latency}_{name}": int if name == "n" else float for name in Distribution.model_fields}
    found |= {f"client_lateness_ms_{name}": int if name == "n" else float for name in Distribution.model_fields}
    found |= {"failed_requests": int, "gpu_names": str, "token_audit": str, "output_tokens_in_dispute": int}
    return found | dict.fromkeys(TEXT_LISTS, str)


def flat_row(result: ExperimentResult, folder: Path | None = None) -> dict[str, Value]:
    """One row with every column of `columns`; what a result does not have is None."""
    row: dict[str, Any] = dict.fromkeys(columns())
    # Of a name that is no UTF-8 the bytes are written out: no table could hold it.
    row["folder"] = os.fsencode(folder).decode("utf-8", "backslashreplace") if folder is not None else None
    for name in columns():
        if name in ExperimentResult.model_fields and name not in (*TEXT_LISTS, "token_audit"):
            row[name] = getattr(result, name)
    load = result.effective_config.get("load")
    for config, names in ((result.effective_config, CONFIG_COLUMNS), (load, LOAD_COLUMNS)):
        for name, kind in names.items():
            value = config.get(name) if isinstance(config, dict) else None
            row[name] = value if isinstance(value, kind) else None
    row |= _parts("energy_uncertainty", result.energy_uncertainty)
    for latency in LatencyStats.model_fields:
        row |= _parts(latency, getattr(result.latency_stats, latency) if result.latency_stats else None)
    row |= _parts("client_lateness_ms", result.client_lateness_ms)
    row["failed_requests"] = sum(result.request_failures.values()) if result.has_load else None
    environment = result.environment_snapshot
    row["gpu_names"] = "; ".join(str(gpu.name) for gpu in environment.gpus) if environment else None
    if (audit := result.token_audit) is not None:
        row |= {"token_audit": audit.described, "output_tokens_in_dispute": audit.output_tokens_in_dispute}
    row |= {name: "; ".join(getattr(result, name)) for name in TEXT_LISTS}
    return {name: _plain(value) for name, value in row.items()}


def arrow_table(rows: Sequence[dict[str, Value]]) -> "pyarrow.Table":
    """The rows as an Arrow table: text, int64 and float64, its metadata with `schema_version`.

    An integer that does not fit into 64 bits is null, and a UserWarning that names the row's folder and the column.
    """
    import pyarrow as pa

    kinds: dict[type, Callable[[], Any]] = {str: pa.string, int: pa.int64, float: pa.float64}
    schema = pa.schema(
        [pa.field(name, kinds[kind]()) for name, kind in columns().items()],
        metadata={"schema_version": SCHEMA_VERSION},
    )
    return pa.Table.from_pylist([_fitted(row) for row in rows], schema=schema)


def _fitted(row: dict[str, Value]) -> dict[str, Value]:
    """The row with null for each integer that int64 has no room for."""
    fitted = dict(row)
    for name, value in row.items():
        if isinstance(value, int) and abs(value) > MAX_INT64 and columns()[name] is int:
            fitted[name] = None
            where = f"{row['folder']}: {name}" if row["folder"] else name
            reason = "does not fit into 64 bits and is null in the table; CSV and JSON keep it"
            warnings.warn(f"{where}: {clean(str(value), SHOWN_DIGITS)} {reason}", stacklevel=4)
    return fitted


def _parts(prefix: str, record: Any) -> dict[str, Value]:
    """`prefix_field` of each field; nothing of an absent record."""
    return {} if record is None else {f"{prefix}_{name}": getattr(record, name) for name in type(record).model_fields}


def _plain(value: Any) -> Value:
    return value.isoformat() if isinstance(value, datetime) else value


def _scalar(annotation: Any) -> type | None:
    """The plain type of a field that holds one value; None of a list, a dict, a tuple or a record."""
    origin = get_origin(annotation)
    if origin is Literal:
        return str
    if origin is Annotated:
        return _scalar(get_args(annotation)[0])
    if origin in (Union, UnionType):
        parts = [part for part in get_args(annotation) if part is not type(None)]
        return _scalar(parts[0]) if len(parts) == 1 else None
    return {str: str, int: int, float: float, datetime: str}.get(annotation)
