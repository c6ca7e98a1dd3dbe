"""Load search: halving between a load that meets the goal and one that misses it, step by step."""

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from searched_runs import later, queue_run, run_at, search_config, searched, served, study_of

from llenergymeasure.api import run_experiment
from llenergymeasure.config.loading import with_fields
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.domain.figures import Distribution
from llenergymeasure.domain.study import StudyCell, StudyManifest, StudyRun
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.study.best import best_cells
from llenergymeasure.results.study.runs import StudyRuns
from llenergymeasure.results.study.search_steps import most_steps, why_missed
from llenergymeasure.results.study.summary import summarise_study
from llenergymeasure.study.load_search import config_of, next_step
from properties import examples

RATES = st.floats(0.01, 1e4, allow_nan=False)


def loads(steps):
    return [run.searched for run, _ in steps]


def up_to(threshold):
    """A server that meets the goal up to a load."""
    return lambda load: run_at(load, 100.0 if load <= threshold else 900.0)


def answer(config, rounds):
    (found,) = summarise_study(study_of(config, rounds)).searches
    return found


@examples(40)
@given(RATES, st.floats(1.001, 1e4), st.floats(0.5, 50.0), st.floats(-0.1, 1.1))
@example(1.0, 64.0, 5.0, 0.5)
def test_the_highest_rate_lies_in_a_bracket_as_narrow_as_the_tolerance(low, factor, tolerance, place):
    config = search_config(between=(low, low * factor), tolerance=f"{tolerance}%")
    threshold = low * factor**place
    steps = searched(config, up_to(threshold))
    (found,) = answer(config, [steps]).rounds
    least, most = config.load.search.between
    assert len(steps) <= most_steps(config.load.search)
    assert len(set(loads(steps))) == len(steps)
    assert found.ended
    if threshold < least:
        assert (found.highest_met, found.lowest_missed) == (None, least)
    elif threshold >= most:
        assert (found.highest_met, found.lowest_missed) == (most, None)
    else:
        assert found.highest_met <= threshold < found.lowest_missed
        assert found.lowest_missed / found.highest_met <= (1 + tolerance / 100) * (1 + 2e-5)


@examples(15)
@given(st.integers(1, 500), st.integers(1, 1000), st.integers(0, 1600))
def test_the_highest_concurrency_is_a_whole_number_and_the_next_one_misses(low, width, threshold):
    config = search_config(between=(low, low + width), metric="concurrency", tolerance="0.1%")
    steps = searched(config, up_to(threshold))
    (found,) = answer(config, [steps]).rounds
    assert len(steps) <= most_steps(config.load.search)
    assert all(type(config_of(config, run).load.concurrency) is int for run, _ in steps)
    if low <= threshold < low + width:
        assert (found.highest_met, found.lowest_missed) == (threshold, threshold + 1)


@examples(40)
@given(
    st.lists(st.sampled_from(["meets", "misses", "fails"]), max_size=40),
    st.sampled_from(["request_rate", "concurrency"]),
)
def test_any_outcomes_end_a_search_whose_answer_meets_below_one_that_misses(words, metric):
    config, given_words = search_config(metric=metric), iter(words)
    results = {"meets": 100.0, "misses": 900.0}

    def measure(load):
        word = next(given_words, "misses")
        return None if word == "fails" else run_at(load, results[word], metric=metric)

    steps = searched(config, measure)
    (found,) = answer(config, [steps]).rounds
    assert len(set(loads(steps))) <= most_steps(config.load.search)
    assert len(steps) <= 2 * most_steps(config.load.search)
    if found.highest_met is not None and found.lowest_missed is not None:
        assert found.highest_met < found.lowest_missed
    for count in range(1, len(steps)):  # and at each of them a killed search goes on as this one did
        again, run = next_step(config, steps[:count]), steps[count][0]
        assert (again.step, again.searched) == (run.step, run.searched) == (count + 1, run.searched)


def test_a_search_tries_the_least_load_then_the_most_then_the_middle():
    steps = searched(search_config(), up_to(11.0))
    assert loads(steps)[:5] == [1.0, 64.0, 8.0, 22.6274, 13.4543]
    assert loads(searched(search_config(), up_to(0.5))) == [1.0]
    assert loads(searched(search_config(), up_to(99.0))) == [1.0, 64.0]


def test_a_step_is_an_ordinary_configuration_with_a_load():
    config = search_config()
    step = config_of(config, StudyRun(cell=0, round_number=1, step=2, searched=64.0))
    assert (step.load.request_rate, step.load.search) == (64.0, None)
    assert ExperimentConfig.model_validate(step.in_effect()) == step
    again = ExperimentConfig.model_validate(config.in_effect())
    assert again == config
    narrow = search_config(tolerance="0.5%")
    assert with_fields(narrow, {}) == ExperimentConfig.model_validate(narrow.in_effect()) == narrow
    assert again.load.search.tolerance == search_config(tolerance="5%").load.search.tolerance == 5.0


def test_a_step_that_fails_is_tried_once_more_and_then_taken_for_a_miss():
    fails = iter([None, run_at(1.0), None, None])
    steps = searched(search_config(), lambda load: next(fails, run_at(load)))
    assert loads(steps)[:4] == [1.0, 1.0, 64.0, 64.0]
    found = answer(search_config(), [steps])
    assert found.rounds[0].lowest_missed == 64.0
    assert found.rounds[0].miss == "2 runs failed: no server"
    dead = answer(search_config(), [searched(search_config(), lambda load: None)])
    unknown = "highest request_rate that meets ttft_ms_p99 <= 500: unknown: 2 runs failed: no server"
    assert dead.sentence == unknown
    slow = answer(search_config(), [searched(search_config(), up_to(0.5))])
    assert slow.sentence == "even 1 request/s misses ttft_ms_p99 <= 500 (1 round): ttft_ms_p99 is 900"


def test_a_rate_that_a_queue_does_not_keep_misses_whatever_the_goal():
    search = search_config("tpot_ms_p99 <= 500").load.search
    assert why_missed(search, 20.0, queue_run(20.0, 25.0)) == ""
    long_answers = [(start_s, start_s + 20.0) for start_s, _ in served(20.0, 25.0, count=1200)]
    assert why_missed(search, 20.0, run_at(20.0, requests=long_answers)) == ""  # 400 are in flight, as at half time
    assert why_missed(search, 30.0, queue_run(30.0, 25.0)).startswith(
        "requests piled up: 10 in flight after 1.66 s, 36 "
    )
    found = answer(
        search_config("tpot_ms_p99 <= 500"),
        [searched(search_config("tpot_ms_p99 <= 500"), lambda rate: queue_run(rate, 25.0))],
    )
    assert 20.0 < found.rounds[0].highest_met < 30.0


@pytest.mark.parametrize(("load", "behind"), [(0.8, 0), (1.3, 30)])
def test_a_queue_of_600_arrivals_is_called_behind_only_where_it_is(load, behind):
    search, draw = search_config("tpot_ms_p99 <= 500").load.search, random.Random(1)  # noqa: S311 - of arrivals
    runs = (served(10.0 * load, 10.0, count=600, draw=draw) for _ in range(30))
    assert sum(why_missed(search, 10.0 * load, run_at(10.0 * load, requests=spans)) != "" for spans in runs) == behind


def test_a_load_misses_if_requests_fail_or_the_client_is_late_or_a_figure_is_unknown():
    search, spans = search_config().load.search, [(second, second + 0.1) for second in range(100)]
    late = Distribution(n=100, mean=1.0, median=1.0, p90=1.0, p95=1.0, p99=9000.0)
    assert why_missed(search, 1.0, run_at(1.0, requests=spans, failed=1)) == ""
    assert why_missed(search, 1.0, run_at(1.0, requests=spans, failed=3)) == "3 requests failed"
    slow = why_missed(search, 1.0, run_at(1.0, requests=spans, client_lateness_ms=late))
    assert slow == "the client sent requests 9000 ms late in 99 s"
    assert why_missed(search, 1.0, run_at(1.0, latency_stats=None)) == "ttft_ms_p99 is unknown"
    both = search_config("ttft_ms_p99 <= 50 and output_tokens_per_second >= 60").load.search
    assert why_missed(both, 1.0, run_at(1.0)) == "ttft_ms_p99 is 80; output_tokens_per_second is 50"


def test_the_answer_is_the_mean_over_rounds_with_its_interval_and_the_joules_there():
    config = search_config()
    rounds = [
        searched(config, lambda rate, most=most: run_at(rate, 100.0 if rate <= most else 900.0, energy_j=most), number)
        for number, most in enumerate((11.0, 12.5, 10.0), 1)
    ]
    found = answer(config, rounds)
    assert [each.highest_met for each in found.rounds] == [pytest.approx(met, rel=0.05) for met in (11.0, 12.5, 10.0)]
    assert found.highest.mean == pytest.approx(sum(each.highest_met for each in found.rounds) / 3)
    assert found.highest.half_width > 0
    summary = summarise_study(study_of(config, rounds)).summary[0]
    assert found.at_highest[0] == next(each for each in summary.figures if each.metric == "energy_per_output_token_j")
    assert found.at_highest[0].mean == pytest.approx((11.0 + 12.5 + 10.0) / 3 / 100)
    assert [each.metric for each in found.at_highest][2:] == ["ttft_ms_p99"]
    words = (
        "highest request_rate that meets ttft_ms_p99 <= 500: 11 ± 3 requests/s (3 rounds); 0.11 ± 0.03 J/token there"
    )
    assert found.sentence == words


def test_rounds_that_end_at_a_bound_leave_no_interval_and_are_told():
    config = search_config()
    rounds = [searched(config, up_to(most), number) for number, most in enumerate((99.0, 99.0, 30.0), 1)]
    found = answer(config, rounds)
    assert found.highest.half_width is None
    assert ": at least " in found.sentence
    assert "64 is the upper end, and 2 of 3 rounds met it: raise load.search.between" in found.sentence
    rounds = [searched(config, up_to(most), number) for number, most in enumerate((0.5, 30.0), 1)]
    assert answer(config, rounds).sentence.endswith("even 1 missed it in 1 of 2 rounds: ttft_ms_p99 is 900")
    begun = answer(config, [rounds[1][:3]])
    assert begun.sentence.endswith("a search has not ended")
    assert not begun.rounds[0].ended


@pytest.mark.parametrize(
    ("search", "problem"),
    [
        ({"between": [64, 1]}, "between: 64 is not below 1; write the least load first"),
        ({"between": [8]}, r"is not the least load and the most, as \[1, 64\]"),
        ({"tolerance": 0.5}, "0.5 is 0.5 %; write 50% or, if that is meant, 0.5%"),
        ({"between": [1.5, 64], "metric": "concurrency"}, "are not both numbers of requests in flight"),
        ({"metric": "concurrency", "between": [1, 4000]}, r"load.search.between: 4000 requests in flight"),
        ({"tolerance": "none"}, "'none' is no percentage"),
        ({"between": [0, 64]}, "greater than 0"),
    ],
)
def test_a_search_that_cannot_be_made_is_refused(search, problem):
    with pytest.raises(ValueError, match=problem):
        search_config(**search)


def test_a_load_beside_a_search_and_a_search_in_one_run_are_refused():
    for load in ({"request_rate": 3}, {"concurrency": 3}):
        with pytest.raises(ValueError, match=f"{next(iter(load))}: has no effect with search"):
            ExperimentConfig.model_validate(
                {"model": "m", "backend": "openai", "load": {"search": search_config().load.search, **load}}
            )
    with pytest.raises(ValueError, match="load: has no effect with backend: pytorch"):
        ExperimentConfig.model_validate({"model": "m", "load": {"search": search_config().load.search}})
    with pytest.raises(ConfigError, match=r"load\.search: looks for a load in several runs, .* run_study"):
        run_experiment(search_config())


def two_servers(one, other):
    """Return a study of two cells that search; each server meets the goal up to a load, in every round."""
    config, runs, results = search_config(tolerance=5), [], []
    for number in range(1, 7):
        for cell in (0, 1) if number % 2 else (1, 0):
            for run, result in searched(config, up_to((one, other)[cell]), number):
                runs.append(run.model_copy(update={"cell": cell}))
                results.append(later(result, len(runs)))
    cells = [StudyCell(name=name, changes={}, config_hash="0", config=config.in_effect()) for name in ("old", "new")]
    return StudyRuns(StudyManifest(study_name="s", settings={}, cells=cells, runs=runs), results)


@pytest.mark.parametrize(
    ("most", "standing", "least", "greatest"),
    [(11.0, "cannot tell", 0.95, 1.05), (18.0, "worse", 0.5, 0.7), (99.0, "worse", 0.0, 0.2)],
)
def test_searched_loads_are_told_apart_only_beyond_the_steps_of_their_searches(most, standing, least, greatest):
    old, new = best_cells(two_servers(10.95, most), maximize="request_rate").cells
    it = old if old.standing != "best" else new
    assert it.standing == standing
    assert least <= it.low < it.high <= greatest
