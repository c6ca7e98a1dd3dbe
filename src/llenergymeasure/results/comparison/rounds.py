"""Rounds: two adjacent runs on one device, one of each configuration, in an order that alternates."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from llenergymeasure.results.comparison.runs import PAUSE_S, Run, Side


class Round(NamedTuple):
    """A run of the first configuration and one of the second, whichever came before."""

    first: Run
    second: Run


def find_rounds(runs: Sequence[Run]) -> list[Round]:
    """Return the rounds among `runs`, which are in the order of time; those of each device are found apart.

    A round is two neighbours of different sides without an hour's pause between them; the next one begins with the side
    that the last one ended with (AB, BA, AB, ...). So drift, which makes whatever runs second slower or faster, is as
    often on one side as on the other. Of all such sequences the longest is taken. A fixed order (AB, AB, AB) gives
    AB, BA, AB as well, with every third run left over, but where pauses part its pairs it gives one round.
    """
    by_device: dict[frozenset[str], list[Run]] = {}
    for run in runs:
        if run.devices:
            by_device.setdefault(run.devices, []).append(run)
    found = [each for alike in by_device.values() for each in _longest(alike)]
    return sorted(found, key=lambda each: min(each.first.start_s, each.second.start_s))


def _longest(runs: Sequence[Run]) -> list[Round]:
    return max(_alternating(runs, 0), _alternating(runs, 1), key=len)


def _alternating(runs: Sequence[Run], begins: Side) -> list[Round]:
    """Return rounds of which the first begins with a run of side `begins`.

    Taking each as early as it can be had leaves the most for those after it.
    """
    found: list[Round] = []
    place = 0
    while place + 1 < len(runs):
        one, other = runs[place : place + 2]
        if one.side == begins != other.side and other.start_s - one.end_s < PAUSE_S:
            found.append(Round(one, other) if one.side == 0 else Round(other, one))
            begins = 1 if begins == 0 else 0
            place += 1
        place += 1
    return found


def runs_of(rounds: Iterable[Round]) -> list[Run]:
    """Return the runs that rounds are made of."""
    return [run for each in rounds for run in each]
