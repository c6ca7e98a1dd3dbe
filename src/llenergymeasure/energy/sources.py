"""The energy sources: how each is found and which meter reads it, and which of them a run takes.

A new sensor is a file in `sensors/`, an entry of `SOURCES` here with its probe in `Sources`, and its name in
`config/energy_sources.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from labledger.errors import ConfigError
from labledger.extras import install_command
from labledger.nvml import load_nvml
from llenergymeasure.config.energy_sources import ENERGY_SOURCES, SourceName, basis_of, sources_of
from llenergymeasure.config.models import EnergyConfig, UserConfig
from llenergymeasure.energy.cpu_time import CpuTime
from llenergymeasure.energy.meters.base import Meter, NoMeter
from llenergymeasure.energy.meters.combined import CombinedMeter
from llenergymeasure.energy.meters.counter import CounterMeter
from llenergymeasure.energy.meters.estimate import CpuTimeEstimate, accuracy
from llenergymeasure.energy.meters.nvml_power import NvmlPower
from llenergymeasure.energy.meters.rapl import Rapl
from llenergymeasure.energy.meters.zeus import Zeus
from llenergymeasure.energy.power_sensors import BoardCalibration, Calibrations, counted_board, find_calibration
from llenergymeasure.energy.sampled_power import GAIN_SHARE, GAIN_WATTS
from llenergymeasure.energy.sampler import SamplerProcess
from llenergymeasure.energy.sensors import nvml, rapl
from llenergymeasure.energy.sensors.nvml import LONGEST_POLL_S, NVML_GAIN_SHARE, Board
from llenergymeasure.energy.sensors.rapl import RAPL_GAIN_SHARE


@dataclass(frozen=True)
class Sources:
    """The sensors that were found on this machine, the sources whose library is not installed, and the calibrations of
    boards, by UUID."""

    nvml: nvml.Probe
    rapl: rapl.Probe
    not_installed: frozenset[SourceName] = frozenset()
    calibrations: Calibrations = field(default_factory=dict)

    def unavailable(self, source: SourceName) -> str | None:
        """Return why a source cannot be taken, and what to do; None where it can."""
        return SOURCES[source].unavailable(self)

    def measures(self, kind: str) -> bool:
        """Return True if `auto` finds a sensor of this kind of device here."""
        return any(basis_of(name) == "sensor" for name in self._automatic(kind))

    def best(self, kind: str) -> SourceName | None:
        """Return the source that `auto` takes for this kind of device; None where there is none."""
        return next(iter(self._automatic(kind)), None)

    def _automatic(self, kind: str) -> list[SourceName]:
        names = (name for name in sources_of(kind) if SOURCES[name].not_automatic is None)
        return [name for name in names if self.unavailable(name) is None]


class MeterSettings(NamedTuple):
    """The settings of a meter. `cpu` is the CPU time that an estimate is of; None is that of this process."""

    energy: EnergyConfig
    user: UserConfig
    cpu: CpuTime | None = None

    def gain_share(self, published: float) -> float:
        """Return the bound on the sensor's gain: the user's, or the published one."""
        return published if self.energy.sensor_gain is None else self.energy.sensor_gain


@dataclass(frozen=True)
class EnergySource:
    """One source: why it cannot be taken here (None: it can), the meter that reads it, and its line in `llem doctor`.

    `extra` is the extra of this package that it needs, by the name of its library; `not_automatic` is why `auto` never
    takes it.
    """

    unavailable: Callable[[Sources], str | None]
    meter: Callable[[Sources, MeterSettings], Meter]
    describe: Callable[[Sources, UserConfig], str]
    extra: str | None = None
    not_automatic: str | None = None


def nvml_counter(
    boards: Sequence[Board],
    sampling_hz: float,
    gain_share: float | None = None,
    calibrations: Calibrations | None = None,
) -> CounterMeter:
    """Return a meter of the boards' energy counters; beside them it reads power, and temperature at `sampling_hz`.

    Power that is compared with the counter is read every tenth of its period: read as seldom as it comes, values are
    missed, and the comparison bounds nothing. Power of part-time sensors is read with the temperature.
    `gain_share` is the user's bound on their scale; None: that of a board's calibration, else the published one. The
    counter's lag behind the truth is taken as 0: no board's has been measured for this project yet.
    """
    known = calibrations or {}
    counted = [
        counted_board(board, known.get(board.uuid, BoardCalibration()), scaled=gain_share is None) for board in boards
    ]
    devices = [device for device, _ in counted]
    fields = {device.name: field for device, field in counted if field is not None}
    periods_s = [each.sensor.period_s for each in devices if each.sensor is not None and not each.sensor.is_part_time]
    spec = nvml.sensor_spec(
        boards, sampling_hz, counter=True, fields=fields, power_period_s=min(periods_s, default=None)
    )
    feed = SamplerProcess(spec)
    share = NVML_GAIN_SHARE if gain_share is None else gain_share
    return CounterMeter("nvml_counter", devices, feed, share, pace_s=LONGEST_POLL_S)


def _no_counter(sources: Sources) -> str | None:
    lacking = [board.name for board in sources.nvml.boards if not board.has_counter]
    return sources.nvml.unavailable or (
        f"{lacking[0]} has no energy counter (Volta and later have one)" if lacking else None
    )


def _no_power(sources: Sources) -> str | None:
    lacking = [board.name for board in sources.nvml.boards if not board.power_fields]
    return sources.nvml.unavailable or (f"{lacking[0]} reports no power" if lacking else None)


def _no_zeus(sources: Sources) -> str | None:
    missing = f"Zeus is not installed; run {install_command('zeus')}" if "zeus" in sources.not_installed else None
    return sources.nvml.unavailable or missing


def _describe_power(sources: Sources, user: UserConfig) -> str:
    return f"{len(sources.nvml.boards)} GPU(s), bound on the gain ±{GAIN_SHARE:.0%} and {GAIN_WATTS:.0f} W"


def _describe_rapl(sources: Sources, user: UserConfig) -> str:
    names = ", ".join(domain.name for domain in sources.rapl.domains)
    return f"{names}, bound on the gain ±{RAPL_GAIN_SHARE:.0%}"


SOURCES: Mapping[SourceName, EnergySource] = {
    "nvml_counter": EnergySource(
        unavailable=_no_counter,
        meter=lambda found, to: nvml_counter(
            found.nvml.boards, to.energy.sampling_hz, to.energy.sensor_gain, found.calibrations
        ),
        describe=lambda found, _: f"{len(found.nvml.boards)} GPU(s), bound on the gain ±{NVML_GAIN_SHARE:.0%}",
    ),
    "nvml_power": EnergySource(
        unavailable=_no_power,
        meter=lambda found, to: NvmlPower(
            found.nvml.boards, to.energy.sampling_hz, to.energy.sensor_gain, calibrations=found.calibrations
        ),
        describe=_describe_power,
    ),
    "rapl": EnergySource(
        unavailable=lambda found: found.rapl.unavailable,
        meter=lambda found, to: Rapl(found.rapl.domains, to.gain_share(RAPL_GAIN_SHARE)),
        describe=_describe_rapl,
    ),
    "zeus": EnergySource(
        unavailable=_no_zeus,
        meter=lambda found, to: Zeus(found.nvml.boards, to.gain_share(NVML_GAIN_SHARE)),
        describe=lambda *_: "as a cross-check, with energy.cross_check: zeus",
        extra="zeus",
        not_automatic="it is a cross-check: ask for it with energy.cross_check: zeus",
    ),
    "estimate": EnergySource(
        unavailable=lambda _: None,
        meter=lambda _, to: CpuTimeEstimate(to.user.cpu_watts_per_core, to.cpu),
        describe=lambda _, user: f"CPU seconds of the run times {accuracy(user.cpu_watts_per_core)}",
    ),
    "none": EnergySource(
        unavailable=lambda _: None, meter=lambda *_: NoMeter(), describe=lambda *_: "energy stays unknown"
    ),
}
"""Every source that a configuration can name."""


def find_sources(library: Any = None, powercap: Path = rapl.POWERCAP) -> Sources:
    """Look at this machine; `library` takes the place of pynvml."""
    found = nvml.probe(library or load_nvml())
    return Sources(
        found,
        rapl.probe(powercap),
        frozenset(name for name, source in SOURCES.items() if source.extra and find_spec(source.extra) is None),
        {board.uuid: find_calibration(board) for board in found.boards},
    )


def problems(config: EnergyConfig, sources: Sources) -> list[str]:
    """Return the reasons why the source that is named cannot be read.

    Raises:
        ConfigError: its library is not installed.
    """
    for setting in ("source", "cross_check"):
        if (name := getattr(config, setting)) in sources.not_installed:
            besides = f", on a machine with a GPU ({sources.nvml.unavailable})" if sources.nvml.unavailable else ""
            command = install_command(str(SOURCES[name].extra))
            raise ConfigError(f"energy.{setting}: {name} is not installed; run {command}{besides}")
    found = []
    if config.source != "auto" and (why := sources.unavailable(config.source)):
        found.append(f"energy.source: {config.source} cannot be read; auto takes what is available: {why}")
    if config.cross_check is not None and (why := sources.unavailable(config.cross_check)):
        found.append(f"energy.cross_check: {config.cross_check} cannot be read; leave it out, or fix it: {why}")
    return found


class Choice(NamedTuple):
    """The meter, for each source that was not taken the reason, and the kinds of device whose sensors are delegated to
    another process."""

    meter: Meter
    not_used: dict[str, str]
    delegated_kinds: frozenset[str] = frozenset()


def choose_meter(
    config: EnergyConfig,
    user: UserConfig,
    sources: Sources,
    *,
    cpu: CpuTime | str | None = None,
    others_meter: frozenset[str] = frozenset(),
) -> Choice:
    """Return the meter for a configuration without `problems`.

    `auto` takes the first GPU source that is available, and beside it the first CPU source. An estimate is of this
    process and its children, or of the CPU time of others, `cpu`; a text is the reason why that is not known, and there
    is then no estimate. Sensors of the kinds `others_meter` are left to the process that reads them for all.
    """
    no_estimate = cpu if isinstance(cpu, str) else None
    settings = MeterSettings(config, user, None if isinstance(cpu, str) else cpu)
    names = [name for name in _taken(config, sources) if no_estimate is None or basis_of(name) != "estimate"]
    parts = [SOURCES[name].meter(sources, settings) for name in names]
    others = [part for part in parts if part.measured_kinds & others_meter]
    own = [part for part in parts if part not in others] or [NoMeter()]
    checked = config.cross_check is not None and "gpu" not in others_meter
    check = SOURCES[config.cross_check].meter(sources, settings) if config.cross_check and checked else None
    not_used = _reasons(names, config, sources, no_estimate)
    return Choice(
        own[0] if len(own) == 1 and check is None else CombinedMeter(own, check),
        not_used,
        frozenset(kind for part in others for kind in part.measured_kinds),
    )


def no_meter(reason: str) -> Choice:
    """Return a choice that reads nothing, for a reason that excludes every source."""
    return Choice(NoMeter(), {name: reason for name in SOURCES if basis_of(name) != "nothing"})


def estimates_cpu(config: EnergyConfig, sources: Sources) -> bool:
    """Return True if the CPU's energy is an estimate with this configuration."""
    return any(basis_of(name) == "estimate" for name in _taken(config, sources))


def _taken(config: EnergyConfig, sources: Sources) -> list[SourceName]:
    if config.source != "auto":
        return [config.source]
    return [name for kind in ("gpu", "cpu") if (name := sources.best(kind)) is not None]


def _reasons(
    names: Sequence[SourceName], config: EnergyConfig, sources: Sources, no_estimate: str | None
) -> dict[str, str]:
    """Return, for each source that was not taken, why."""
    reasons: dict[str, str] = {}
    for name, facts in ENERGY_SOURCES.items():
        if facts.basis == "nothing" or name in (*names, config.cross_check):
            continue
        better = next((n for n in names if set(ENERGY_SOURCES[n].kinds) & set(facts.kinds)), None)
        if facts.basis == "estimate" and no_estimate is not None and better is None:
            reasons[name] = no_estimate
        elif config.source != "auto":
            reasons[name] = f"energy.source is {config.source}"
        else:
            why = sources.unavailable(name) or SOURCES[name].not_automatic
            reasons[name] = why or f"{better} is better, and is available"
    return reasons
