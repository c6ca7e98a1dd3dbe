"""A board held idle and then busy, for an external meter that reads beside it, and what its sensors read meanwhile."""

import time
from datetime import UTC, datetime

import numpy as np

from labledger.console import Progress
from llenergymeasure.energy.calibration.bench import Bench, LoadTrace
from llenergymeasure.energy.calibration.publications import polls
from llenergymeasure.energy.calibration.stored import CELL_S, Hold
from llenergymeasure.energy.polls import Polls

REST_S, WARM_S, MARGIN_S, WHOLE_S = 5.0, 5.0, 0.5, 1.0
"""Seconds after other work until a board is idle, and after the begin of the load until its power is steady; what is
left out at the end; and what is added, so that between two whole seconds it is as long as it was asked for."""
CLOCK_S = 5.0
"""Seconds that a board is held before and after each hold besides: a meter's clock may be off by so much."""
LEAD_S = WARM_S + CLOCK_S
"""Seconds from the begin of the load to the busy hold."""


def hold_board(bench: Bench, seconds: float, progress: Progress) -> list[Hold]:
    """Leave the board of `bench` idle for `seconds`, then keep it busy as long, and return what its sensors read.

    It is idle, or busy, `CLOCK_S` longer on both sides of what is returned.
    """
    held_s = seconds + WHOLE_S
    after_s = held_s + CLOCK_S + MARGIN_S
    progress.phase(f"idle for {REST_S + CLOCK_S + after_s:.0f} s")
    idle = bench.record(REST_S + CLOCK_S + after_s)
    progress.phase(f"busy for {LEAD_S + after_s:.0f} s")
    busy = bench.record(LEAD_S + after_s + MARGIN_S, [(0.0, LEAD_S + after_s)])
    return [
        _hold("idle", idle, idle.start_s + REST_S + CLOCK_S, held_s),
        _hold("busy", busy, busy.busy[0][0] + LEAD_S, held_s),
    ]


def _hold(state: str, trace: LoadTrace, first_s: float, seconds: float) -> Hold:
    edges_s = first_s + CELL_S * np.arange(round(seconds / CELL_S) + 1)
    power, counter = polls(trace.samples, "power_w"), polls(trace.samples, "joules")
    clock_s = time.time() - time.monotonic()
    return Hold.model_validate(
        {
            "state": state,
            "start": datetime.fromtimestamp(clock_s + edges_s[0], UTC),
            "end": datetime.fromtimestamp(clock_s + edges_s[-1], UTC),
            "power_w": _means(power, edges_s),
            "joules": _at(counter, edges_s[1:]),
        }
    )


def _means(power: Polls, edges_s: np.ndarray) -> list[float | None]:
    cells = np.searchsorted(edges_s, power.after_s, side="right") - 1
    values = [power.values[cells == cell] for cell in range(len(edges_s) - 1)]
    return [float(each.mean()) if len(each) else None for each in values]


def _at(counter: Polls, moments_s: np.ndarray) -> list[float | None]:
    if len(counter.values) < 2:
        return [None] * len(moments_s)
    return [float(each) for each in np.interp(moments_s, counter.after_s, counter.values)]
