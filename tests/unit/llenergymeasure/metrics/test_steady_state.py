from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llenergymeasure.domain.figures import WarmupResult
from llenergymeasure.domain.requests import Batch
from llenergymeasure.metrics.steady_state import (
    choose_window,
    derive_measurement_methodology,
    full_batches_span,
    in_flight_span,
)


def warmup(converged):
    return WarmupResult(converged=converged, final_cv=0.01, iterations_completed=5, target_cv=0.05, max_prompts=20)


BATCHES = [
    Batch(101.0, 103.0, (), 1, (), True),
    Batch(103.0, 106.0, (), 1, (), True),
    Batch(106.0, 108.0, (), 1, (), False),
]


def chosen(asked=None, converged=None, batches=BATCHES):
    settled = None if converged is None else warmup(converged)
    return choose_window(asked, settled, full_batches_span(batches), 100.0, 109.0)


@pytest.mark.parametrize(("converged", "methodology"), [(None, "total"), (False, "total"), (True, "steady_state")])
def test_the_methodology_follows_from_the_warmup(converged, methodology):
    assert derive_measurement_methodology(None if converged is None else warmup(converged)) == methodology


def test_without_a_converged_warmup_the_window_is_the_whole_run():
    window = chosen()
    assert (window.methodology, window.start_s, window.end_s, window.duration_s) == ("total", 100.0, 109.0, 9.0)


def test_the_steady_state_ends_with_the_last_full_batch():
    window = chosen(converged=True)
    assert (window.methodology, window.start_s, window.end_s) == ("steady_state", 101.0, 106.0)


def test_without_a_full_batch_there_is_no_steady_state_and_the_result_says_so():
    window = chosen(converged=True, batches=BATCHES[2:])
    assert window.methodology == "total"
    assert "no batch was full" in window.note


def test_a_window_that_was_asked_for_stands_over_the_steady_state():
    window = chosen(asked=(2.0, 4.0), converged=True)
    assert (window.methodology, window.start_s, window.end_s, window.note) == ("windowed", 102.0, 104.0, None)


def test_a_window_longer_than_the_run_ends_with_it_and_says_so():
    window = chosen(asked=(2.0, 40.0))
    assert (window.methodology, window.end_s) == ("windowed", 109.0)
    assert "send more prompts" in window.note


def test_a_window_after_the_run_loses_nothing():
    window = chosen(asked=(20.0, 40.0))
    assert (window.methodology, window.start_s, window.end_s) == ("total", 100.0, 109.0)
    assert "figures are of the whole run" in window.note


moments = st.integers(0, 20)
spans = st.lists(st.tuples(moments, moments).map(lambda span: tuple(sorted(span))), max_size=12)


def full_times(requests, concurrency):
    """The stretches between two events in which so many are in flight, counted one by one."""
    events = sorted({moment for span in requests for moment in span})
    return [
        stretch
        for stretch in pairwise(events)
        if sum(start <= stretch[0] and stretch[1] <= end for start, end in requests) >= concurrency
    ]


@given(spans, st.integers(1, 5))
def test_the_steady_state_of_a_server_is_from_the_first_to_the_last_moment_of_full_concurrency(requests, concurrency):
    full = full_times(requests, concurrency)
    found = in_flight_span(requests, concurrency)
    if full:
        assert found == (full[0][0], full[-1][1])
    else:
        assert found == f"there were never {concurrency} requests in flight"


def test_requests_that_only_touch_are_not_in_flight_together():
    touching = [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]
    assert in_flight_span(touching, 1) == (0.0, 3.0)
    assert in_flight_span(touching, 2) == "there were never 2 requests in flight"
    assert in_flight_span([(0.0, 2.0), *touching], 2) == (0.0, 2.0)


def test_an_open_loop_has_no_steady_state():
    assert in_flight_span([(0.0, 1.0)], None) == "an open loop has no fixed number of requests in flight"


def test_a_server_that_was_never_full_has_no_steady_state_and_the_result_says_so():
    window = choose_window(None, warmup(True), in_flight_span([(100.0, 101.0)], 2), 100.0, 109.0)
    assert window.methodology == "total"
    assert "there were never 2 requests in flight, so there is no steady state" in window.note


@given(st.floats(0, 1e9), st.floats(1e-9, 100), st.floats(0, 100), st.floats(1e-9, 100))
def test_a_window_has_a_length_whatever_is_lost_in_rounding(opened_s, lasted_s, first_s, further_s):
    assume(opened_s + lasted_s > opened_s)
    assert choose_window((first_s, first_s + further_s), None, "", opened_s, opened_s + lasted_s).duration_s > 0


def test_a_window_that_begins_where_the_run_ends_is_all_of_the_run():
    window = choose_window((0.001, 0.011), None, "", 64.0, 64.001)  # 64.001 - 64 is over 0.001
    assert (window.methodology, window.start_s, window.end_s) == ("total", 64.0, 64.001)
    assert window.note.startswith("measurement.window starts at 0.001 s")


def test_a_window_that_is_shorter_than_the_clock_can_tell_is_all_of_the_run():
    window = choose_window((0.0, 1e-9), None, "", 16777216.0, 16777217.0)
    assert (window.methodology, window.duration_s) == ("total", 1.0)
    assert window.note.startswith("measurement.window is 1e-09 s long")
