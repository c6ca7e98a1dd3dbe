"""The best cell of a study within limits, and the sentence that says so: on studies that a test has made up."""

import math
import re

import numpy as np
import pytest
from built_studies import built, slower

from llenergymeasure.errors import ConfigError
from llenergymeasure.results.study.best import best_cells
from llenergymeasure.results.study.front import pareto_front

SEED = 5


def wobbling(*factors, rounds=6, names=None, **changes):
    """Return a study of cells that are slower by these factors, each run 1 % off or so; None is a cell that failed."""
    off = np.random.default_rng(SEED).normal(0.0, 0.01, (rounds, len(factors)))

    def fields(cell, number, place):
        if factors[cell] is None:
            return None
        return slower(factors[cell] * math.exp(off[number - 1, cell])) | changes

    return built(len(factors), rounds, fields, names=names)


def standings(best):
    return [each.standing for each in best.cells]


def test_the_answer_names_the_best_cell_those_like_it_and_how_many_miss_the_limits():
    best = best_cells(wobbling(1.0, 1.005, 1.5, 3.0), where="ttft_ms_p99 <= 150")
    assert standings(best) == ["best", "cannot tell", "worse", "misses"]
    assert best.sentence == (
        "least joules that meets them: batch_size 1: 0.999 ± 0.009 J/token; batch_size 2 cannot be told from it "
        "(+0.8 %, -0.7 to 2.4); batch_size 4 is worse (+49.9 %, 47.9 to 51.9); 1 of 4 cells misses the limits"
    )


def test_of_equal_cells_none_is_called_the_best():
    best = best_cells(wobbling(1.0, 1.002, 1.004))
    assert best.sentence.startswith("none of the 3 cells can be told apart; least joules in the mean: batch_size ")
    assert "worse" not in standings(best)


def test_a_greatest_figure_wins_where_it_is_asked_for():
    best = best_cells(wobbling(1.0, 1.5, 3.0), maximize="ttft_ms_p99")
    assert standings(best) == ["worse", "worse", "best"]
    assert best.sentence.startswith("most ttft_ms_p99: batch_size 4: 239.4 ± 2.0 ms; ")


def test_without_a_valid_energy_the_most_tokens_a_second_win_and_it_says_why():
    reasons = ["energy is unknown: no source"]
    best = best_cells(wobbling(1.0, 1.5, verdict="not_measured", verdict_reasons=reasons))
    assert (best.metric, best.winner) == ("output_tokens_per_second", 0)
    assert best.sentence.endswith(
        "joules decide nothing: no energy is a valid measurement (not_measured: energy is unknown: no source)"
    )


def test_estimated_joules_decide_nothing_even_where_they_are_asked_for():
    best = best_cells(wobbling(1.0, 1.5, verdict="not_measured"), minimize="energy_per_output_token_j")
    assert standings(best) == ["no candidate", "no candidate"]
    assert best.sentence == ("least joules: no cell can enter: no valid measurement of energy (not_measured)")


def test_a_cell_that_failed_is_no_candidate_and_is_counted():
    best = best_cells(wobbling(1.0, None, 1.5))
    assert standings(best) == ["best", "no candidate", "worse"]
    assert best.sentence.endswith("1 of 3 cells cannot enter: no result (failed)")


def test_runs_whose_energy_is_not_valid_are_left_out_of_the_joules_of_their_cell():
    def fields(cell, number, place):
        joules = {"energy_j": 900.0, "verdict": "invalid"} if (cell, number) == (0, 2) else {}
        return slower((1.0, 1.5)[cell] * (1 + 0.01 * (place % 3))) | joules

    best = best_cells(built(2, 6, fields))
    assert standings(best) == ["best", "worse"]
    assert best.cells[1].rounds == 5
    assert best.cells[0].mean < 1.03


@pytest.mark.parametrize(
    ("limit", "standing"),
    [
        ("ttft_ms_p99 <= 82", "best"),
        ("ttft_ms_p99 <= 80", "limit unsure"),
        ("ttft_ms_p99 < 78", "misses"),
        ("ttft_ms_p99 >= 78", "best"),
        ("output_tokens_per_second > 55", "misses"),
        ("verdict = valid", "best"),
        ("verdict != valid", "misses"),
        ("batch_size <= 1", "best"),
        ("batch_size > 1", "misses"),
        ("energy_per_output_token_j <= 1.1", "limit unsure"),
        ("energy_per_output_token_j <= 1.2", "best"),
    ],
)
def test_a_limit_is_met_only_where_the_whole_interval_meets_it_the_scale_of_joules_included(limit, standing):
    best = best_cells(wobbling(1.0), where=limit, minimize="tpot_ms_median")
    assert standings(best) == [standing]


def test_where_no_cell_is_known_to_meet_the_limits_none_wins_and_the_sentence_says_which_may():
    best = best_cells(wobbling(1.0, 2.0), where="ttft_ms_p99 <= 80")
    assert best.winner is None
    assert best.sentence == (
        "least joules: none of the 2 cells is known to meet ttft_ms_p99 <= 80; 1 of 2 cells misses the limits; "
        "it cannot be told whether they meet the limits: batch_size 1 (ttft_ms_p99 <= 80: it is 80.1 ± 0.6 ms)"
    )


def test_one_round_has_no_interval_and_so_meets_no_limit():
    best = best_cells(wobbling(1.0, 2.0, rounds=1), where="ttft_ms_p99 <= 500")
    assert standings(best) == ["limit unsure", "limit unsure"]


def test_two_rounds_tell_nothing_and_it_says_how_many_would():
    best = best_cells(wobbling(1.0, 2.0, rounds=2))
    assert best.sentence.startswith("none of the 2 cells can be told apart, for 2 rounds hold both; 3 are needed; ")


def test_the_best_of_one_cell_is_that_cell():
    assert best_cells(wobbling(1.0, names=["base"])).sentence == "least joules: base: 0.999 ± 0.009 J/token"


def test_a_study_without_any_result_has_no_best_cell():
    best = best_cells(wobbling(None, None))
    assert best.winner is None
    assert best.sentence.startswith("most tokens/s: no cell can enter: no result (failed); ")


def test_of_many_cells_that_cannot_be_told_apart_no_more_than_five_are_named():
    assert re.fullmatch(
        r"none of the 12 cells can be told apart; least joules in the mean: batch_size \d+: [\d.]+ ± [\d.]+ J/token",
        best_cells(wobbling(*[1.0] * 12)).sentence,
    )
    sentence = best_cells(wobbling(*[1.0] * 11, 1.5)).sentence
    assert "; cannot be told from it: batch_size " in sentence
    assert "; and 5 others; batch_size 2048 is worse (+" in sentence
    assert sentence.count("%") == 1


def test_a_figure_that_is_the_same_in_every_run_is_equal_and_a_count_needs_no_rounds():
    best = best_cells(wobbling(1.0, 1.5, rounds=1), minimize="output_tokens")
    assert standings(best) == ["best", "equal"]
    assert best.sentence == "all 2 cells have the same output_tokens: 100"


def test_figures_that_are_not_above_zero_are_compared_by_differences():
    def fields(cell, number, place):
        return slower(1.0) | {"energy_adjusted_j": (-1.0, 2.0)[cell] + 0.1 * (place % 3)}

    best = best_cells(built(2, 6, fields), minimize="energy_adjusted_j")
    assert standings(best) == ["best", "worse"]
    assert best.cells[1].ratio is None
    assert best.cells[1].difference == pytest.approx(3.0, abs=0.2)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"minimize": "jules"}, "--minimize: unknown column 'jules'"),
        ({"maximize": "model"}, "--maximize: model holds no measured number"),
        ({"minimize": "config.batch_size"}, "--minimize: config.batch_size holds no measured number"),
        ({"minimize": "ttft_ms_p99", "maximize": "ttft_ms_p99"}, "one metric decides"),
        ({"where": "ttft_ms_p99 <"}, "--where"),
    ],
)
def test_what_is_no_metric_or_no_limit_is_refused_with_its_option(options, problem):
    with pytest.raises(ConfigError) as refused:
        best_cells(wobbling(1.0, 1.5), **options)
    assert problem in str(refused.value)


def crossing():
    """Return a study in which more joules buy fewer milliseconds, one cell wastes both, and one is hardly worse."""
    pairs, noise = ((1.0, 3.0), (2.0, 1.5), (4.0, 1.0), (4.2, 3.1), (4.05, 1.01)), np.random.default_rng(SEED)

    def fields(cell, number, place):
        joules, times = pairs[cell] * np.exp(noise.normal(0.0, 0.01, 2))
        return slower([joules, times, times, times])

    return built(5, 6, fields)


def test_the_front_keeps_what_cannot_be_excluded_and_drops_what_is_told_to_be_worse_in_both():
    front = pareto_front(crossing(), ["energy_per_output_token_j", "ttft_ms_p99"])
    assert [each.standing for each in front.cells] == ["front", "front", "front", "off", "cannot be excluded"]
    assert front.cells[3].by in (0, 1, 2)
    assert front.sentence == (
        "front of energy_per_output_token_j and ttft_ms_p99: batch_size 1; batch_size 2; batch_size 4; "
        "they are told apart; cannot be excluded: batch_size 16; 1 of 5 cells told to be off it "
        "(up to 5 % in one of the two counts as none)"
    )


def test_a_front_is_of_two_metrics():
    for metrics in (["ttft_ms_p99"], ["ttft_ms_p99"] * 2):
        with pytest.raises(ConfigError, match="--pareto takes two metrics"):
            pareto_front(wobbling(1.0), metrics)


def test_joules_above_the_idle_machine_are_told_apart_only_beyond_their_own_bound():
    def study(bound_j):
        above = {"energy_adjusted_uncertainty_j": bound_j}
        return built(
            2, 6, lambda cell, number, place: slower(1.0) | above | {"energy_adjusted_j": (50, 55)[cell] + place % 2}
        )

    for bound_j, standing in ((0.5, "worse"), (5.0, "cannot tell")):
        assert standings(best_cells(study(bound_j), minimize="energy_adjusted_j")) == ["best", standing]
