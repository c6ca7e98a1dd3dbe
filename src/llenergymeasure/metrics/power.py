"""Peak power, temperatures and throttling of the devices that a total is of."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from llenergymeasure.domain.figures import ThermalThrottleInfo
from llenergymeasure.domain.power import DeviceWatch, PowerSample

TEMPERATURE_EVERY_S = 1.0
PEAK_OVER_S = 0.1
ROUNDING = 0.1


def peak_power_w(
    samples: Sequence[PowerSample], watches: Sequence[DeviceWatch], start_s: float, end_s: float
) -> float | None:
    """The highest power of the watched devices together, over 0.1 s at least; a sample's holds since the one before.

    `start_s` and `end_s` count as the samples do; None where no device has a power in there.
    """
    indexes = {watch.index for watch in watches}
    rows: dict[int | None, list[tuple[float, float | None]]] = {}
    for sample in samples:
        power_w = sample.cpu_power_w if sample.gpu_index is None else sample.gpu_power_w
        if sample.gpu_index in indexes:
            rows.setdefault(sample.gpu_index, []).append((sample.timestamp_s, power_w))
    if not rows:
        return None
    columns = [np.array(merged) for own in rows.values() if (merged := _merged(own))]
    if len(columns) < len(indexes):
        return None
    moments_s = np.unique(np.concatenate([own[:, 0] for own in columns]))
    inside = moments_s[(moments_s > start_s) & (moments_s <= end_s)]
    if len(inside) == 0:
        return None
    total_w = sum((_holding(own, inside) for own in columns), np.zeros(len(inside)))
    return float(total_w.max())


def _merged(rows: list[tuple[float, float | None]]) -> list[tuple[float, float]]:
    """Rows at least PEAK_OVER_S apart, each with the mean power since the one before: a tick is seen some milliseconds
    late, and between ticks that are not much further apart a power means nothing."""
    merged = []
    joules, since_s = 0.0, rows[0][0]
    for (before_s, _), (moment_s, power_w) in itertools.pairwise(rows):
        if power_w is None:  # the counter began anew
            joules, since_s = 0.0, moment_s
            continue
        joules += power_w * (moment_s - before_s)
        if moment_s - since_s >= PEAK_OVER_S * (1 - ROUNDING):
            merged.append((moment_s, joules / (moment_s - since_s)))
            joules, since_s = 0.0, moment_s
    return merged


def _holding(rows: np.ndarray, moments_s: np.ndarray) -> np.ndarray:
    position = np.minimum(np.searchsorted(rows[:, 0], moments_s, side="left"), len(rows) - 1)
    held: np.ndarray = rows[position, 1]
    return held


def thermal_time_series(watches: Sequence[DeviceWatch], offset_s: float) -> list[tuple[float, float]] | None:
    """Seconds from the measurement's start and the hottest device's degrees, one pair per second; None of no device.

    `offset_s` is where in the measurement the watched window begins.
    """
    samples = hottest_per_second(sample for watch in watches for sample in watch.temperatures_c)
    return [(moment_s + offset_s, degrees_c) for moment_s, degrees_c in samples] or None


def hottest_per_second(samples: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The hottest of the (seconds, degrees Celsius) in each second, in order of time; the first of equal ones."""
    hottest: dict[int, tuple[float, float]] = {}
    for moment_s, degrees_c in samples:
        second = int(moment_s // TEMPERATURE_EVERY_S)
        if second not in hottest or degrees_c > hottest[second][1]:
            hottest[second] = (moment_s, degrees_c)
    return [hottest[second] for second in sorted(hottest)]


def temperature_drift_c(watches: Sequence[DeviceWatch]) -> float | None:
    """The widest range of one device's temperature over the window."""
    ranges = [
        max(degrees) - min(degrees) for watch in watches if (degrees := [value for _, value in watch.temperatures_c])
    ]
    return max(ranges, default=None)


def throttling(watches: Sequence[DeviceWatch], duration_s: float) -> ThermalThrottleInfo | None:
    """The throttling of all devices, by the largest share of any reason; None where no sensor reported it."""
    if not any(watch.temperatures_c or watch.throttled for watch in watches):
        return None
    shares: dict[str, float] = {}
    for watch in watches:
        for reason, share in watch.throttled.items():
            shares[reason] = max(share, shares.get(reason, 0.0))
    share = max(shares.values(), default=0.0)
    return ThermalThrottleInfo(
        detected=bool(shares), throttled_s=share * duration_s, share=share, reasons=sorted(shares)
    )
