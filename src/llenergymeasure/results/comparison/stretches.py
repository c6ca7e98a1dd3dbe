"""Stretches: what ran of one configuration without a run of the other between and without an hour's pause."""

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from llenergymeasure.results.comparison.runs import PAUSE_S, Run, Side

DAY_S = 86_400.0


class Stretch(NamedTuple):
    """Runs of one side in the same weather: one observation, however many there are.

    Stretches of one side that follow each other (nights) show how far stretches stray. In the mean they count once
    together, for their weather may have drifted: only where the sides change places is it as often on either.
    """

    side: Side
    runs: list[Run]


def find_stretches(runs: Sequence[Run]) -> list[Stretch]:
    """Return the stretches that `runs` of both sides, which are in the order of time, are made of."""
    found: list[Stretch] = []
    for session in sessions(runs):
        for run in session:
            if run is session[0] or found[-1].side != run.side:
                found.append(Stretch(run.side, []))
            found[-1].runs.append(run)
    return found


def sessions(runs: Sequence[Run]) -> list[list[Run]]:
    """Return runs that are in the order of time in parts, each of them without an hour's pause."""
    found: list[list[Run]] = []
    busy_until_s = 0.0
    for run in runs:
        if not found or run.start_s - busy_until_s >= PAUSE_S:
            found.append([])
        found[-1].append(run)
        busy_until_s = max(busy_until_s, run.end_s)
    return found


def on_shared_devices(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Return the runs on devices that both sides ran on, and a sentence on the others; all where no device is shared.

    Devices differ by more than configurations do: what ran on one alone says nothing of the other side.
    """
    shared = {run.devices for run in runs if run.side == 0} & {run.devices for run in runs if run.side == 1}
    kept = [run for run in runs if run.devices in shared] if shared else list(runs)
    left = len(runs) - len(kept)
    return kept, [
        f"{left} of {len(runs)} runs left out: on a device that the other side did not run on"
    ] if left else []


def order_remarks(stretches: Sequence[Stretch]) -> list[str]:
    """Return a sentence on what the order of the sides leaves open, where they do not interleave."""
    found = []
    if len(list(groupby(stretch.side for stretch in stretches))) == 2:
        name, other = ("first", "second") if stretches[0].side == 0 else ("second", "first")
        found.append(
            f"all of the {name} ran before all of the {other}: whatever else changed between them (driver, neighbours, "
            "season) is in the ratio; only rounds tell it apart"
        )
    if _by_time_of_day(stretches):
        found.append(
            "the first and the second ran at different times of the day, every day: what comes with the time of day is "
            "in the ratio; only rounds tell it apart"
        )
    return found


def _by_time_of_day(stretches: Sequence[Stretch]) -> bool:
    """Return True if a part of the day holds all of one side and none of the other, an hour apart at both ends.

    Of a side of one or two stretches that would be so by chance.
    """
    if min(sum(stretch.side == side for stretch in stretches) for side in (0, 1)) < 3:
        return False
    moments = sorted((run.start_s % DAY_S, run.side) for stretch in stretches for run in stretch.runs)
    around = pairwise([*moments, (moments[0][0] + DAY_S, moments[0][1])])
    apart = [later - earlier for (earlier, one), (later, other) in around if one != other]
    return len(apart) == 2 and min(apart) >= PAUSE_S
