"""A gate, and the history that it compares with."""

from datetime import timedelta

import pytest
from compared_runs import BEGAN, made, of, one_run

from llenergymeasure.errors import ConfigError
from llenergymeasure.results.comparison import Group, Limit, compare, history, judged

CALM = (1.0, 1.01, 0.99, 1.0, 1.01, 0.99, 1.0, 1.01, 0.99, 1.0)
NIGHTS = "A." * 10 + "B"


def gate(last, limit=0.05, metric="energy_per_output_token_j", order=NIGHTS, factors=CALM):
    first, second = made(order, of((*factors, last)))
    return judged(compare(Group("history", first), Group("new", second)), Limit(metric, limit))


@pytest.mark.parametrize("metric", ["energy_per_output_token_j", "output_tokens_per_second", "ttft_ms_median"])
@pytest.mark.parametrize(("last", "found"), [(1.3, "worse"), (1.06, "unsure"), (1.0, "passed"), (0.5, "passed")])
def test_a_gate_is_shut_only_where_the_whole_interval_is_beyond_the_limit(metric, last, found):
    judgement, text = gate(last, metric=metric)
    assert judgement == found
    assert text.startswith(f"{metric}: new is ")
    assert "limit 5.0%" in text


def test_a_gate_that_is_shut_says_by_how_much_and_how_sure_it_is():
    judgement, text = gate(1.3)
    assert judgement == "worse"
    assert "30.0% worse (" in text
    assert "at 98.75%" in text


def test_a_history_of_a_few_nights_is_unsure_and_says_why():
    judgement, text = gate(2.0, order="A." * 3 + "B", factors=CALM[:3])
    assert judgement == "unsure"
    assert "3 stretches against 1" in text


def test_a_metric_that_the_new_one_lacks_may_be_worse():
    first, second = made(NIGHTS, of((*CALM, 1.0)))
    lacking = [result.model_copy(update={"energy_per_output_token_j": None}) for result in second]
    found = judged(compare(Group("history", first), Group("new", lacking)), Limit("energy_per_output_token_j", 0.05))
    assert found == ("worse", "energy_per_output_token_j: new: no figure above 0 in both, so it may be worse")


def test_energy_that_is_no_measurement_leaves_the_gate_unsure():
    first, second = made(NIGHTS, lambda name, _, start: one_run(name, start=start, verdict="invalid"))
    judgement, text = judged(compare(Group("a", first), Group("b", second)), Limit("energy_per_output_token_j", 0.05))
    assert (judgement, "not a valid measurement" in text) == ("unsure", True)


def night(number, name="A", **changes):
    return one_run(name, start=BEGAN + timedelta(days=number), **changes)


def test_the_history_is_the_last_results_of_that_configuration_before_the_new_one():
    new = night(20)
    earlier = [night(number) for number in (9, *range(8))]
    folder = [*earlier, night(8, "B"), night(30), new]
    assert history([new], folder, last=3) == [night(6), night(7), night(9)]
    assert len(history([new], folder)) == 9
    nowhen = night(1).model_copy(update={"experiment_id": "old", "start_time": None})
    assert history([new], [*folder, nowhen])[0] is nowhen


def test_the_history_may_be_of_one_other_configuration_and_not_of_several():
    new = night(20)
    others = [night(number, "B") for number in range(3)]
    assert history([new], others) == others
    with pytest.raises(ConfigError, match="2 configurations are in there"):
        history([new], [*others, night(4, "C")])


@pytest.mark.parametrize("folder", [[], [night(20)], [night(21), night(22)]])
def test_a_folder_without_earlier_results_is_no_history(folder):
    with pytest.raises(ConfigError, match="no history"):
        history([night(20)], folder)
