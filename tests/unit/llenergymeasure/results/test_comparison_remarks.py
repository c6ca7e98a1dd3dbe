"""The remarks of a comparison: which runs do not count, and what else differs between the sides."""

import math
from datetime import timedelta
from statistics import fmean, variance

import pytest
from compared_runs import BEGAN, made, of, one_run

from llenergymeasure.domain.environment import EnvironmentSnapshot, GpuInfo
from llenergymeasure.domain.request_columns import RequestColumns
from llenergymeasure.results.comparison import HEADLINE, Group, compare, compare_with_first
from small_result import make_raw_result

ROUNDS = "ABBAABBAABBA"
NIGHTS = "A." * 5 + "B." * 5
NOISE = (1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 1.0, 1.01, 0.99, 1.0, 1.02, 0.98)

T_OF_4 = 4.3147  # Student's t of 4 degrees of freedom at 98.75 %


def compared(order, b=1.0, changes=lambda name, number: {}, **options):
    make = of(
        [factor * (b if name == "B" else 1.0) for name, factor in zip(order.replace(".", ""), NOISE, strict=False)]
    )
    first, second = made(order, lambda name, number, start: make(name, number, start, **changes(name, number)))
    return compare(Group("a", first), Group("b", second), **options)


def headline(found):
    return {row.metric: row for row in found.rows if row.kind == "headline"}


def remarks_on(found, text):
    return [remark for remark in found.remarks if text in remark]


def test_sides_of_which_one_ran_wholly_before_the_other_say_that_all_that_changed_is_in_the_ratio():
    found = compared(NIGHTS, b=1.5)
    assert {row.word for row in headline(found).values()} == {"different"}
    assert remarks_on(found, "all of the first ran before all of the second: whatever else changed between them")
    assert remarks_on(compared("A" * 3 + "B" * 3, spread=0.03), "all of the first ran before")
    assert not remarks_on(compared("A.B.B.A.A.B.B.A.A.B"), "ran before all")


@pytest.mark.parametrize(("hours", "said"), [(8.0, 1), (0.5, 0)])
def test_sides_that_ran_at_other_times_of_the_day_every_day_say_so(hours, said):
    days = [BEGAN + timedelta(days=day) for day in range(6)]
    first = [one_run("A", start=day) for day in days]
    second = [one_run("B", start=day + timedelta(hours=hours)) for day in days]
    found = compare(Group("a", first), Group("b", second), spread=0.03)
    assert len(remarks_on(found, "ran at different times of the day, every day")) == said


def test_a_spread_that_rounds_exceed_changes_nothing():
    """It would be taken as if known, and called equals different in a third of comparisons of three rounds."""
    assert headline(compared("ABBA" * 2, spread=0.001)) == headline(compared("ABBA" * 2))


def test_a_spread_that_runs_in_stretches_exceed_is_taken_with_students_t():
    found = headline(compared("AAABBB", spread=0.001))["ttft_ms_median"]
    logs = [[math.log(value) for value in side] for side in (NOISE[:3], NOISE[3:6])]
    error = math.sqrt(fmean(map(variance, logs)) * 2)
    assert math.log(found.joint_high / found.ratio) == pytest.approx(T_OF_4 * error, rel=1e-3)


def on(gpus):
    return lambda name, number: {"gpu": gpus[number]}


def test_only_devices_that_both_sides_ran_on_count_in_stretches():
    gpus = ["GPU-1"] * 6 + ["GPU-2"] * 3 + ["GPU-1"]
    found = compared("A." * 9 + "B", changes=on(gpus))
    assert (found.method, found.counts) == ("stretches", (6, 1))
    assert "3 of 10 runs left out: on a device that the other side did not run on" in found.remarks


def test_sides_without_a_common_device_keep_their_words_and_name_the_devices():
    found = compared("A." * 5 + "B", b=2.0, changes=on(["GPU-1"] * 5 + ["GPU-2"]))
    assert headline(found)["ttft_ms_median"].word == "different"
    assert "the first ran on GPU-1, the second on GPU-2: a difference may be the devices'" in found.remarks


def machine(governor="performance", **of_gpu):
    gpu = {
        "index": 0,
        "uuid": "GPU-1",
        "name": "H100",
        "power_limit_w": 700.0,
        "ecc_enabled": True,
        "mig_enabled": False,
    }
    return EnvironmentSnapshot(gpus=[GpuInfo(**gpu | of_gpu), GpuInfo(index=1, name="T4")], cpu_governor=governor)


@pytest.mark.parametrize(
    ("changed", "remark"),
    [
        ({"power_limit_w": 400.0}, "power_limit_w: the first 700.0, the second 400.0"),
        ({"mig_enabled": True}, "mig_enabled: the first False, the second True"),
        ({"ecc_enabled": False}, "ecc_enabled: the first True, the second False"),
        ({"name": "A100"}, "GPU: the first H100, the second A100"),
        ({"governor": "powersave"}, "cpu_governor: the first performance, the second powersave"),
        ({"power_limit_w": None}, None),
        ({}, None),
    ],
)
def test_how_the_machines_of_both_sides_were_set_is_named_where_it_differs(changed, remark):
    def changes(name, number):
        return {"environment_snapshot": machine(**(changed if name == "B" else {}))}

    found = remarks_on(compared(ROUNDS, changes=changes), "the first")
    assert found == ([f"{remark}: a difference may be due to that"] if remark else [])


def test_devices_that_are_unknown_on_one_side_are_named():
    found = compared(ROUNDS, changes=lambda name, number: {"device_energy": []} if name == "B" else {})
    assert "the device of 6 of 6 runs of the second is not known" in found.remarks


def process(**changes):
    return make_raw_result("run").model_copy(update={"timestamps": None, **changes})


def test_partial_results_are_left_out_and_counted():
    def changes(name, number):
        return {"process_results": [process(is_partial=number == 4)]}

    found = compared(ROUNDS, changes=changes)
    assert "1 of 12 runs left out: stopped before all requests were served" in found.remarks
    none_left = compared("ABBA", changes=lambda name, number: {"process_results": [process(is_partial=name == "B")]})
    assert none_left.why == "no run of the second counts: all are left out"


def test_failed_requests_mark_the_rows():
    served = process(requests=RequestColumns(e2e_ms=[1.0] * 9))

    def changes(name, number):
        return {"process_results": [served], "request_failures": {"cut": 3, "timeout": 1} if number == 2 else {}}

    assert headline(compared(ROUNDS, changes=changes))["ttft_ms_median"].note.startswith("4 of 112 requests failed")


@pytest.mark.parametrize(
    ("changed", "note", "metrics"),
    [
        ({"measurement_methodology": "steady_state"}, "measurement_methodology differs: total against", HEADLINE),
        ({"energy_scope": "cpu"}, "energy_scope differs: gpu against cpu", HEADLINE[:1]),
        ({"energy_source": "zeus"}, "energy_source differs: nvml_counter against zeus", HEADLINE[:1]),
    ],
)
def test_what_was_measured_in_another_way_cannot_be_told_apart(changed, note, metrics):
    environment = {"environment_snapshot": machine()}
    found = compared(ROUNDS, b=2.0, changes=lambda name, number: environment | (changed if name == "B" else {}))
    for metric, row in headline(found).items():
        assert (row.word == "cannot tell") == (metric in metrics or found.method is None)
        assert row.note.startswith(note) == (metric in metrics)


def test_each_group_is_compared_with_the_first_and_the_others_keep_the_devices_warm():
    names = "ABCDEEDCBAABCDEEDCBAABCDEEDCBA"
    sides = {name: [] for name in "ABCDE"}
    for at, name in enumerate(names):
        sides[name].append(one_run(name, start=BEGAN + timedelta(seconds=90 * at)))
    found = compare_with_first([Group(name, runs) for name, runs in sides.items()])
    assert [(each.method, each.counts) for each in found] == [("rounds", (6, 6)), *[("rounds", (6, 6))] * 3]
