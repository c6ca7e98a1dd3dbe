"""Sessions: runs on one device without a pause. A machine is cold when one opens, so it matters which side does."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from llenergymeasure.results.comparison.runs import PAUSE_S, Run, Side

SHORTEST_PAUSE_S = 60.0
PERIODS = 3.0
"""A pause is as long as three runs, each with what surrounds it: one run of another configuration is none."""


def mixed_sessions(runs: Sequence[Run], between: Sequence[Run] = ()) -> list[list[Run]]:
    """Return the sessions of each device in which both sides ran, in the order of their starts.

    A pause is over three times the median time from one start to the next on that device, a minute at the least; an
    hour is always one. Runs `between`, of other configurations, keep a device warm. Runs on unknown devices are taken
    to be on one.
    """
    by_device: dict[frozenset[str], list[Run]] = {}
    for run in runs:
        by_device.setdefault(run.devices, []).append(run)
    found = [
        session
        for devices, alike in by_device.items()
        for session in _parted(alike, [run for run in between if run.devices & devices])
        if any(one.side != other.side for one, other in pairwise(session))
    ]
    return sorted(found, key=lambda session: session[0].start_s)


def _parted(runs: Sequence[Run], between: Sequence[Run]) -> list[list[Run]]:
    """Return the runs of one device in parts without a pause; those `between` are in none, and fill pauses."""
    others = {id(run) for run in between}
    busy = sorted([*runs, *between], key=lambda run: run.start_s)
    periods = [other.start_s - one.start_s for one, other in pairwise(busy)]
    pause_s = min(max(SHORTEST_PAUSE_S, PERIODS * median(periods)), PAUSE_S) if periods else PAUSE_S
    found: list[list[Run]] = [[]]
    busy_until_s = busy[0].start_s
    for run in busy:
        if run.start_s - busy_until_s >= pause_s:
            found.append([])
        if id(run) not in others:
            found[-1].append(run)
        busy_until_s = max(busy_until_s, run.end_s)
    return [session for session in found if session]


def always_first(sessions: Sequence[Sequence[Run]]) -> Side | None:
    """Return the side that opens more of the sessions than the other does, by two or more; else None."""
    openers = [session[0].side for session in sessions]
    surplus = openers.count(0) - openers.count(1)
    return None if abs(surplus) < 2 else 0 if surplus > 0 else 1
