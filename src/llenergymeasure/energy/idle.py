"""The idle power of devices, and its spread."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from llenergymeasure.config.models import BaselineConfig
from llenergymeasure.domain.power import IdlePower
from llenergymeasure.energy.meters.base import Meter
from llenergymeasure.metrics.energy import ReportedDevices, run_energy

MOST_PARTS = 10
SHORTEST_PART_S = 0.5


@dataclass(frozen=True)
class IdleWindow:
    """The time in which the machine was left alone; `skipped` is the reason where it was not."""

    start_s: float = 0.0
    end_s: float = 0.0
    measured_at: datetime | None = None
    skipped: str | None = None


def why_not(meter: Meter, config: BaselineConfig, on_accelerator: bool | None) -> str | None:
    """Return why idle power is not measured: nothing reads it, or it is turned off. None where it is measured.

    `on_accelerator` is whether GPUs count or the CPU does, None where that is not known yet.
    """
    if not meter.is_measurement:
        return f"no baseline: energy source {meter.source} measures no power"
    wanted = {True: {"gpu"}, False: {"cpu", "dram"}, None: {"gpu", "cpu", "dram"}}[on_accelerator]
    if not wanted & meter.measured_kinds:
        return f"no baseline: no sensor of the {'GPU' if on_accelerator else 'CPU'} is read"
    return None if config.enabled else "no baseline: the configuration has baseline.enabled: false"


def watch_idle(
    meter: Meter,
    config: BaselineConfig,
    on_accelerator: bool | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> IdleWindow:
    """Leave the machine alone for `duration_seconds`; the window has the reason where it is skipped."""
    if skipped := why_not(meter, config, on_accelerator):
        return IdleWindow(skipped=skipped)
    measured_at = datetime.now(UTC)
    meter.mark()
    start_s = time.monotonic()
    sleep(config.duration_seconds)
    end_s = time.monotonic()
    meter.mark()
    return IdleWindow(start_s, end_s, measured_at)


def idle_power(meter: Meter, window: IdleWindow, reported: ReportedDevices) -> IdlePower:
    """Return the power of the reported devices in an idle window, and its spread over the parts of the window."""
    if window.skipped is not None:
        return IdlePower(None, unknown=window.skipped)

    def power_w(start_s: float, end_s: float) -> float | None:
        energy = run_energy(meter.energy(start_s, end_s), reported, meter.source)
        return None if energy.total_j is None else energy.total_j / (end_s - start_s)

    watched = run_energy(meter.energy(window.start_s, window.end_s), reported, meter.source)
    if not watched.is_measured:
        return IdlePower(None, unknown=f"no baseline: energy source {watched.source} measures no power")
    duration_s = window.end_s - window.start_s
    mean_w = power_w(window.start_s, window.end_s)
    if mean_w is None:
        return IdlePower(None, measured_at=window.measured_at, unknown="no baseline: a device could not be read")
    parts = min(MOST_PARTS, int(duration_s / SHORTEST_PART_S))
    if parts < 2:
        return IdlePower(mean_w, measured_at=window.measured_at)
    edges_s = [window.start_s + duration_s * part / parts for part in range(parts)] + [window.end_s]
    powers = [power_w(a, b) for a, b in itertools.pairwise(edges_s)]
    known = [power for power in powers if power is not None]
    return IdlePower(mean_w, (max(known) - min(known)) / 2 if known else None, window.measured_at)
