"""The power and temperature of each device over time, as a Parquet file beside the result."""

import contextlib
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from labledger.parquet_files import check_parquet, read_parquet
from llenergymeasure.domain.power import PowerSample

if TYPE_CHECKING:
    import pyarrow

TIMESERIES_VERSION = "2.0"
MAX_ROWS = 100_000_000
"""The most rows that a file is checked for: two weeks of eight boards, ten times per second. A small file can hold
more."""


def write_timeseries_parquet(samples: Sequence[PowerSample], path: Path) -> Path:
    """Write `samples` to `path` (zstd, page checksums) and return it.

    The columns are `timestamp_s`, `gpu_power_w`, `gpu_temperature_c` (f64) and `gpu_index` (i32), and
    `cpu_power_w` (f64) where any sample has it. The file's metadata holds `schema_version`.

    Raises:
        OSError: it could not be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [
        pa.field("timestamp_s", pa.float64()),
        pa.field("gpu_power_w", pa.float64()),
        pa.field("gpu_temperature_c", pa.float64()),
        pa.field("gpu_index", pa.int32()),
    ]
    if any(sample.cpu_power_w is not None for sample in samples):
        columns.append(pa.field("cpu_power_w", pa.float64()))
    schema = pa.schema(columns, metadata={"schema_version": TIMESERIES_VERSION})
    table = pa.Table.from_pylist([asdict(sample) for sample in samples], schema=schema)
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)
    return path


@contextlib.contextmanager
def temporary_timeseries(samples: Sequence[PowerSample]) -> Iterator[Path | None]:
    """A Parquet file of `samples` for a while; None of no samples, and with a warning where it cannot be written."""
    with contextlib.ExitStack() as stack:
        path = None
        if samples:
            try:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                path = write_timeseries_parquet(samples, Path(folder) / "samples.parquet")
            except OSError as error:
                warnings.warn(f"The timeseries could not be written: {error}; the result is saved.", stacklevel=4)
        yield path


def load_timeseries_parquet(
    path: Path, columns: Sequence[str] | None = None, *, read_before: int = 0
) -> "pyarrow.Table":
    """The table in `path`, or of it these `columns`, as far as it has them; its page checksums are verified.

    `read_before` is the number of rows that were read from other files, to be held together with these.

    Raises:
        OSError: it cannot be read, is not Parquet, has more rows (with those before it) than memory is to hold, or a
            checksum does not hold.
    """
    return read_parquet(path, columns, max_rows=MAX_ROWS, read_before=read_before)


def check_timeseries_parquet(path: Path) -> None:
    """Read the file to its end, without holding it in memory, and verify its page checksums.

    Raises:
        OSError: it cannot be read, is not Parquet, has more than MAX_ROWS rows, or a checksum does not hold.
    """
    check_parquet(path, max_rows=MAX_ROWS)
