"""The energy of a window from power that was sampled now and then, with a bound."""

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
    averaging_s: float = 0.0,
) -> WindowEnergy:
    """Step-hold integral of samples (n moments in order, n powers) from `start_s` to `end_s`, clipped to the window.

    Each sample holds until the next. The bound is the sum of h |P_next - P| over the clipped intervals, and of
    h P_max for each interval longer than two periods (the median) or without a next sample. A sensor that gives the
    mean of its last `averaging_s` W is taken at the middle of that time, and W / 2 times the change of power across
    either edge, between the means before and after it, is added. It holds where power stays between two neighbouring
    samples. Unknown where no sample precedes the window.
    """
    moments_s = moments_s - averaging_s / 2
    first = int(np.searchsorted(moments_s, start_s, side="right")) - 1
    if first < 0:
        return WindowEnergy(None, None)
    last = max(int(np.searchsorted(moments_s, end_s, side="left")), first + 1)  # one past the last that holds inside
    edges_s = np.concatenate([[start_s], moments_s[first + 1 : last], [end_s]])
    held_s, held_w = np.diff(edges_s), powers_w[first:last]
    next_w = powers_w[first + 1 : last + 1]
    steps_w = np.abs(next_w - held_w[: len(next_w)])
    steps_w = np.append(steps_w, np.full(len(held_w) - len(next_w), max_power_w))
    gap_s = GAP_PERIODS * float(np.median(np.diff(moments_s))) if len(moments_s) > 1 else 0.0
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


def _held(moments_s: np.ndarray, powers_w: np.ndarray, at_s: float) -> float:
    return float(powers_w[max(int(np.searchsorted(moments_s, at_s, side="right")) - 1, 0)])
