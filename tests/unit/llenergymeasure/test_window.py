import pytest

from llenergymeasure.domain.metrics import WarmupResult
from llenergymeasure.domain.requests import Batch
from llenergymeasure.metrics.window import choose_window, derive_measurement_methodology, full_batches_span


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
