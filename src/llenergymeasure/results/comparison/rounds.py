"""Rounds: two adjacent runs on one device, one of each configuration, in an order that alternates."""

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from llenergymeasure.results.comparison.openings import mixed_sessions
from llenergymeasure.results.comparison.runs import PAUSE_S, Run, Side


class Round(NamedTuple):
    """A run of the first configuration and one of the second, whichever came before."""

    first: Run
    second: Run


class Rounds(NamedTuple):
    """Rounds in the order of time, and how many sessions lost their first one, all of which one side had opened."""

    rounds: list[Round]
    unopposed: int
    opener: Side


def find_rounds(runs: Sequence[Run], between: Sequence[Run] = ()) -> Rounds:
    """Return the rounds among `runs`, which are in the order of time; those of each session are found apart.

    A round is two neighbours of different sides, less than an hour apart whatever ran between; the next one begins
    with the side that the last one ended with (AB, BA, AB, ...). So drift, which makes whatever runs second slower or
    faster, is as often on one side as on the other. Of one session the longest such sequence is taken: a fixed order
    (AB, AB, AB) gives AB, BA, AB, with every third run left over.

    Of several, each that one side opens has its mirror in one that the other side opens, and gives as many rounds, or
    an even number more. Sessions without a mirror lose the first round, which began on a cold machine, and give an
    even number of those after it, the last ones. So each side is as often first as the other, cold and warm.
    """
    sessions = mixed_sessions([run for run in runs if run.devices], between)
    if len(sessions) == 1:
        return Rounds(_longest(sessions[0]), 0, 0)
    openers = [[session for session in sessions if session[0].side == side] for side in (0, 1)]
    found, unopposed = [], 0
    for one, other in zip_longest(*openers):
        if one is not None and other is not None:
            found += _mirrored(_alternating(one, 0), _alternating(other, 1))
        else:
            unopposed += 1
            found += _without_first(one or other)
    ordered = sorted(found, key=lambda each: min(each.first.start_s, each.second.start_s))
    return Rounds(ordered, unopposed, 0 if len(openers[0]) > len(openers[1]) else 1)


def _mirrored(one: list[Round], other: list[Round]) -> list[Round]:
    """Return as many rounds of both, and an even number of what the longer has beyond that."""
    short, long = sorted((one, other), key=len)
    return [*short, *long[: len(long) - (len(long) - len(short)) % 2]]


def _without_first(session: Sequence[Run]) -> list[Round]:
    """Return an even number of the rounds after a session's first, the last ones."""
    change = next(place for place, run in enumerate(session) if run.side != session[0].side)
    rest = _longest(session[change + 1 :])
    return rest[len(rest) % 2 :]


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
