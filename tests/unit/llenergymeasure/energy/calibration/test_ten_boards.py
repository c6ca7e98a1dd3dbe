"""A calibration calls nothing measured that is not so, on boards made without knowledge of how it works."""

from collections import Counter

import more_boards
import pytest
import ten_boards

from labledger.console import Silent
from llenergymeasure.energy.calibration.examination import examine

SEEDS = 20
PERIOD_SHARE, WINDOW_S, LAG_S = 0.01, 0.010, 0.015
FOUND_AT_LEAST = {"period": 0.98, "power": 0.85, "window": 0.85, "counter": 0.80}
"""Shares of the ten kinds' boards of which each is found; the counter's, of those that have one."""


@pytest.mark.parametrize("kind", ["BoostOvershoot", "CoarseWatts"])
def test_no_figure_that_is_given_for_a_board_of_a_foreign_kind_is_wrong(kind):
    found, wrong = _examined(ten_boards.board(kind, 1))

    assert wrong == []
    assert "period" in found


def test_a_slow_answer_is_taken_neither_for_the_boards_nor_for_the_sensors():
    found, wrong = _examined(more_boards.board("SlowAlikeOften", 5))

    assert wrong == []
    assert "power" not in found


def test_values_that_are_means_of_short_samples_are_part_time():
    found, wrong = _examined(more_boards.board("MeansOfSamples", 0))

    assert wrong == []
    assert {"power", "counter"} <= found
    assert "window" not in found


def test_a_counter_that_samples_faster_than_it_is_published_is_part_time():
    found, wrong = _examined(more_boards.board("CounterSamplesInside", 1))

    assert wrong == []
    assert "counter" in found


@pytest.mark.slow
def test_of_ten_foreign_kinds_with_twenty_boards_each_no_figure_is_wrong():
    boards = [ten_boards.board(kind, seed) for kind in ten_boards.NAMES for seed in range(SEEDS)]
    counters = sum(board.truth.counter_is_part_time is not None for board in boards)
    seen = [_examined(board) for board in boards]

    found = Counter(figure for each, _ in seen for figure in each)
    assert [wrong for _, wrong in seen if wrong] == []
    shares = {figure: found[figure] / (counters if figure == "counter" else len(boards)) for figure in FOUND_AT_LEAST}
    assert {figure: share for figure, share in shares.items() if share < FOUND_AT_LEAST[figure]} == {}


@pytest.mark.slow
@pytest.mark.parametrize("kind", more_boards.NAMES)
def test_of_a_sensor_or_a_board_with_little_to_go_by_no_figure_is_wrong(kind):
    assert [wrong for seed in range(SEEDS) if (wrong := _examined(more_boards.board(kind, seed))[1])] == []


def _examined(board) -> tuple[set[str], list[str]]:
    """Return the figures that were found, and what is wrong with any of them."""
    truth, got = board.truth, examine(board, Silent())
    is_right = {
        "period": lambda: abs(got.period_s / truth.period_s - 1) <= PERIOD_SHARE,
        "window": lambda: got.shape == truth.shape and abs(got.window_s - truth.window_s) <= WINDOW_S,
        "lag": lambda: abs(got.lag_s - truth.lag_s) <= LAG_S,
        "power": lambda: got.power_is_part_time is truth.power_is_part_time,
        "counter": lambda: got.counter_is_part_time is truth.counter_is_part_time,
    }
    given = {
        "period": got.period_s,
        "window": got.window_s,
        "lag": got.lag_s,
        "power": got.power_is_part_time,
        "counter": got.counter_is_part_time,
    }
    found = {figure for figure, value in given.items() if value is not None}
    return found, [f"{board.uuid}: {figure} {given[figure]}, {truth}" for figure in found if not is_right[figure]()]
