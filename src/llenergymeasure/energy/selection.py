"""Which energy source a run uses."""

from llenergymeasure.config.models import UserConfig
from llenergymeasure.energy.meters.base import Meter
from llenergymeasure.energy.meters.estimate import CpuTimeEstimate
from llenergymeasure.energy.meters.none import NoMeter

NOT_READ = {"nvml": "this version reads no GPU sensor", "rapl": "this version reads no CPU sensor"}


def choose_meter(source: str, user: UserConfig) -> tuple[Meter, dict[str, str]]:
    """The meter for `source`, and for each other source that would do a sentence on why it was not taken.

    `auto` takes the estimate: this version reads no sensor.
    """
    if source == "none":
        return NoMeter(), {"estimate": "the configuration says energy.source: none"}
    return CpuTimeEstimate(user.cpu_watts_per_core), dict(NOT_READ) if source == "auto" else {}
