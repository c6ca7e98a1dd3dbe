"""The conditions of a device while it was watched: its temperature, its slow-downs, and other people's processes."""

from collections.abc import Sequence

import numpy as np

from llenergymeasure.energy.foreign_processes import ProcessWatch
from llenergymeasure.energy.samples import Recording
from llenergymeasure.energy.sensors.nvml import PROCESSES_EVERY_S


def foreign_processes(
    recording: Recording, processes: ProcessWatch, device: str, start_s: float, end_s: float
) -> tuple[str, ...]:
    """Return the foreign processes of a window; a look just outside of it counts, so that a short one has one too."""
    near = [
        state.pids
        for state in recording.states(device)
        if state.pids is not None and start_s - PROCESSES_EVERY_S <= state.at_s <= end_s + PROCESSES_EVERY_S
    ]
    return tuple(sorted({name for pids in near for name in processes.foreign(pids)}))


def throttled(recording: Recording, device: str, start_s: float, end_s: float) -> dict[str, float]:
    """Return, by reason, the share of the looks inside the window at which it held."""
    looks = [
        state.throttle
        for state in recording.states(device)
        if state.pids is None and start_s <= state.at_s <= end_s
    ]  # fmt: skip
    reasons = sorted({reason for look in looks for reason in look})
    return {reason: sum(reason in look for look in looks) / len(looks) for reason in reasons}


def temperatures(recording: Recording, device: str, start_s: float, end_s: float) -> tuple[tuple[float, float], ...]:
    """Return moments, in seconds from the window's start, and degrees Celsius."""
    moments_s, degrees = recording.series(device, "temperature_c")
    inside = (moments_s >= start_s) & (moments_s <= end_s)
    return tuple(zip((moments_s[inside] - start_s).tolist(), degrees[inside].tolist(), strict=True))


def temperatures_at(recording: Recording, device: str, at_s: Sequence[float]) -> list[float | None]:
    """Return the temperature read last before each of these moments; None where none was."""
    moments_s, degrees = recording.series(device, "temperature_c")
    places = np.searchsorted(moments_s, np.array(at_s, dtype=float), side="right") - 1
    return [float(degrees[place]) if place >= 0 else None for place in places.tolist()]
