"""The power of devices over a window, and how well they were watched. Data only."""

from dataclasses import dataclass, field
from datetime import datetime

from llenergymeasure.domain.choices import DeviceKind


@dataclass(frozen=True)
class PowerSample:
    """A device's mean power since its previous row; what a device does not have is None.

    `timestamp_s` counts from the start of the measurement. Rows of a metered CPU (all of its packages and memory
    together) have null GPU columns.
    """

    timestamp_s: float
    gpu_power_w: float | None = None
    gpu_temperature_c: float | None = None
    gpu_index: int | None = None
    cpu_power_w: float | None = None


@dataclass(frozen=True)
class EnergySoFar:
    """Joules of a device from some moment that is its own to `at_s` on CLOCK_MONOTONIC, as they were read: unbounded.

    Only differences mean anything. `energy_j` is None where it was never read, or its counter began again.
    """

    device: str
    kind: DeviceKind
    source: str
    at_s: float
    energy_j: float | None


@dataclass(frozen=True)
class DeviceWatch:
    """The watch of one device over a window: gaps, throttling, temperatures, and other processes on it.

    `index`: the driver's number of a GPU. `tick_s`: the median time between two values of its sensor;
    `longest_gap_s` the longest, and `gap_limit_s` what that may be. `power_integral_j`: the energy by the power that is
    read beside a counter, where its sensor sees all of the time, and `power_integral_bound_j` its edge and coverage.
    `limit_w`: the power limit in force. `throttled`: the share of the
    window in which each reason held. `temperatures_c`: seconds from the window's start, and degrees. `notes`:
    sentences for the result.
    """

    device: str
    index: int | None = None
    tick_s: float | None = None
    ticks: int = 0
    longest_gap_s: float | None = None
    gap_limit_s: float | None = None
    was_reset: bool = False
    power_integral_j: float | None = None
    power_integral_bound_j: float | None = None
    limit_w: float | None = None
    foreign_processes: tuple[str, ...] = ()
    throttled: dict[str, float] = field(default_factory=dict)
    temperatures_c: tuple[tuple[float, float], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class IdlePower:
    """The power of the idle devices that a run's figures are of; None where it was not measured, and why.

    `spread_w` is half the range of the mean powers of the parts that the time was cut into, None where it was too
    short to cut.
    """

    power_w: float | None
    spread_w: float | None = None
    measured_at: datetime | None = None
    unknown: str | None = None
