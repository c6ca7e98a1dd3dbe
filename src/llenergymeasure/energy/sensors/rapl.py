"""RAPL counters (Intel, AMD) in Linux's powercap tree: the domains of this machine, and the sensor that reads them."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Literal

from llenergymeasure.energy.samples import SensorSample
from llenergymeasure.energy.sensors.base import Task

POWERCAP = Path("/sys/class/powercap")
RAPL_GAIN_SHARE = 0.05
POLL_S = 0.050
TICK_S = 0.002  # the counter ticks every millisecond


@dataclass(frozen=True)
class Domain:
    """A package or its memory; `limit_w` is the highest power limit that the tree names, None where it names none."""

    name: str
    kind: Literal["cpu", "dram"]
    counter: Path
    range_j: float
    limit_w: float | None


@dataclass(frozen=True)
class Probe:
    """The domains to add up; `unavailable` is the reason where there is none, and what to do."""

    domains: tuple[Domain, ...] = ()
    unavailable: str | None = None


def probe(root: Path = POWERCAP) -> Probe:
    """Find the packages and memory domains below `root`. All must be readable, or the sum would be short."""
    folders = sorted({path.name: path for path in _zones(root)}.items())
    domains = [domain for _, folder in folders if (domain := _domain(folder)) is not None]
    if not domains:
        return Probe(unavailable=f"no RAPL counter in {root} (a virtual machine, or a processor without one)")
    refused = [domain.counter for domain in domains if isinstance(_failure(domain.counter), PermissionError)]
    if refused:
        command = f"sudo chmod a+r {' '.join(map(str, refused))}"
        why = f"the RAPL counters may not be read; to allow it until the machine restarts: {command}"
        return Probe(unavailable=why)
    broken = [(domain.counter, error) for domain in domains if (error := _failure(domain.counter)) is not None]
    if broken:
        return Probe(unavailable=f"the RAPL counters cannot be read: {broken[0][0]}: {broken[0][1]}")
    if endless := [domain.counter.parent for domain in domains if not domain.range_j]:
        return Probe(unavailable=f"RAPL has no counter range in {endless[0]}/max_energy_range_uj")
    return Probe(tuple(domains))


def sensor_spec(domains: Sequence[Domain]) -> dict[str, Any]:
    """Return what a sampler needs to read these domains, as JSON can hold it."""
    return {"sensor": "rapl", "options": {"domains": [[domain.name, str(domain.counter)] for domain in domains]}}


def open_sensor(domains: Sequence[tuple[str, str]]) -> "RaplSensor":
    """Open the sensor of these domains, given as name and path."""
    return RaplSensor([(name, Path(path)) for name, path in domains])


class RaplSensor:
    """Reads the counters of `domains`, given as name and path, every 50 ms. A read that fails gives no row."""

    def __init__(self, domains: Sequence[tuple[str, Path]]) -> None:
        self._counters = [(name, _Counter(path)) for name, path in domains]

    def tasks(self) -> Iterator[Task]:
        """Yield one task: all domains."""
        yield Task(self.read, lambda: POLL_S)

    def read(self) -> Iterator[SensorSample]:
        """Read every domain now."""
        for name, counter in self._counters:
            before_s = time.monotonic()
            try:
                joules = counter.joules()
            except (OSError, ValueError):
                continue
            yield SensorSample(name, before_s, time.monotonic(), joules=joules)


class _Counter:
    """A counter's file, in microjoules, kept open: to find it anew each time costs more than to read it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None

    def joules(self) -> float:
        """Return its value now, in joules.

        Raises:
            OSError: it cannot be read, or is gone.
            ValueError: it holds no number.
        """
        if self._file is not None and os.fstat(self._file.fileno()).st_nlink == 0:  # gone, or another is in its place
            self._file.close()
            self._file = None
        if self._file is None:
            self._file = FileIO(self._path)
        return int(os.pread(self._file.fileno(), 32, 0)) / 1e6


def _zones(root: Path) -> Iterator[Path]:
    """Yield `intel-rapl:N` and `intel-rapl:N:M`, side by side as in sysfs or one in the other.

    `intel-rapl-mmio:` zones are a second way to the same package and would count it twice.
    """
    yield from root.glob("intel-rapl:*")
    yield from root.glob("intel-rapl:*/intel-rapl:*")


def _domain(folder: Path) -> Domain | None:
    """Return a package or a memory domain; None for a part of a package and for the platform, which holds all."""
    name = _text(folder / "name") or ""
    if name.startswith("package"):
        kind: Literal["cpu", "dram"] = "cpu"
    elif name == "dram":
        kind, name = "dram", f"dram-{folder.name.split(':')[1]}"
    else:
        return None
    microjoules = _number(folder / "max_energy_range_uj")
    return Domain(name, kind, folder / "energy_uj", (microjoules or 0) / 1e6, _limit_w(folder))


def _limit_w(folder: Path) -> float | None:
    files = [*folder.glob("constraint_*_power_limit_uw"), *folder.glob("constraint_*_max_power_uw")]
    limits = [value / 1e6 for file in files if (value := _number(file))]
    return max(limits, default=None)


def _failure(path: Path) -> Exception | None:
    try:
        _Counter(path).joules()
    except (OSError, ValueError) as error:
        return error
    return None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text and text.isdecimal() else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
