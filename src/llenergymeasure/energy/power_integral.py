"""The energy of a window from sampled power, with a bound."""

import numpy as np

from llenergymeasure.energy.ticklog import WindowEnergy

GAP_PERIODS = 2


def integrate(
    moments_s: np.ndarray,
    powers_w: np.ndarray,
    start_s: float,
    end_s: float,
    *,
    max_power_w: float,
    gap_s: float | None = None,
    averaging_s: float = 0.0,
) -> WindowEnergy:
    """Return the step-hold integral of samples from `start_s` to `end_s`; n moments in order, n powers.

    Each sample holds until the next. The bound is the sum of h |P_next - P| over the clipped intervals, and of
    h P_max for each interval longer than `gap_s` (None: `longest_hold_s`) or without a next sample. A sensor that gives
    the mean of its last `averaging_s` W is taken at the middle of that time, and W / 2 times the change of power
    across either edge, between the means before and after it, is added. It holds where power stays between two
    neighbouring samples. Unknown where no sample precedes the window.
    """
    gap_s = longest_hold_s(moments_s) if gap_s is None else gap_s
    near = slice(  # all that plays a part: a window of a long run has to do with few of its samples
        max(int(np.searchsorted(moments_s, start_s - averaging_s)) - 2, 0),
        int(np.searchsorted(moments_s, end_s + 2 * averaging_s)) + 2,
    )
    moments_s, powers_w = moments_s[near] - averaging_s / 2, powers_w[near]
    first = int(np.searchsorted(moments_s, start_s, side="right")) - 1
    if first < 0:
        return WindowEnergy(None, None)
    last = max(int(np.searchsorted(moments_s, end_s, side="left")), first + 1)  # one past the last that holds inside
    edges_s = np.concatenate([[start_s], moments_s[first + 1 : last], [end_s]])
    held_s, held_w = np.diff(edges_s), powers_w[first:last]
    next_w = powers_w[first + 1 : last + 1]
    steps_w = np.abs(next_w - held_w[: len(next_w)])
    steps_w = np.append(steps_w, np.full(len(held_w) - len(next_w), max_power_w))
    lengths_s = np.diff(moments_s[first : last + 1])
    gaps = np.append(lengths_s > gap_s, np.zeros(len(held_w) - len(lengths_s), dtype=bool))
    edge_j = float(held_s @ steps_w) + max_power_w * float(held_s[gaps].sum())
    if averaging_s > 0:
        changes = [
            abs(_held(moments_s, powers_w, at_s + averaging_s / 2) - _held(moments_s, powers_w, at_s - averaging_s / 2))
            for at_s in (start_s, end_s)
        ]
        edge_j += averaging_s / 2 * sum(changes)
    return WindowEnergy(float(held_s @ held_w), edge_j)


def longest_hold_s(moments_s: np.ndarray) -> float:
    """Return the seconds that a sample may stand for the power: two periods, a period being the median."""
    return GAP_PERIODS * float(np.median(np.diff(moments_s))) if len(moments_s) > 1 else 0.0


def _held(moments_s: np.ndarray, powers_w: np.ndarray, at_s: float) -> float:
    return float(powers_w[max(int(np.searchsorted(moments_s, at_s, side="right")) - 1, 0)])
