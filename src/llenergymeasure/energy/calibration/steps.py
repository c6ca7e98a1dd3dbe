"""The answer of a sensor to steps of load: how late it is, and how long it takes."""

from typing import NamedTuple

import numpy as np

from llenergymeasure.energy.calibration.bench import LoadTrace
from llenergymeasure.energy.calibration.publications import Series

LEAST_VALUES = 30
FROM, TO = 0.15, 0.85  # the part of a step whose length is that of the answer


class Steps(NamedTuple):
    """Values after steps of one direction: seconds since the step, in order, and the share of the step that is seen (n
    of each); `swing_w` is the step."""

    since_s: np.ndarray
    share: np.ndarray
    swing_w: float


def plan_bursts(seconds: float) -> list[tuple[float, float]]:
    """Return loads and pauses of many lengths from 20 to 300 ms for `seconds`, which let hardly a value stay."""
    lengths_s = 0.02 + 0.28 * (np.arange(2 * int(seconds / 0.3)) * 0.618 % 1) ** 2
    ends_s = 0.3 + np.cumsum(lengths_s)
    ends_s = ends_s[ends_s < seconds - 0.1]
    return [(float(start_s), float(end_s)) for start_s, end_s in zip(ends_s[::2], ends_s[1::2], strict=False)]


def plan_steps(count: int, hold_s: float) -> list[tuple[float, float]]:
    """Return `count` long loads with pauses as long, each a little longer than the last, so that steps fall on every
    phase of a sensor."""
    holds_s = hold_s * (1 + 0.15 * (np.arange(2 * count) * 0.618 % 1))
    ends_s = 0.3 + np.cumsum(holds_s)
    return [(float(ends_s[2 * n]), float(ends_s[2 * n + 1])) for n in range(count)]


def steps(trace: LoadTrace, published: Series, *, up: bool) -> Steps | None:
    """Return the values after each step up, or down; None where there are too few, or no step is seen."""
    begins_s = [start_s if up else end_s for start_s, end_s in trace.busy]
    others_s = [end_s for _, end_s in trace.busy] if up else [start_s for start_s, _ in trace.busy[1:]]
    holds_s = [(b - a) for a, b in zip(begins_s, others_s, strict=False)]
    cuts = [(published.moments_s - a, published.values, hold_s) for a, hold_s in zip(begins_s, holds_s, strict=False)]
    before = [values[(since_s < 0) & (since_s > -0.25 * hold_s)] for since_s, values, hold_s in cuts]
    after = [values[(since_s > 0.75 * hold_s) & (since_s < hold_s)] for since_s, values, hold_s in cuts]
    if not len(np.concatenate(before)) or not len(np.concatenate(after)):
        return None
    low, high = np.median(np.concatenate(before)), np.median(np.concatenate(after))
    since = np.concatenate([since_s[(since_s > -0.1) & (since_s < hold_s)] for since_s, _, hold_s in cuts])
    values = np.concatenate([values[(since_s > -0.1) & (since_s < hold_s)] for since_s, values, hold_s in cuts])
    if len(since) < LEAST_VALUES or high == low:
        return None
    order = np.argsort(since)
    return Steps(since[order], (values[order] - low) / (high - low), float(abs(high - low)))


def width_s(seen: Steps) -> float:
    """Return how long the answer to a step takes: an exponential of time constant c has 1.73 c."""
    return max(crossing_s(seen, TO) - crossing_s(seen, FROM), 0.0)


def crossing_s(seen: Steps, share: float) -> float:
    """Return the seconds after which `share` of a step is seen for the first time, smoothed over five values."""
    smooth = np.array([np.median(seen.share[max(n - 2, 0) : n + 3]) for n in range(len(seen.share))])
    late = np.flatnonzero((smooth >= share) & (seen.since_s > 0))
    return float(seen.since_s[late[0]]) if len(late) else float(seen.since_s[-1])
