"""Which energy source a run uses, and why not another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from labledger.errors import ConfigError
from labledger.extras import install_command
from llenergymeasure.config.models import EnergyConfig, UserConfig
from llenergymeasure.energy.meters.base import Meter, NoMeter
from llenergymeasure.energy.meters.combined import CombinedMeter
from llenergymeasure.energy.meters.estimate import CpuTimeEstimate
from llenergymeasure.energy.meters.nvml import NVML_GAIN_SHARE, NvmlCounter, NvmlPower
from llenergymeasure.energy.meters.rapl import RAPL_GAIN_SHARE, Rapl
from llenergymeasure.energy.meters.zeus import Zeus
from llenergymeasure.energy.sensors import nvml, rapl

GPU_SOURCES = ("nvml_counter", "nvml_power")
CPU_SOURCES = ("rapl", "estimate")
ORDER = ("nvml_counter", "nvml_power", "rapl", "estimate", "zeus")


@dataclass(frozen=True)
class Sources:
    """What this machine has to read energy from."""

    nvml: nvml.Probe
    rapl: rapl.Probe
    zeus_is_installed: bool

    def unavailable(self, source: str) -> str | None:
        """Why a source cannot be taken, and what to do; None where it can."""
        boards = self.nvml.boards
        if source == "rapl":
            return self.rapl.unavailable
        if source in ("estimate", "none"):
            return None
        if self.nvml.unavailable is not None:
            return self.nvml.unavailable
        if source == "nvml_counter":
            lacking = [board.name for board in boards if not board.has_counter]
            return f"{lacking[0]} has no energy counter (Volta and later have one)" if lacking else None
        if source == "nvml_power":
            lacking = [board.name for board in boards if board.power_field is None]
            return f"{lacking[0]} tells no power" if lacking else None
        return None if self.zeus_is_installed else f"Zeus is not installed; run {install_command('zeus')}"


class Choice(NamedTuple):
    """The meter, for each source that was not taken a sentence on why, and the kinds of device left to another
    process."""

    meter: Meter
    not_used: dict[str, str]
    left: frozenset[str] = frozenset()


def find_sources(library: Any = None, powercap: Path = rapl.POWERCAP) -> Sources:
    """Look at this machine; `library` takes the place of pynvml."""
    import pynvml

    return Sources(nvml.probe(library or pynvml), rapl.probe(powercap), find_spec("zeus") is not None)


def problems(config: EnergyConfig, sources: Sources) -> list[str]:
    """Return the reasons why the source that is named cannot be read.

    Raises:
        ConfigError: it is Zeus, and not installed.
    """
    for name in ("source", "cross_check"):
        if getattr(config, name) == "zeus" and not sources.zeus_is_installed:
            besides = f", on a machine with a GPU ({sources.nvml.unavailable})" if sources.nvml.unavailable else ""
            raise ConfigError(f"energy.{name}: zeus is not installed; run {install_command('zeus')}{besides}")
    found = []
    if config.source != "auto" and (why := sources.unavailable(config.source)):
        found.append(f"energy.source: {config.source} cannot be read, and auto takes what there is: {why}")
    if config.cross_check is not None and (why := sources.unavailable(config.cross_check)):
        found.append(f"energy.cross_check: {config.cross_check} cannot be read; leave it out, or mend it: {why}")
    return found


def choose_meter(
    config: EnergyConfig,
    user: UserConfig,
    sources: Sources,
    *,
    of_all_processes: bool = False,
    cpu_seconds: Callable[[], float] | str | None = None,
    others_meter: frozenset[str] = frozenset(),
) -> Choice:
    """The meter for a configuration without `problems`; an estimate is of our own processes, `of_all_processes`, or of
    the `cpu_seconds` of others; a text says why those are not known, and there is then no estimate.

    `auto` takes the first GPU source that there is, and beside it the first CPU source. Sensors of the kinds
    `others_meter` are left to the process that reads them for all.
    """
    no_estimate = cpu_seconds if isinstance(cpu_seconds, str) else None
    if config.source == "auto":
        taken = [next((s for s in kind if sources.unavailable(s) is None), None) for kind in (GPU_SOURCES, CPU_SOURCES)]
        names = [name for name in taken if name is not None]
    else:
        names = [config.source]
    names = [name for name in names if name != "estimate" or no_estimate is None]
    estimate = CpuTimeEstimate(
        user.cpu_watts_per_core,
        of_all_processes=of_all_processes,
        cpu_seconds=None if isinstance(cpu_seconds, str) else cpu_seconds,
    )
    check = _meter(config.cross_check, config, estimate, sources) if config.cross_check else None
    parts = [_meter(name, config, estimate, sources) for name in names]
    left = [part for part in parts if part.measured_kinds & others_meter]
    parts = [part for part in parts if part not in left] or [NoMeter()]
    check = None if "gpu" in others_meter else check
    meter = parts[0] if len(parts) == 1 and check is None else CombinedMeter(parts, check)
    used = {*names, config.cross_check}
    left_out = {} if no_estimate is None or "rapl" in names else {"estimate": no_estimate}
    not_used = {s: left_out.get(s) or _why_not(s, names, config, sources) for s in ORDER if s not in used}
    return Choice(meter, not_used, frozenset(kind for part in left for kind in part.measured_kinds))


def no_meter(reason: str) -> Choice:
    """Nothing is read, for a reason that no source helps."""
    return Choice(NoMeter(), dict.fromkeys(ORDER, reason))


def _meter(name: str, config: EnergyConfig, estimate: Meter, sources: Sources) -> Meter:
    gain = config.sensor_gain
    boards = sources.nvml.boards
    if name == "nvml_counter":
        return NvmlCounter(boards, config.sampling_hz, NVML_GAIN_SHARE if gain is None else gain)
    if name == "nvml_power":
        return NvmlPower(boards, config.sampling_hz, NVML_GAIN_SHARE if gain is None else gain)
    if name == "zeus":
        return Zeus(boards, NVML_GAIN_SHARE if gain is None else gain)
    if name == "rapl":
        return Rapl(sources.rapl.domains, RAPL_GAIN_SHARE if gain is None else gain)
    return estimate if name == "estimate" else NoMeter()


def _why_not(source: str, names: Sequence[str], config: EnergyConfig, sources: Sources) -> str:
    if config.source != "auto":
        return f"energy.source is {config.source}"
    if why := sources.unavailable(source):
        return why
    if source == "zeus":
        return "it is a cross-check: ask for it with energy.cross_check: zeus"
    better = next(name for name in names if (name in GPU_SOURCES) == (source in GPU_SOURCES))
    return f"{better} is better, and is there"
