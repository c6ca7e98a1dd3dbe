"""When a sensor publishes: its period, and the value of each publication, from samples that were polled faster."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from llenergymeasure.energy.polls import Changes, Polls
from llenergymeasure.energy.samples import SensorSample

Quantity = Literal["power_w", "joules"]

BIN_S = 0.001
LEAST_PERIOD_S = 0.008
LEAST_CHANGES = 40
LEAST_COHERENCE = 0.2
CHANGING_SHARE = 0.4  # of the publications that change the value, at least
LEAST_KEPT = 0.8  # of the changes that lie on the grid, at least
HALVES_AGREE = 0.004
SLACK = 0.15  # of a period: how far from the grid a publication may be seen


class Series(NamedTuple):
    """The publications of a sensor: moments (seconds) and values, n of each, on a grid of one period."""

    moments_s: np.ndarray
    values: np.ndarray


def polls(samples: Sequence[SensorSample], quantity: Quantity) -> Polls:
    """Return the samples that have `quantity`."""
    rows = [(s.before_s, s.after_s, v) for s in samples if (v := getattr(s, quantity)) is not None]
    columns = np.array(sorted(rows), dtype=float).reshape(-1, 3).T
    return Polls(*columns)


def period_s(polled: Polls) -> float | None:
    """Return the seconds between publications; None where the changes lie on no grid.

    The first guess is the most coherent period, among those at which hardly any publication has two changes and most
    have one; a least-squares fit through all moments makes it precise. Both halves of the record have to give the same.
    """
    seen = Changes.of(polled)
    if len(seen.middle_s) < LEAST_CHANGES:
        return None
    guess_s = _coherent_period_s(polled)
    if guess_s is None:
        return None
    fit_s = _fitted(seen, guess_s)
    middle_s = (seen.middle_s[0] + seen.middle_s[-1]) / 2
    halves = [Changes(*(column[part] for column in seen)) for part in _halves(seen.middle_s, middle_s)]
    by_half = [_fitted(half, guess_s) if len(half.middle_s) >= LEAST_CHANGES / 2 else None for half in halves]
    if fit_s is None or any(each is None or abs(each / fit_s - 1) > HALVES_AGREE for each in by_half):
        return None
    return fit_s


def _halves(moments_s: np.ndarray, middle_s: float) -> tuple[np.ndarray, np.ndarray]:
    return moments_s < middle_s, moments_s >= middle_s


def _coherent_period_s(polled: Polls) -> float | None:
    """Return the period at which the changes are most coherent.

    Polls that are regular themselves would look coherent at their own pace: each poll without a change counts against
    those with one. Of two that are as coherent, the one that leaves fewer publications without a change is meant.
    """
    moments_s = (polled.before_s[:-1] + polled.after_s[1:]) / 2
    is_change = (np.diff(polled.values) != 0).astype(float)
    span_s = float(np.ptp(moments_s))
    rate = is_change.sum() / span_s
    counts, _ = np.histogram(moments_s, bins=max(round(span_s / BIN_S), 1), weights=is_change - is_change.mean())
    size = 4 * len(counts)
    frequencies = np.fft.rfftfreq(size, span_s / len(counts))
    may_be = (frequencies > 0.97 * rate) & (frequencies < min(rate / CHANGING_SHARE, 1 / LEAST_PERIOD_S))
    if not may_be.any():
        return None
    coherence = np.abs(np.fft.rfft(counts, size))[may_be] / is_change.sum()
    best = int(np.argmax(coherence / frequencies[may_be]))
    return None if coherence[best] < LEAST_COHERENCE else float(1 / frequencies[may_be][best])


def _fitted(seen: Changes, guess_s: float) -> float | None:
    """Return the period of the line through the moments of change by their number; None if too many are off it."""
    numbers = np.round((seen.middle_s - _origin_s(seen.middle_s, guess_s)) / guess_s)
    slope_s, start_s = np.polyfit(numbers, seen.middle_s, 1)
    off_s = np.abs(seen.middle_s - start_s - slope_s * numbers)
    kept = off_s <= seen.width_s / 2 + SLACK * guess_s
    if kept.mean() < LEAST_KEPT:
        return None
    return float(np.polyfit(numbers[kept], seen.middle_s[kept], 1)[0])


def _origin_s(moments_s: np.ndarray, every_s: float) -> float:
    """Return the moment of a publication: the circular mean of all moments."""
    first_s = float(moments_s[0])
    turn = np.exp(2j * np.pi * (moments_s - first_s) / every_s).mean()
    return first_s + float(np.angle(turn)) / (2 * np.pi) * every_s


def series(polled: Polls, every_s: float) -> Series:
    """Return the value of each publication that a poll saw, at the moments of the grid that fits the changes best.

    A publication that repeats the value before is seen by a poll in the middle of its time.
    """
    seen = Changes.of(polled)
    if not len(seen.middle_s):
        return Series(np.array([]), np.array([]))
    origin_s = _origin_s(seen.middle_s, every_s)
    place = ((polled.before_s + polled.after_s) / 2 - origin_s) / every_s
    number = np.floor(place)
    is_inside = (place - number > 2 * SLACK) & (place - number < 1 - SLACK)
    values = dict(zip(number[is_inside].astype(int).tolist(), polled.values[is_inside].tolist(), strict=True))
    changed = np.round((seen.middle_s - origin_s) / every_s).astype(int)
    values |= dict(zip(changed.tolist(), polled.values[seen.row].tolist(), strict=True))
    numbers = np.array(sorted(values))
    return Series(origin_s + numbers * every_s, np.array([values[each] for each in numbers.tolist()]))
