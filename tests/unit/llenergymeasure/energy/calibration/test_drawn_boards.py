"""A calibration finds out what sensors drawn boards have, of which it is told nothing."""

from collections import Counter
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from drawn_boards import DrawnBoard, Truth, drawn_board
from meter_curves import missing

from labledger.console import Silent
from llenergymeasure.energy.calibration.examination import examine
from llenergymeasure.energy.calibration.stored import Calibration
from llenergymeasure.energy.sensor_model import Shape

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")

BOARDS = 200
WRONG_AT_MOST = 2
PERIOD_SHARE, WINDOW_S, LAG_S = 0.01, 0.010, 0.015
LONGEST_S = 600.0
FOUND_AT_LEAST = {"period": 0.98, "power": 0.88, "window": 0.75, "counter": 0.85}
"""Shares of the boards of which each is found; the counter's, of those that have one. A tenth of the boards have a
low-pass that is slower than their period: nothing tells it from a board that rises and falls as slowly."""


class Verdict(NamedTuple):
    """The figures of a calibration that were found, and those of them that are wrong; `model_is_wrong` where it calls
    a wrong model of the power sensor measured."""

    found: frozenset[str]
    wrong: frozenset[str]
    model_is_wrong: bool
    simulated_s: float
    shown: str


@pytest.mark.parametrize(
    "kind",
    ["full boxcar", "part boxcar", "average boxcar", "average low_pass", "part low_pass", "counter of samples"],
)
def test_no_figure_that_is_given_for_a_drawn_board_is_wrong(kind):
    seed = next(seed for seed in range(BOARDS) if kind in _kinds(drawn_board(seed).truth))

    verdict = _examined(seed)

    assert (verdict.wrong, verdict.model_is_wrong) == (frozenset(), False), verdict.shown
    assert "period" in verdict.found, verdict.shown


@pytest.mark.slow
def test_of_two_hundred_drawn_boards_two_at_most_are_wrong_and_no_wrong_model_is_called_measured():
    verdicts = [_examined(seed) for seed in range(BOARDS)]

    counters = sum(drawn_board(seed).truth.counter is not None for seed in range(BOARDS))
    found = Counter(figure for verdict in verdicts for figure in verdict.found)
    wrong = [verdict.shown for verdict in verdicts if verdict.wrong or verdict.model_is_wrong]
    shares = {figure: found[figure] / (counters if figure == "counter" else BOARDS) for figure in FOUND_AT_LEAST}
    assert not [verdict.shown for verdict in verdicts if verdict.model_is_wrong]
    assert len(wrong) <= WRONG_AT_MOST, wrong
    assert {figure: share for figure, share in shares.items() if share < FOUND_AT_LEAST[figure]} == {}
    assert max(verdict.simulated_s for verdict in verdicts) <= LONGEST_S


def _calibration(board: DrawnBoard) -> Calibration:
    """Return what would be kept of the board."""
    found = {name: value for name, value in vars(examine(board, Silent())).items() if name in Calibration.model_fields}
    unknown = {"measured_at": datetime.now(UTC), "board": None, "driver": None, "field": None}
    return Calibration(calibration_uuid=board.uuid, **unknown, **found)


def _examined(seed: int) -> Verdict:
    board = drawn_board(seed)
    truth, got = board.truth, _calibration(board)
    right = {
        "period": got.period_s is not None and abs(got.period_s / truth.period_s - 1) <= PERIOD_SHARE,
        "window": got.window_s is not None and _is_the_window(got.window_s, got.shape, truth),
        "lag": got.lag_s is not None and abs(got.lag_s - truth.lag_s) <= LAG_S,
        "power": got.power_is_part_time is truth.power_is_part_time,
        "counter": got.counter_is_part_time is truth.counter_is_part_time,
    }
    given = {
        "period": got.period_s,
        "window": got.window_s,
        "lag": got.lag_s,
        "power": got.power_is_part_time,
        "counter": got.counter_is_part_time,
    }
    found = frozenset(figure for figure, value in given.items() if value is not None)
    wrong = frozenset(figure for figure in found if not right[figure])
    model_is_wrong = got.sensor is not None and (
        bool(wrong & {"period", "window", "lag"}) or got.sensor.is_part_time is not truth.power_is_part_time
    )
    shown = f"seed {seed}: wrong {sorted(wrong)}, found {given}, {got.shape}; truth {_said(truth)}"
    return Verdict(found, wrong, model_is_wrong, board.simulated_s, shown)


def _is_the_window(window_s: float, shape: Shape | None, truth: Truth) -> bool:
    """Return True for the window in the sensor's own shape, and for the boxcar that is most like a low-pass that has
    forgotten all when its next value comes: such a sensor is published as a boxcar."""
    as_boxcar = truth.power_is_part_time and shape == "boxcar"
    true_s = truth.boxcar_s if as_boxcar else truth.window_s
    return (as_boxcar or shape == truth.shape) and abs(window_s - true_s) <= WINDOW_S


def _kinds(truth: Truth) -> set[str]:
    """Return the kinds that a board is of."""
    longer = truth.window_s > truth.period_s
    sensor = "part" if truth.power_is_part_time else "average" if longer else "full"
    kinds = {f"{sensor} {truth.shape}"}
    if truth.counter_is_part_time:
        kinds.add("counter of samples")
    return kinds


def _said(truth: Truth) -> str:
    return (
        f"{truth.curves.name}, {truth.shape}, T {truth.period_s * 1e3:.1f}, w {truth.window_s * 1e3:.1f}, lag "
        f"{truth.lag_s * 1e3:.0f}, jitter {truth.jitter_s * 1e3:.1f}, poll {truth.poll_s * 1e3:.1f} ms, noise "
        f"{truth.noise:.3f}, steps of {truth.quantum_w} W, {truth.deep_idle_w:.0f} to {truth.load_w:.0f} W, tail "
        f"{truth.curves.tail_share:.3f}, counter {truth.counter}"
    )
