"""Different, the same, or one cannot tell: the word, the sensors, the counts, the remarks."""

import math

import pytest
from compared_runs import BEGAN, made, of, one_run
from hypothesis import given
from hypothesis import strategies as st

from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.domain.environment import EnvironmentSnapshot
from llenergymeasure.domain.figures import EnergyUncertainty, ThermalThrottleInfo, UsedCalibration
from llenergymeasure.metrics.advice import run_warnings
from llenergymeasure.results.comparison import HEADLINE, Group, compare
from llenergymeasure.results.comparison.runs import disturbances
from properties import examples

ROUNDS = "ABBAABBAABBA"
NOISE = (0.999, 1.001, 1.0, 1.001, 0.999, 1.0, 1.0, 0.999, 1.001, 1.001, 1.0, 0.999)
LOOSE = (0.8, 1.2, 1.0, 1.1, 0.9, 1.0, 1.2, 0.8, 1.1, 0.9, 1.0, 1.0)
CALIBRATED = UsedCalibration(measured_at=BEGAN, used=["scale"])
HOST = EnvironmentSnapshot(hostname="bench", cpu_model="EPYC", cpu_logical_cores=2, ram_mb=8000.0)


def compared(order, factors=NOISE, margin=0.05, *, b=1.0, changes=None, **options):
    """The comparison of runs in an order; those of B are worse by the factor `b`, `changes(number)` are of each run."""
    scaled = [
        factor * (b if name == "B" else 1.0) for name, factor in zip(order.replace(".", ""), factors, strict=True)
    ]
    make = of(scaled)

    def run(name, number, start):
        return make(name, number, start=start, **(changes(number) if changes else {}))

    first, second = made(order, run)
    return compare(Group("a", first), Group("b", second), margin, **options)


def row(comparison, metric="energy_per_output_token_j"):
    return next(row for row in comparison.rows if row.metric == metric)


def words(comparison):
    return {row.metric: row.word for row in comparison.rows if row.kind == "headline"}


def test_rounds_that_lie_apart_are_different_in_every_headline_metric():
    found = compared(ROUNDS, b=1.2)
    assert words(found) == dict.fromkeys(HEADLINE, "different")
    energy = row(found)
    assert (found.method, energy.counts, energy.ratio) == ("rounds", (6, 6), pytest.approx(1.2, rel=1e-3))
    assert 1.19 < energy.low < 1.2 < energy.high < 1.21
    assert row(found, "output_tokens_per_second").ratio == pytest.approx(1 / 1.2, rel=1e-3)


def test_latencies_in_whole_milliseconds_that_differ_by_one_in_each_round_are_not_different():
    def word(*steps_ms):
        told = iter(steps_ms)
        first, second = made("ABBAAB", lambda name, number, start: one_run(name, ttft_ms=next(told), start=start))
        return words(compare(Group("a", first), Group("b", second)))["ttft_ms_median"]

    assert word(10.0, 11.0, 11.0, 10.0, 11.0, 12.0) == "cannot tell"
    assert word(10.0, 20.0, 21.0, 10.0, 11.0, 22.0) == "different"


def test_runs_within_the_margin_are_the_same_even_where_they_are_told_apart():
    assert set(words(compared(ROUNDS, b=1.02)).values()) == {"same"}
    assert set(words(compared(ROUNDS, margin=0.01, b=1.02)).values()) == {"different"}


def test_loose_rounds_cannot_tell_and_say_about_how_many_would():
    found = row(compared(ROUNDS, LOOSE, b=1.1))
    assert found.word == "cannot tell"
    assert "rounds would tell" in found.note


def test_the_word_of_a_headline_metric_follows_from_the_interval_and_level_beside_it():
    def levels(found):
        return sorted(row.level for row in found.rows if row.kind == "headline")

    assert levels(compared(ROUNDS, b=1.2)) == pytest.approx([1 - 0.05 / left for left in (1, 2, 3, 4)])
    assert levels(compared(ROUNDS)) == pytest.approx([1 - 0.05 / 4] * 4)


@given(
    st.lists(st.floats(-1, 1), min_size=12, max_size=12), st.floats(0, 0.2), st.one_of(st.none(), st.floats(0.01, 0.1))
)
@examples(30)
def test_a_word_never_contradicts_its_interval(logs, margin, spread):
    found = compared(ROUNDS, [math.exp(log) for log in logs], margin, spread=spread)
    for each in (row for row in found.rows if row.kind == "headline"):
        holds_1 = each.low <= 1 <= each.high
        is_within = each.joint_low >= 1 / (1 + margin) and each.joint_high <= 1 + margin
        assert each.word == ("same" if is_within else "cannot tell" if holds_1 else "different")
        assert each.joint_low <= each.low * (1 + 1e-12)


def test_exploratory_metrics_have_an_interval_and_no_word():
    found = row(compared(ROUNDS, b=1.2), "total_energy_j")
    assert (found.kind, found.word, found.level) == ("exploratory", None, 0.95)
    assert found.low > 1.19


def test_a_metric_that_one_side_lacks_is_not_compared_and_leaves_the_family():
    found = compared(ROUNDS, b=1.2, changes=lambda _: {"latency_stats": None})
    assert row(found, "ttft_ms_median").note == "no figure above 0 in both"
    assert row(found, "ttft_ms_median").word == "cannot tell"
    assert row(found).joint_level == pytest.approx(1 - 0.05 / 2)


@pytest.mark.parametrize("value", [0.0, -3.0, None])
def test_a_run_without_a_usable_figure_costs_its_round_and_no_more(value):
    found = compared(ROUNDS, b=1.2, changes=lambda number: {"energy_per_output_token_j": value} if number == 3 else {})
    assert (row(found).counts, row(found).word) == ((5, 5), "different")
    assert row(found, "output_tokens_per_second").counts == (6, 6)


def test_runs_without_a_figure_are_counted_in_the_row_and_in_its_note():
    lacking = {0, 3, 4, 7, 8}  # of A, whose runs are 0, 3, 4, 7, 8 and 11
    found = compared(ROUNDS, changes=lambda number: {"energy_per_output_token_j": None} if number in lacking else {})
    assert row(found).missing == (5, 0)
    assert row(found).note.startswith("5 of 12 runs have no value")
    assert row(found, "ttft_ms_median").missing == (0, 0)
    without = compared("AAB", NOISE[:3], changes=lambda number: {"latency_stats": None} if number < 2 else {})
    assert row(without, "ttft_ms_median").missing == (2, 0)


def sensed(**bounds):
    return lambda _: {"energy_uncertainty": EnergyUncertainty(**bounds)}


def test_edges_do_not_cancel():
    assert row(compared(ROUNDS, b=1.1)).word == "different"
    found = compared(ROUNDS, b=1.1, changes=sensed(edge_j=10.0))
    assert row(found).word == "cannot tell"
    assert "bounds" in row(found).note
    assert row(found, "ttft_ms_median").word == "different"


def test_what_the_sensor_did_not_see_does_not_cancel():
    assert row(compared(ROUNDS, b=1.1, changes=sensed(coverage_j=10.0))).word == "cannot tell"


def test_gain_cancels_on_one_board_and_not_between_two():
    order, gpus = "ABBA" * 3 + "BAAB" * 3, ("GPU-1",) * 12 + ("GPU-2",) * 12
    assert row(compared(order, NOISE * 2, b=1.1)).word == "different"
    found = compared(order, NOISE * 2, b=1.1, changes=lambda number: {"gpu": gpus[number]})
    assert (found.method, found.counts) == ("rounds", (12, 12))
    assert row(found).word == "cannot tell"
    assert row(found).low < 1.1 / 1.2


def test_an_offset_in_watts_does_not_cancel_on_one_board():
    """20 W beside A's 100 J a minute hide more than beside B's 150 J."""

    def offset(energy_j):
        return {"energy_uncertainty": EnergyUncertainty(gain_j=0.13 * energy_j + 20.0)}

    watts = [100.0, 150.0, 150.0, 100.0] * 3
    without = compared(ROUNDS, b=1.5)
    found = compared(ROUNDS, b=1.5, changes=lambda number: offset(watts[number]))
    assert row(found).low < row(without).low < row(without).high < row(found).high


@pytest.mark.parametrize("changes", [{"energy_source": "nvml_power"}, {"calibration": CALIBRATED}])
def test_gain_does_not_cancel_between_two_sensors_of_one_board(changes):
    assert row(compared(ROUNDS, b=1.1)).word == "different"
    assert row(compared(ROUNDS, b=1.1, changes=lambda number: changes if number > 3 else {})).word == "cannot tell"


def test_sensors_that_leave_everything_open_leave_an_interval_without_end():
    found = row(compared(ROUNDS, b=1.1, changes=sensed(edge_j=200.0)))
    assert (found.low, found.high, found.word) == (0.0, None, "cannot tell")


@pytest.mark.parametrize("changes", [{"verdict": "invalid"}, {"verdict": "not_measured", "energy_source": "estimate"}])
def test_energies_that_are_not_valid_are_marked_and_tell_nothing_but_their_times_do(changes):
    found = compared(ROUNDS, b=2.0, changes=lambda _: changes)
    assert (row(found).word, row(found).low) == ("cannot tell", None)
    assert "not a valid measurement" in row(found).note
    assert row(found, "output_tokens_per_second").word == "different"


def test_worse_is_more_joules_and_fewer_tokens():
    found = compared(ROUNDS, b=1.25)
    assert row(found).worse_by == pytest.approx(0.25, rel=1e-2)
    assert row(found, "output_tokens_per_second").worse_by == pytest.approx(0.2, rel=1e-2)


def test_counts_that_differ_are_different_in_any_weather_and_equal_ones_the_same():
    found = compared("AB", LOOSE[:2], changes=lambda number: {"output_tokens": 100 + number, "input_tokens": 7})
    assert row(found, "output_tokens").word == "different"
    assert row(found, "input_tokens").word == "same"
    assert row(found, "total_flops").word == "same"
    assert row(found, "energy_uncertainty_edge_j").word is None


WINDOWED = {"measurement_methodology": "steady_state"}
TIMED = {"effective_config": {"load": {"duration_s": 30.0}}}
SERVED = {"effective_config": {"load": {"concurrency": 8}}}


@pytest.mark.parametrize(("order", "further"), [("AABB", {}), ("AB", WINDOWED), ("AB", TIMED), ("AB", SERVED)])
def test_counts_that_are_of_the_weather_after_all_get_no_word(order, further):
    changes = [{"output_tokens": 100 + number, **further} for number in range(4)]
    found = row(compared(order, (1.0,) * len(order), changes=changes.__getitem__), "output_tokens")
    assert found.word is None
    assert found.note


def test_counts_of_servers_are_compared_where_two_runs_of_each_agree():
    changes = [{"output_tokens": tokens, **SERVED} for tokens in (100, 101, 101, 100)]
    assert row(compared("ABBA", (1.0,) * 4, changes=changes.__getitem__), "output_tokens").word == "different"


def test_counts_that_no_double_has_room_for_are_no_error():
    found = row(compared("AB", (1.0, 1.0), changes=lambda _: {"output_tokens": 10**400}), "output_tokens")
    assert (found.first, found.word) == (None, None)


def test_what_differs_in_the_configurations_is_named_to_its_place():
    assert compared(ROUNDS).config_differences == {"batch_size": (1, 8)}


def test_a_key_that_one_side_leaves_at_its_default_is_no_difference():
    def changes(number):
        further = {"batch_size": 8} if number in (1, 2) else {"precision": "bf16", "decoder": {"do_sample": False}}
        return {"effective_config": {"model": "gpt2", "backend": "pytorch", **further}}

    assert compared("ABBA", (1.0,) * 4, changes=changes).config_differences == {"batch_size": (1, 8)}


def test_a_configuration_that_cannot_be_read_is_compared_as_it_is_written():
    def changes(number):
        return {"effective_config": {"model": "gpt2", **({"of_tomorrow": 1} if number in (1, 2) else {})}}

    assert compared("ABBA", (1.0,) * 4, changes=changes).config_differences == {"of_tomorrow": (None, 1)}


def test_equal_configurations_that_differ_are_not_explained_by_the_configuration():
    equal = {"effective_config": {"model": "gpt2", "backend": "pytorch"}}
    found = compared(ROUNDS, b=1.2, changes=lambda _: equal)
    assert found.config_differences == {}
    assert any(remark.startswith("nothing in the configuration explains this: energy_per_") for remark in found.remarks)
    assert compared(ROUNDS, changes=lambda _: equal).remarks == []


def test_a_key_that_a_newer_version_writes_out_at_its_default_is_no_difference():
    short = {"model": "gpt2", "backend": "pytorch"}
    written = ExperimentConfig.model_validate(short).in_effect()
    first, second = made(
        ROUNDS, lambda name, _, start: one_run(name, start=start, effective_config=written if name == "A" else short)
    )
    assert compare(Group("a", first), Group("b", second)).config_differences == {}


def test_runs_that_were_disturbed_mark_the_rows():
    (contended,) = run_warnings(warmup=None, cpu_wait_share=0.5, cpu_steal_share=None, gpus=())
    (stolen,) = run_warnings(warmup=None, cpu_wait_share=None, cpu_steal_share=0.5, gpus=())
    hot = ThermalThrottleInfo(detected=True, share=0.5, reasons=["hw_thermal"])
    marks = {1: {"measurement_warnings": [f"process 1: {contended}"]}, 2: {"measurement_warnings": [stolen]}}
    marks |= {5: {"thermal_throttle": hot}}
    found = compared(ROUNDS, b=1.2, changes=lambda number: marks.get(number, {}))
    assert row(found).note == "contention in 2 of 12 runs; throttling in 1 of 12 runs"


def test_a_foreign_process_is_contention():
    reason = "another process was on GPU-1: python (process 7)"
    assert disturbances([one_run(verdict="invalid", verdict_reasons=[reason])]) == ["contention in 1 of 1 runs"]


def test_a_result_that_is_given_twice_counts_once():
    first, second = made(ROUNDS, of(NOISE))
    found = compare(Group("a", [*first, *first]), Group("b", second))
    assert (found.method, found.counts) == ("rounds", (6, 6))
    assert "6 results are given more than once and counted once" in found.remarks


def test_a_result_on_both_sides_counts_on_the_smaller_one():
    first, second = made("AAAAAB", of((1.0,) * 6))
    found = compare(Group("all", [*first, *second]), Group("new", second))
    assert found.counts == (1, 1)
    assert "1 result is on both sides, and counted on the smaller one" in found.remarks
    itself = compare(Group("a", second), Group("b", second))
    assert "both sides are the same results" in itself.remarks
    assert (row(itself).ratio, row(itself).word) == (1.0, "cannot tell")


def test_a_group_of_several_configurations_is_named_as_a_mixture():
    first, second = made("ABBAABBA", of(NOISE[:8]))
    found = compare(Group("mixed", [*first, *second[:2]]), Group("b", second[2:]))
    assert any(each.startswith("mixed has runs of 2 configurations, which differ in") for each in found.remarks)


def test_sides_on_different_devices_say_so():
    first = [one_run("A", start=BEGAN)]
    second = [one_run("B", start=BEGAN, gpu="GPU-2")]
    (remark,) = compare(Group("a", first), Group("b", second)).remarks
    assert remark == "the first ran on GPU-1, the second on GPU-2: a difference may be the devices'"


def test_a_cpu_is_known_by_its_host_or_by_what_it_is():
    nameless = HOST.model_copy(update={"hostname": None})
    for environment, method in ((HOST, "rounds"), (nameless, "rounds"), (None, None)):
        changes = {"energy_scope": "cpu", "device_energy": [], "environment_snapshot": environment}
        found = compared(ROUNDS, (1.0,) * 12, changes=lambda _, changes=changes: changes)
        assert found.method == method


def test_a_thousand_runs_take_little_time_and_lose_none():
    found = compared("ABBA" * 250, (0.99, 1.0, 1.01, 1.0) * 250)
    assert (found.counts, words(found)["energy_per_output_token_j"]) == ((500, 500), "same")
