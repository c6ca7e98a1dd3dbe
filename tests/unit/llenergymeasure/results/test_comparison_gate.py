"""A gate, and the history that it compares with."""

import re
from datetime import timedelta

import pytest
from compared_runs import BEGAN, made, of, one_run

from llenergymeasure.errors import ConfigError
from llenergymeasure.results.comparison import Group, Limit, compare, history, judged, strays

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
    assert history([new], folder, last=3).results == [night(6), night(7), night(9)]
    assert len(history([new], folder).results) == 9
    nowhen = night(1).model_copy(update={"experiment_id": "old", "start_time": None})
    assert history([new], [*folder, nowhen]).results[0] is nowhen


def test_the_history_may_be_of_one_other_configuration_and_not_of_several():
    new = night(20)
    others = [night(number, "B") for number in range(3)]
    assert history([new], others).results == others
    with pytest.raises(ConfigError, match="2 configurations are in there"):
        history([new], [*others, night(4, "C")])


@pytest.mark.parametrize("folder", [[], [night(20)], [night(21), night(22)]])
def test_a_folder_without_earlier_results_is_no_history(folder):
    with pytest.raises(ConfigError, match="no history"):
        history([night(20)], folder)


def test_last_counts_nights_however_many_runs_each_has_and_copies_are_no_runs():
    runs = [
        one_run(start=BEGAN + timedelta(days=number, minutes=2 * run)).model_copy(
            update={"experiment_id": f"{number}-{run}"}
        )
        for number in range(4)
        for run in range(3)
    ]
    copies = [runs[-1].model_copy() for _ in range(5)]
    found = history([night(20)], [*runs, *copies], last=2)
    assert [result.experiment_id for result in found.results] == ["2-0", "2-1", "2-2", "3-0", "3-1", "3-2"]
    assert {each.experiment_id for each in found.left_out} == {result.experiment_id for result in runs[:6]}
    assert {each.reason for each in found.left_out} == {"it is older than the last 2 stretches"}


def test_a_history_is_of_the_devices_of_the_new_one_and_others_are_named():
    mine, others = [night(number) for number in range(3)], [night(number, gpu="GPU-2") for number in range(2)]
    found = history([night(20)], [*mine, *others])
    assert found.results == mine
    assert [each.experiment_id for each in found.left_out] == [result.experiment_id for result in others]
    (remark,) = [each for each in compare(Group("old", *found), Group("new", [night(20)])).remarks if "device" in each]
    assert remark == "old: 2 results are left out, of other devices than the new one's or of unknown ones"
    with pytest.raises(ConfigError, match=r"on the devices of the new one \(GPU-1\): all 2 earlier results"):
        history([night(20)], others)


@pytest.mark.parametrize(
    ("lacking", "found"), [(0, "passed"), (1, "unsure"), (2, "unsure"), (3, "worse"), (4, "worse")]
)
def test_a_metric_that_some_new_runs_lack_does_not_pass_and_one_that_most_lack_is_worse(lacking, found):
    first, second = made("A." * 10 + "BBBB", of((*CALM, 1.0, 1.0, 1.0, 1.0)))
    new = [
        result.model_copy(update={"output_tokens_per_second": None}) if number < lacking else result
        for number, result in enumerate(second)
    ]
    limit = Limit("output_tokens_per_second", 0.05)
    judgement, text = judged(compare(Group("history", first), Group("new", new)), limit)
    assert judgement == found
    assert (f"{lacking} of 4 runs have no value" in text) == (lacking in (1, 2, 3))


def straying(factors):
    first, second = made("A." * len(factors) + "B", of((*factors, 1.5)))
    return strays(compare(Group("history", first), Group("new", second)), Limit("energy_per_output_token_j", 0.05))


def test_nights_that_a_gate_would_have_rejected_are_named_in_a_history():
    text = straying((*CALM[:8], 1.5, 1.5))
    assert text.startswith("energy_per_output_token_j: history strays by 18.6%")
    assert text.count("% worse") == 2
    assert "keep runs that a gate has rejected out of it" in text


@pytest.mark.parametrize("factors", [CALM, (*CALM[:9], 1.04), (*CALM[:9], 0.5), (1.0, 1.0, 1.0, 1.5)])
def test_nights_within_the_limit_better_ones_and_short_histories_are_not_named(factors):
    assert straying(factors) == ""


def test_every_result_is_used_or_left_out_with_a_reason():
    first, second = made("ABBAABBAA", of((1.0,) * 9))
    nowhen = second[0].model_copy(update={"experiment_id": "nowhen", "start_time": None})
    found = compare(Group("a", [*first, first[0]]), Group("b", [*second, nowhen]))
    assert [len(side) for side in found.used] == [4, 4]
    assert [tuple(each) for each in found.left_out] == [
        (first[0].experiment_id, "it is given more than once and counted once"),
        ("nowhen", "no start time"),
        (first[-1].experiment_id, "not in a round"),
    ]


def test_a_throughput_is_never_worse_by_more_than_all_of_it():
    judgement, text = gate(6.885, metric="output_tokens_per_second")  # 14.5 tokens/s after 100
    assert judgement == "worse"
    assert "new is 85.5% worse (" in text
    assert all(float(share) < 100 for share in re.findall(r"([\d.]+)% worse", text))
