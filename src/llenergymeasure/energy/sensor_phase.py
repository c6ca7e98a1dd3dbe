"""The period and phase at which a power sensor publishes its values, from polls that saw each value many times.

A change of the value shows that one was published between two polls. The sensor's period is that for which the changes
have the most coherent phase, refined by least squares; the phase is followed through the run, since the sensor's clock
is not the host's. A publication that repeats the value before it then has its moment from the period alone.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llenergymeasure.energy.polls import Changes, Reals

FEWEST_CHANGES = 24
"""With fewer changes than this the period is the one that was expected."""

CELL_PERIODS = 200
"""The phase is found anew in each so many periods: a clock that drifts by 1e-4 moves by 2 % of one then."""

FEWEST_PER_CELL = 8
"""Where there are fewer changes in that time, each one is its own phase."""

ERROR_SPREADS = 12
"""The error of the time between two phases, in standard errors of one: those of several steps of power add up."""

STEPS_PER_TURN = 10
"""The periods that are tried differ by a tenth of a turn over a cell."""

SEARCHED_CELLS = 32
WIDE_SEARCHED_CELLS = 8
WIDE_CELL_PERIODS = 50
"""A search among all periods is made in shorter cells, whose phase asks for fewer periods to be tried."""

SEARCHED_SHARE = 0.05
"""The period is searched so far around the expected one."""

COHERENT = 0.6
"""Changes at random have a coherence of 0.2 or less, those of a sensor polled twice per period 0.75."""

MOST_CLASHES = 0.1
"""The largest share of changes that may fall into one period with the change before."""

FEWEST_NEIGHBOURS = 0.05
"""The least share of changes that come one period after the change before."""

SHORTEST_PERIOD_S, LONGEST_PERIOD_S = 0.010, 1.5


@dataclass(frozen=True)
class Grid:
    """The publications of a sensor: number `n` came at `moment_s(n)`, on a straight line between the moments `knot_s`
    of the numbers `knot_n`.

    `coherence` is 1 where changes were seen at one phase, and 0 where they came at any; None where there were too few
    to tell. `error_s` is the error of the time between two of its moments, but for the changes `lone` (rows of them),
    each of which is a knot at the middle of its bracket.
    """

    period_s: float
    knot_s: Reals
    knot_n: Reals
    lone: NDArray[np.int64]
    coherence: float | None = None
    error_s: float = 0.0

    def number(self, moment_s: Reals) -> Reals:
        """Return how many publications there were until a moment, as a real number."""
        inside = np.interp(moment_s, self.knot_s, self.knot_n)
        before, after = np.minimum(moment_s - self.knot_s[0], 0), np.maximum(moment_s - self.knot_s[-1], 0)
        found: Reals = inside + (before + after) / self.period_s
        return found

    def moment_s(self, number: Reals) -> Reals:
        """Return the moment of publications."""
        inside = np.interp(number, self.knot_n, self.knot_s)
        before, after = np.minimum(number - self.knot_n[0], 0), np.maximum(number - self.knot_n[-1], 0)
        found: Reals = inside + (before + after) * self.period_s
        return found


def find_grid(changes: Changes, expected_s: float) -> Grid:
    """Return the publications with the most coherent period within 5 % of the expected one."""
    dense = _dense(changes, expected_s)
    if len(dense.middle_s) < FEWEST_CHANGES:
        return grid_of_changes(changes, expected_s)
    return _refined(changes, _most_coherent(dense.up_to(SEARCHED_CELLS), expected_s, CELL_PERIODS)[0])


def search_grid(changes: Changes, poll_s: float) -> Grid | None:
    """Return the publications with the longest period that all changes are coherent with; None where there is none.

    `poll_s` is the time between two polls: a period of less than two of them is not found.
    """
    found: list[tuple[float, float]] = []
    expected_s = max(2 * poll_s, SHORTEST_PERIOD_S)
    while expected_s <= LONGEST_PERIOD_S:
        dense = _dense(changes, expected_s, WIDE_CELL_PERIODS).up_to(WIDE_SEARCHED_CELLS)
        if len(dense.middle_s) >= FEWEST_CHANGES:
            found.append(_most_coherent(dense, expected_s, WIDE_CELL_PERIODS))
        expected_s *= 1 + 2 * SEARCHED_SHARE
    best = max((coherence for _, coherence in found), default=0.0)
    for period_s, coherence in reversed(found):
        if coherence >= max(COHERENT, 0.9 * best):
            grid = _refined(changes, period_s)
            if explains(grid, changes):
                return grid
    return None


def explains(grid: Grid, changes: Changes) -> bool:
    """Return True if the changes came as the publications of `grid` would: coherent, and one in each period."""
    if grid.coherence is None:
        return True
    return grid.coherence >= COHERENT and float(np.mean(_steps(grid, changes) < 1)) <= MOST_CLASHES


def is_sparse(grid: Grid, changes: Changes) -> bool:
    """Return True if hardly a change came one period after the one before: the sensor's may be a multiple of it."""
    return grid.coherence is not None and float(np.mean(_steps(grid, changes) <= 1)) < FEWEST_NEIGHBOURS


def _steps(grid: Grid, changes: Changes) -> Reals:
    """Return the periods from each change to the next."""
    return np.diff(np.rint(grid.number(changes.middle_s[changes.width_s <= grid.period_s])))


def grid_of_changes(changes: Changes, period_s: float) -> Grid:
    """Return the publications of which every change is one, with others about `period_s` apart between them."""
    middle_s = changes.middle_s if len(changes.row) else np.array([0.0])
    return Grid(period_s, middle_s, _counted(middle_s, period_s), np.arange(len(changes.row)))


class _Dense(NamedTuple):
    """The narrow changes of the cells that have many, in order of time: their middles, the first of each cell, and how
    many each has; and the rows of the changes in other cells."""

    middle_s: Reals
    first: NDArray[np.int64]
    counts: NDArray[np.int64]
    lone: NDArray[np.int64]

    @property
    def cell(self) -> NDArray[np.int64]:
        """The cell of each change."""
        return np.repeat(np.arange(len(self.first)), self.counts)

    def up_to(self, cells: int) -> "_Dense":
        """Return the changes of the first cells."""
        kept = int(self.counts[:cells].sum())
        return _Dense(self.middle_s[:kept], self.first[:cells], self.counts[:cells], self.lone)


def _dense(changes: Changes, period_s: float, cell_periods: int = CELL_PERIODS) -> _Dense:
    if not len(changes.row):
        nothing = np.array([], dtype=np.int64)
        return _Dense(np.array([]), nothing, nothing, nothing)
    cell = ((changes.middle_s - changes.middle_s[0]) // (cell_periods * period_s)).astype(np.int64)
    is_narrow = changes.width_s <= period_s / 2
    cells, counts = np.unique(cell[is_narrow], return_counts=True)
    many = counts >= FEWEST_PER_CELL
    is_dense = np.isin(cell, cells[many])
    first = np.append(0, np.cumsum(counts[many]))[:-1]
    return _Dense(changes.middle_s[is_dense & is_narrow], first, counts[many], np.flatnonzero(~is_dense))


def _most_coherent(dense: _Dense, expected_s: float, cell_periods: int) -> tuple[float, float]:
    """Return the most coherent period within 5 % of the expected one, and its coherence."""
    middle_s = dense.middle_s - dense.middle_s[0]
    steps = int(2 * SEARCHED_SHARE * cell_periods * STEPS_PER_TURN) + 1
    periods_s = expected_s * np.linspace(1 - SEARCHED_SHARE, 1 + SEARCHED_SHARE, steps)
    turns = np.exp(2j * np.pi * middle_s[None, :] / periods_s[:, None])
    coherence = np.abs(np.add.reduceat(turns, dense.first, axis=1)).sum(axis=1) / len(middle_s)
    best = int(np.argmax(coherence))
    return float(periods_s[best]), float(coherence[best])


def _refined(changes: Changes, period_s: float) -> Grid:
    """Return the grid whose period is fitted by least squares, and whose phase follows that of the changes."""
    dense = _dense(changes, period_s)
    if len(dense.middle_s) < FEWEST_CHANGES:  # fewer are narrow beside a shorter period than were beside the expected
        return grid_of_changes(changes, period_s)
    cell = dense.cell
    centre_s = np.add.reduceat(dense.middle_s, dense.first) / dense.counts
    from_centre_s = dense.middle_s - centre_s[cell]

    def phases(period_s: float) -> tuple[NDArray[np.complex128], Reals]:
        """Return the sum of turns in each cell, and each change's distance from its cell's phase, in periods."""
        turns = np.exp(2j * np.pi * from_centre_s / period_s)
        sums = np.add.reduceat(turns, dense.first)
        return sums, np.angle(turns * np.conj(sums[cell])) / (2 * np.pi)

    for _ in range(2):  # within the cells
        number = from_centre_s / period_s
        period_s *= 1 + float(number @ phases(period_s)[1]) / float(number @ number)
    sums, distance = phases(period_s)
    knot_s = centre_s + np.angle(sums) / (2 * np.pi) * period_s  # a publication near the centre of each cell
    if len(knot_s) > 1:  # across them
        period_s = float(np.polyfit(_counted(knot_s, period_s), knot_s, 1, w=np.sqrt(dense.counts))[0])
    knot_s = np.sort(np.append(knot_s, changes.middle_s[dense.lone]))
    return Grid(
        period_s,
        knot_s,
        _counted(knot_s, period_s),
        dense.lone,
        coherence=float(np.abs(sums).sum() / len(cell)),
        error_s=ERROR_SPREADS * period_s * float(np.std(distance)) / math.sqrt(float(dense.counts.min())),
    )


def _counted(moment_s: Reals, period_s: float) -> Reals:
    """Return the numbers of publications at these moments, from 0; no two are the same one."""
    return np.append(0.0, np.cumsum(np.maximum(np.rint(np.diff(moment_s) / period_s), 1)))
