"""Samples of sensors, each with the clock before and after it: in memory while they come, and in a trace file."""

import math
import threading
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from labledger.parquet_files import read_parquet

if TYPE_CHECKING:
    import numpy as np

    from llenergymeasure.energy.sampled_power import PowerReading
    from llenergymeasure.energy.ticklog import CounterSample


TRACE_VERSION = "1"
MAX_ROWS = 100_000_000


class SensorSample(NamedTuple):
    """One sample of a device's sensors: cumulative energy, power, temperature; None was not read.

    The clock is CLOCK_MONOTONIC, before and after the sensor was read.
    """

    device: str
    before_s: float
    after_s: float
    joules: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None


class State(NamedTuple):
    """The state of a device at a moment: reasons for slower clocks, and the processes on it (None: not read)."""

    device: str
    at_s: float
    throttle: tuple[str, ...] = ()
    pids: tuple[int, ...] | None = None


class Recording:
    """All samples of all devices, in columns, in the order of arrival. Threads may add and look at the same time."""

    def __init__(self, samples: Iterable[SensorSample] = ()) -> None:
        self._lock = threading.Lock()
        self._devices: dict[str, _Columns] = {}
        self._states: list[State] = []
        self.add(samples)

    def add(self, samples: Iterable[SensorSample], states: Iterable[State] = ()) -> None:
        """Append."""
        with self._lock:
            for sample in samples:
                self._devices.setdefault(sample.device, _Columns()).append(sample)
            self._states.extend(states)

    def forget(self, before_s: float) -> None:
        """Drop what was read before then."""
        with self._lock:
            for columns in self._devices.values():
                columns.forget(before_s)
            self._states = [state for state in self._states if state.at_s >= before_s]

    def devices(self) -> list[str]:
        """Return the devices that have a sample."""
        with self._lock:
            return list(self._devices)

    def samples(self, device: str) -> list[SensorSample]:
        """Return every sample of a device."""
        with self._lock:
            columns = self._devices.get(device)
            return columns.rows(device) if columns else []

    def counter(self, device: str) -> "list[CounterSample]":
        """Return the samples that have energy, as the tick log takes them."""
        with self._lock:
            own = self._devices.get(device) or _Columns()
            rows = zip(own.before_s, own.after_s, own.joules, strict=True)
            return [(device, before_s, after_s, j) for before_s, after_s, j in rows if not math.isnan(j)]

    def power(self, device: str) -> "list[PowerReading]":
        """Return the samples that have power, as `SampledPower` takes them."""
        with self._lock:
            own = self._devices.get(device) or _Columns()
            rows = zip(own.before_s, own.after_s, own.power_w, strict=True)
            return [(device, before_s, after_s, w) for before_s, after_s, w in rows if not math.isnan(w)]

    def series(self, device: str, quantity: str) -> "tuple[np.ndarray, np.ndarray]":
        """Return moments (the middle of a sample) and values of "power_w" or "temperature_c": n of each, in order of
        time."""
        import numpy as np

        with self._lock:
            columns = self._devices.get(device) or _Columns()
            before_s, after_s, values = map(np.array, (columns.before_s, columns.after_s, getattr(columns, quantity)))
        known = ~np.isnan(values) if len(values) else np.array([], dtype=bool)
        moments_s = (before_s[known] + after_s[known]) / 2 if len(values) else values
        order = np.argsort(moments_s, kind="stable")
        return moments_s[order], values[known][order]

    def states(self, device: str) -> list[State]:
        """Return every state of a device."""
        with self._lock:
            return [state for state in self._states if state.device == device]

    def last_change_s(self, device: str, quantity: str = "joules") -> float:
        """Return the clock before the last sample but one that gave a new energy, or before the last that gave power;
        -inf where there is none."""
        with self._lock:
            columns = self._devices.get(device)
            if columns is None:
                return -math.inf
            return columns.ticks_s[0] if quantity == "joules" else columns.last_power_s

    def changes(self, device: str) -> int:
        """Return how often the energy was seen to change."""
        with self._lock:
            columns = self._devices.get(device)
            return columns.changes if columns else 0


class _Columns:
    """The samples of one device; NaN stands for None, in memory alone."""

    def __init__(self) -> None:
        self.before_s, self.after_s = array("d"), array("d")
        self.joules, self.power_w, self.temperature_c = array("d"), array("d"), array("d")
        self.changes = 0
        self.ticks_s = (-math.inf, -math.inf)  # the last two
        self.last_power_s = -math.inf
        self._last_joules: float | None = None

    def append(self, sample: SensorSample) -> None:
        self.before_s.append(sample.before_s)
        self.after_s.append(sample.after_s)
        for column, value in (
            (self.joules, sample.joules),
            (self.power_w, sample.power_w),
            (self.temperature_c, sample.temperature_c),
        ):
            column.append(math.nan if value is None else value)
        if sample.power_w is not None:
            self.last_power_s = sample.before_s
        if sample.joules is not None:
            if self._last_joules is not None and sample.joules != self._last_joules:
                self.changes += 1
                self.ticks_s = (self.ticks_s[1], max(self.ticks_s[1], sample.before_s))
            self._last_joules = sample.joules

    def forget(self, before_s: float) -> None:
        old = next((row for row, at_s in enumerate(self.before_s) if at_s >= before_s), len(self.before_s))
        for column in (self.before_s, self.after_s, self.joules, self.power_w, self.temperature_c):
            del column[:old]

    def rows(self, device: str) -> list[SensorSample]:
        columns = (self.before_s, self.after_s, self.joules, self.power_w, self.temperature_c)
        return [SensorSample(device, row[0], row[1], *map(_known, row[2:])) for row in zip(*columns, strict=True)]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def write_trace(recording: Recording, path: Path) -> Path:
    """Write every sample to a Parquet file, one row per sample, and return its path.

    Columns: device (text), before_s, after_s, joules, power_w, temperature_c (f64, null where not read).

    Raises:
        OSError: it could not be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [pa.field(name, pa.string() if name == "device" else pa.float64()) for name in SensorSample._fields]
    schema = pa.schema(fields, metadata={"schema_version": TRACE_VERSION})
    rows = [sample._asdict() for device in recording.devices() for sample in recording.samples(device)]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd", write_page_checksum=True)
    return path


def read_trace(path: Path) -> Recording:
    """Return the samples in a Parquet file that `write_trace` wrote, in order of time.

    Raises:
        OSError: it cannot be read, or lacks a column.
    """
    try:
        rows = read_parquet(path, max_rows=MAX_ROWS, follow=True).select([*SensorSample._fields]).to_pylist()
        return Recording(sorted((SensorSample(**row) for row in rows), key=lambda sample: sample.before_s))
    except (OSError, KeyError, TypeError) as error:
        raise OSError(f"{path}: not a trace (columns {', '.join(SensorSample._fields)}): {error}") from error
