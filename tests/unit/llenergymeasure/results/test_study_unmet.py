"""Load searches of which some rounds gave no load: they missed even the least one, or have no answer."""

import pytest
from searched_runs import run_at, search_config, searched, study_of

from llenergymeasure.results.study.best import best_cells
from llenergymeasure.results.study.front import pareto_front
from llenergymeasure.results.study.runs import StudyRuns

MISSED = "missed even 1 request/s in 3 of 6 rounds"


def search_study(mosts):
    """Return a study of one cell; in each round the server meets the goal up to a load, or is never there (None)."""
    config = search_config(between=(1, 20))

    def measure(most):
        return lambda load: None if most is None else run_at(load, 100.0 if load <= most else 900.0)

    return study_of(config, [searched(config, measure(most), number) for number, most in enumerate(mosts, 1)])


def test_a_cell_of_which_rounds_missed_even_the_least_load_has_not_the_most_load():
    runs = search_study([20, 20, 20, 0, 0, 0])
    (cell,) = best_cells(runs).cells
    assert (cell.standing, cell.note) == ("no candidate", MISSED)
    (beside,) = pareto_front(runs, ["request_rate", "output_tokens_per_second"]).cells
    assert (beside.standing, beside.note) == ("no candidate", MISSED)
    (failed,) = best_cells(search_study([9, 9, None])).cells
    assert (failed.standing, failed.note) == ("no candidate", "no answer in 1 of 3 rounds")
    assert best_cells(runs, maximize="output_tokens_per_second").cells[0].standing == "best"


@pytest.mark.parametrize("column", ["request_rate", "config.load.request_rate"])
@pytest.mark.parametrize(
    ("mosts", "limit", "standing"),
    [
        ([9, 9, 9, 0, 0, 0], ">= 8", "limit unsure"),
        ([9, 9, 9, 0, 0, 0], "<= 4", "limit unsure"),
        ([9, 9, 9, 0, 0, 0], "<= 18", "best"),
        ([9, 9, 9, 0, 0, 0], ">= 18", "misses"),
        ([20, 20, 20, 0, 0, 0], "<= 70", "limit unsure"),
        ([9, 9, 9, 0, 0, 0], "!= 8", "limit unsure"),
        ([9, 9, None], "<= 18", "limit unsure"),
        ([9, 9, 9.1], "<= 10", "best"),
    ],
)
def test_rounds_that_gave_no_load_are_in_the_limits_on_it(column, mosts, limit, standing):
    found = best_cells(search_study(mosts), minimize="ttft_ms_p99", where=f"{column} {limit}").cells[0]
    assert found.standing == standing
    if standing == "limit unsure" and mosts[-1] == 0:
        assert found.note == f"request_rate {limit}: {MISSED}"


def test_a_limit_on_a_load_is_open_while_a_search_goes_on():
    runs = search_study([9, 9, 9])
    begun = StudyRuns(runs.manifest.model_copy(update={"runs": runs.manifest.runs[:-3]}), runs.results[:-3])
    found = best_cells(begun, minimize="ttft_ms_p99", where="request_rate <= 18").cells[0]
    assert (found.standing, found.note) == ("limit unsure", "request_rate <= 18: a search has not ended")
