"""Different, the same, or one cannot tell."""

import pytest

from llenergymeasure.domain.figures import DeviceEnergy, EnergyUncertainty
from llenergymeasure.results.comparison import Group, compare
from small_result import make_result

GPU = DeviceEnergy(device="GPU-1", kind="gpu", source="nvml_counter", energy_j=100.0)


def run(energy_j=100.0, tokens_s=50.0, *, gpu="GPU-1", edge_j=0.0, gain_j=13.0, verdict="valid", **changes):
    return make_result(
        total_energy_j=energy_j,
        energy_per_output_token_j=energy_j / 100,
        output_tokens_per_second=tokens_s,
        energy_uncertainty=EnergyUncertainty(edge_j=edge_j, gain_j=gain_j),
        device_energy=[GPU.model_copy(update={"device": gpu})],
        energy_scope="gpu",
        energy_source="nvml_counter",
        verdict=verdict,
        **changes,
    )


def row(metric, first, second, margin=0.05):
    comparison = compare(Group("a", first), Group("b", second), margin)
    return next(row for row in comparison.rows if row.metric == metric)


def runs(*energies_j, **changes):
    return [run(energy_j, **changes) for energy_j in energies_j]


TIGHT = (99.9, 100.0, 100.1)
LOOSE = (80.0, 100.0, 120.0)


def test_repeats_that_lie_apart_are_different():
    found = row("total_energy_j", runs(*TIGHT), runs(*(1.2 * each for each in TIGHT)))
    assert found.word == "different"
    assert found.ratio == pytest.approx(1.2)
    assert 1.19 < found.low < 1.2 < found.high < 1.21


def test_repeats_within_the_margin_are_the_same_even_where_they_are_told_apart():
    assert row("total_energy_j", runs(*TIGHT), runs(*(1.02 * each for each in TIGHT))).word == "same"
    assert row("total_energy_j", runs(*TIGHT), runs(*(1.02 * each for each in TIGHT)), 0.01).word == "different"


def test_loose_repeats_cannot_tell_and_say_about_how_many_would():
    found = row("total_energy_j", runs(*LOOSE), runs(*(1.1 * each for each in LOOSE)))
    assert found.word == "cannot tell"
    assert "repeats of each would tell" in found.note


def test_one_run_each_cannot_tell():
    found = row("total_energy_j", runs(100.0), runs(200.0))
    assert (found.ratio, found.low, found.word) == (pytest.approx(2.0), None, "cannot tell")
    assert "repeat" in found.note


def test_gain_cancels_on_one_board_and_not_between_two():
    heavier = [1.1 * each for each in TIGHT]
    assert row("total_energy_j", runs(*TIGHT), runs(*heavier)).word == "different"
    elsewhere = row("total_energy_j", runs(*TIGHT), runs(*heavier, gpu="GPU-2"))
    assert elsewhere.word == "cannot tell"
    assert "bounds" in elsewhere.note


def test_edges_do_not_cancel():
    unsure = runs(*TIGHT, edge_j=10.0)
    assert row("total_energy_j", unsure, runs(*(1.1 * each for each in TIGHT), edge_j=10.0)).word == "cannot tell"


@pytest.mark.parametrize("changes", [{"verdict": "invalid"}, {"verdict": "not_measured", "energy_source": "estimate"}])
def test_energies_that_are_not_valid_are_marked_and_tell_nothing_but_their_times_do(changes):
    changes = {"energy_source": "nvml_counter"} | changes
    bad = [each.model_copy(update=changes) for each in runs(*TIGHT)]
    found = row("total_energy_j", bad, runs(*(2 * each for each in TIGHT)))
    assert found.word == "cannot tell"
    assert "invalid" in found.note or "estimate" in found.note
    slow = [run(tokens_s=speed) for speed in (49.9, 50.0, 50.1)]
    fast = [run(tokens_s=speed) for speed in (99.9, 100.0, 100.1)]
    assert row("output_tokens_per_second", slow, fast).word == "different"


def test_worse_is_more_joules_and_fewer_tokens():
    heavier = row("total_energy_j", runs(*TIGHT), runs(*(1.2 * each for each in TIGHT)))
    slower = row("output_tokens_per_second", [run(tokens_s=50.0)], [run(tokens_s=40.0)])
    assert heavier.worse_by == pytest.approx(0.2)
    assert slower.worse_by == pytest.approx(0.25)


def test_what_differs_in_the_configurations_is_named_to_its_place():
    first, second = run(), run()
    first = first.model_copy(update={"effective_config": {"batch_size": 1, "decoder": {"top_k": 5}}})
    second = second.model_copy(update={"effective_config": {"batch_size": 1, "decoder": {"top_k": 9}}})
    assert compare(Group("a", [first]), Group("b", [second])).config_differences == {"decoder.top_k": (5, 9)}


def test_a_metric_that_one_lacks_is_not_compared():
    found = row("peak_memory_mb", runs(*TIGHT), runs(*TIGHT))
    assert (found.ratio, found.note) == (None, "not known in both")
