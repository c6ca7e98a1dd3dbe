"""The energy from boards' own power sensors against an external meter on their cables."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from real_boards import RECORDINGS, load, outcome

FOLDER = Path(__file__).resolve().parents[5] / "shared" / "data" / "power_meter"
WINDOWS = 300

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the recordings of real boards are not on this machine")

every = pytest.mark.parametrize("recording", RECORDINGS, ids=lambda each: each.name)
not_aliased = pytest.mark.parametrize(
    "recording", [each for each in RECORDINGS if not each.aliased], ids=lambda each: each.name
)
measured = cache(lambda recording: outcome(FOLDER, recording, WINDOWS))


@every
def test_every_window_is_within_the_whole_bound_of_the_meter(recording):
    found = measured(recording)
    assert np.all(found.raw_j <= found.edge_j + found.coverage_j + found.gain_j)


@not_aliased
def test_windows_are_within_edge_and_coverage_once_gain_offset_and_clock_are_fitted(recording):
    found = measured(recording)
    assert np.mean(found.fitted_j <= found.edge_j + found.coverage_j) >= 0.99


@not_aliased
def test_the_fit_is_of_the_size_that_was_published_for_such_boards(recording):
    found = measured(recording)
    assert abs(found.gain - 1) < 0.15
    assert abs(found.offset_w) < 20


@pytest.mark.parametrize(
    ("recording", "most_j"),
    [(each, 120 if each.sensor.window_s > 0.5 else 30) for each in RECORDINGS if "3090" in each.file],
    ids=lambda each: getattr(each, "name", None),
)
def test_the_edges_of_a_3090_are_narrow(recording, most_j):
    assert np.median(measured(recording).edge_j) <= most_j


@every
def test_the_period_of_a_real_sensor_is_found_near_the_tables(recording):
    found = load(FOLDER, recording)[0]
    assert found.notes("board") == ()
    assert found.sensor("board").source == "table"
    assert found.sensor("board").period_s == pytest.approx(recording.sensor.period_s, rel=0.03)


def test_a_board_whose_values_come_every_101_2_ms_is_seen_to_have_that_period():
    a100 = next(each for each in RECORDINGS if each.board.startswith("NVIDIA A100"))
    assert load(FOLDER, a100)[0].sensor("board").period_s == pytest.approx(0.1012, abs=0.0001)


def test_a_load_that_a_part_time_sensor_aliases_is_seldom_worth_its_coverage():
    a100 = next(each for each in RECORDINGS if each.aliased)
    found = measured(a100)
    assert np.median(found.coverage_j) > 50 * np.median(found.edge_j)
