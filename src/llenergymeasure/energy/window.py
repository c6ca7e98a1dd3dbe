"""Measure the energy of any stretch of code, with its bound and verdict, without an experiment."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from llenergymeasure.config.models import EnergyConfig, UserConfig
from llenergymeasure.domain.choices import Verdict
from llenergymeasure.domain.figures import DeviceEnergy, EnergyUncertainty, PowerSensor, UsedCalibration
from llenergymeasure.energy.cpu_time import of_this_machine
from llenergymeasure.energy.live_power import LivePower, Powers
from llenergymeasure.energy.measured_calls import MeasuredFunction, measured_calls
from llenergymeasure.energy.meters.base import Meter
from llenergymeasure.energy.overlaps import Overlap
from llenergymeasure.energy.sources import choose_meter, find_sources, problems
from llenergymeasure.errors import MeterError
from llenergymeasure.metrics.advice import energy_warnings, mig_warning
from llenergymeasure.metrics.energy import ReportedDevices, RunEnergy, run_energy
from llenergymeasure.metrics.power import peak_power_w
from llenergymeasure.metrics.verdict import verdict

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, repr=False)
class MeteredEnergy:
    """The energy of a window in joules, its power in watts; unknown is None.

    `energy_j` is the sum over all visible GPUs; without one, over CPU package and memory (`energy_scope` says which).
    `sensor` is the power sensor that was read, as the source or beside a counter, and `calibration` what the figures
    rest on; each None where there is none, or the summed devices have different ones. `devices` has every device apart,
    those that are no part of the sum too.
    """

    started_at: datetime
    duration_s: float
    energy_j: float | None
    energy_uncertainty_j: float | None
    energy_uncertainty: EnergyUncertainty | None
    energy_source: str
    energy_scope: str | None
    mean_power_w: float | None
    peak_power_w: float | None
    sensor: PowerSensor | None
    calibration: UsedCalibration | None
    devices: tuple[DeviceEnergy, ...]
    verdict: Verdict
    verdict_reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    sources_not_used: dict[str, str]

    def __repr__(self) -> str:
        """Return the main figures; `to_dict` has all."""
        return f"<MeteredEnergy: {self}>"

    def __str__(self) -> str:
        """Return the main figures on one line."""
        energy, power = "energy unknown", ""
        if self.energy_j is not None:
            bound = "bound unknown" if self.energy_uncertainty_j is None else f"{self.energy_uncertainty_j:.2g}"
            energy = f"{self.energy_j:.4g} ± {bound} J"
        if self.mean_power_w is not None:
            power = f", {self.mean_power_w:.4g} W mean"
        source = f"{self.energy_source}, {self.energy_scope}" if self.energy_scope else self.energy_source
        return f"{energy} in {self.duration_s:.4g} s{power} ({source}; {self.verdict})"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            **asdict(self),
            "started_at": self.started_at.isoformat(),
            **{
                name: record.model_dump(mode="json") if (record := getattr(self, name)) else None
                for name in ("energy_uncertainty", "sensor", "calibration")
            },
            "devices": [device.model_dump(mode="json") for device in self.devices],
        }


class EnergyWindow:
    """A context manager that measures the energy of its block; the figures are known once the block has ended.

    As a decorator it measures each call of a function in a window of its own. Windows that are open at once count the
    same joules: a warning, which Python gives as well, says so in both.

    Work that a GPU still has to do when the window ends is not in it: synchronize the device first.
    `of_all_processes`: an estimate is of the whole machine's CPU time.

    Raises:
        MeterError: the source that was asked for is not available; on entering, it cannot be opened, or the window is
            open already; on reading a figure, the window has not ended.
    """

    def __init__(self, config: EnergyConfig, user: UserConfig, *, of_all_processes: bool = False) -> None:
        self._settings = config, user, of_all_processes
        sources = find_sources()
        if found := problems(config, sources):
            raise MeterError("\n".join(found))
        chosen = choose_meter(config, user, sources, cpu=of_this_machine() if of_all_processes else None)
        self._meter, self._not_used = chosen.meter, chosen.not_used
        self._notes = sources.nvml.notes
        self._sliced = [board.index for board in sources.nvml.boards if board.mig_enabled]
        self._found: MeteredEnergy | None = None
        self.live: LivePower | None = None
        self._opened_s: float | None = None
        self._overlap = Overlap(_scope(self._meter))

    def __repr__(self) -> str:
        """Return its figures or, before it has ended, how far it is."""
        if self._opened_s is not None:
            return f"<EnergyWindow of {self._meter.source}, open for {time.monotonic() - self._opened_s:.3g} s>"
        if self._found is None:
            return f"<EnergyWindow of {self._meter.source}, not open>"
        return f"<EnergyWindow: {self._found}>"

    def __call__(self, function: Callable[P, R]) -> MeasuredFunction[P, R]:
        """Return a function of which each call is measured as this window would be; its `measured` has the figures."""
        config, user, of_all = self._settings
        return measured_calls(function, lambda: EnergyWindow(config, user, of_all_processes=of_all))

    @property
    def found(self) -> MeteredEnergy:
        """All figures of the window, as one record.

        Raises:
            MeterError: the window has not ended, or its powers were read.
        """
        if self.live is not None:
            raise MeterError("the window's powers were read, and its samples given up meanwhile: `live` has its joules")
        if self._found is None:
            raise MeterError("the window has not ended: read its figures after the with block")
        return self._found

    def __enter__(self) -> Self:
        if self._opened_s is not None:
            raise MeterError("the window is open already: make one for each block")
        self._overlap = Overlap(_scope(self._meter))
        try:
            self._overlap.begin()
            self._meter.open()
            self._meter.mark(is_edge=True)
            self._started_at, self._start_s = datetime.now(UTC), time.monotonic()
        except BaseException:
            self._overlap.end()
            raise
        self._opened_s = self._start_s
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end_s, self._opened_s = time.monotonic(), None
        self._overlap.end()
        try:
            self._meter.mark(is_edge=True)
            if self.live is None:
                self._found = self._find(end_s)
        finally:
            self._meter.close()

    @property
    def started_at(self) -> datetime:
        """The moment that the window opened, in UTC."""
        return self.found.started_at

    @property
    def duration_s(self) -> float:
        """Seconds that the window was open."""
        return self.found.duration_s

    @property
    def energy_j(self) -> float | None:
        """Joules of the window; None where they are unknown."""
        return self.found.energy_j

    @property
    def energy_uncertainty_j(self) -> float | None:
        """Bound on the error of `energy_j`, in joules; None where the energy is unknown."""
        return self.found.energy_uncertainty_j

    @property
    def energy_uncertainty(self) -> EnergyUncertainty | None:
        """The parts of the bound."""
        return self.found.energy_uncertainty

    @property
    def energy_source(self) -> str:
        """The source of `energy_j`, as `nvml_counter`."""
        return self.found.energy_source

    @property
    def energy_scope(self) -> str | None:
        """The devices that `energy_j` is of: `gpu`, `cpu+dram` or `cpu`; None where there is none."""
        return self.found.energy_scope

    @property
    def mean_power_w(self) -> float | None:
        """Watts, `energy_j` over `duration_s`; None where no sensor was read."""
        return self.found.mean_power_w

    @property
    def peak_power_w(self) -> float | None:
        """The most watts between two samples of the sensors; None where none was read."""
        return self.found.peak_power_w

    @property
    def sensor(self) -> PowerSensor | None:
        """The power sensor that was read, as the source or beside a counter; None where none was, or they differ."""
        return self.found.sensor

    @property
    def calibration(self) -> UsedCalibration | None:
        """The calibration that the figures rest on; None where there is none, or they differ."""
        return self.found.calibration

    @property
    def devices(self) -> tuple[DeviceEnergy, ...]:
        """The energy of each device, also of those that are no part of `energy_j`."""
        return self.found.devices

    @property
    def verdict(self) -> Verdict:
        """`valid`, `invalid` or `not_measured`."""
        return self.found.verdict

    @property
    def verdict_reasons(self) -> tuple[str, ...]:
        """The reasons for a verdict that is not `valid`."""
        return self.found.verdict_reasons

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to read the figures with care."""
        return self.found.warnings

    @property
    def sources_not_used(self) -> dict[str, str]:
        """The reason why each other source was not taken, by its name."""
        return self.found.sources_not_used

    def powers(self, every_s: float) -> Iterator[Powers]:
        """While the window is open, yield every `every_s` seconds each device's energy since the last time, and the
        seconds since then. `live` has the joules of all of it: samples are given up, and `found` finds nothing."""
        self.live = live = LivePower(self._meter, self._start_s)
        while True:
            time.sleep(max(live.last_s + every_s - time.monotonic(), 0))
            yield live.step()

    def _find(self, end_s: float) -> MeteredEnergy:
        duration_s, meter = end_s - self._start_s, self._meter
        devices = meter.energy(self._start_s, end_s)
        reported = ReportedDevices(on_accelerator=any(device.kind == "gpu" for device in devices))
        energy: RunEnergy = run_energy(devices, reported, meter.source, meter.watch(self._start_s, end_s))
        judged, reasons = verdict(energy)
        known = energy.total_j is not None and energy.is_measured
        samples = meter.samples(self._start_s, end_s)
        return MeteredEnergy(
            started_at=self._started_at,
            duration_s=duration_s,
            energy_j=energy.total_j,
            energy_uncertainty_j=energy.bound_j,
            energy_uncertainty=energy.uncertainty,
            energy_source=energy.source,
            energy_scope=energy.scope,
            mean_power_w=energy.total_j / duration_s if energy.total_j is not None and known else None,
            peak_power_w=peak_power_w(samples, energy.watches, 0.0, duration_s) if known else None,
            sensor=energy.sensor,
            calibration=energy.calibration,
            devices=tuple(devices),
            verdict=judged,
            verdict_reasons=tuple(reasons),
            warnings=(
                *energy_warnings(energy, duration_s, self._not_used),
                *map(mig_warning, self._sliced),
                *([self._overlap.warning] if self._overlap.others else []),
                *self._notes,
            ),
            sources_not_used=self._not_used,
        )


def _scope(meter: Meter) -> str | None:
    """Return the devices that `energy_j` will be of; None where nothing is read."""
    return None if meter.source == "none" else "gpu" if "gpu" in meter.measured_kinds else "cpu"
