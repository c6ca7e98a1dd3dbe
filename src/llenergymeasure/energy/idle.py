"""The power of a device that does nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from llenergymeasure.config.models import BaselineConfig
from llenergymeasure.energy.meters.base import Meter


@dataclass(frozen=True)
class Baseline:
    """Idle power with the model loaded; `power_w` is None where it was not measured, and `skipped` says why."""

    power_w: float | None
    skipped: str | None = None
    measured_at: datetime | None = None


def measure_baseline(meter: Meter, config: BaselineConfig, sleep: Callable[[float], None] = time.sleep) -> Baseline:
    """Watch the idle machine for `duration_seconds`; skipped where the source is no measurement."""
    if not meter.is_measurement:
        return Baseline(None, skipped=f"no baseline: energy source {meter.source} measures no power")
    if not config.enabled:
        return Baseline(None, skipped="no baseline: the configuration says baseline.enabled: false")
    measured_at = datetime.now(UTC)
    meter.mark()
    start_s = time.monotonic()
    sleep(config.duration_seconds)
    end_s = time.monotonic()
    meter.mark()
    parts = [device.energy_j for device in meter.energy(start_s, end_s)]
    known = [part for part in parts if part is not None]
    if not parts or len(known) < len(parts):
        return Baseline(None, skipped="no baseline: a device could not be read", measured_at=measured_at)
    return Baseline(sum(known) / (end_s - start_s), measured_at=measured_at)
