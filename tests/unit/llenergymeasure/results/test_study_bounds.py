"""What a study may not say: beyond the bounds of sensors, the steps in which figures are told, and lasting weather."""

import math

import numpy as np
import pytest
from built_studies import built, slower

from llenergymeasure.domain.figures import EnergyUncertainty
from llenergymeasure.results.comparison.metrics import FROM_JOULES, OWN_BOUNDS
from llenergymeasure.results.conditions import parse_conditions
from llenergymeasure.results.flat import CONFIG_COLUMNS, LOAD_COLUMNS, columns
from llenergymeasure.results.study.best import best_cells
from llenergymeasure.results.study.drift import find_drift
from llenergymeasure.results.study.figures import cell_figure
from llenergymeasure.results.study.limits import judge
from llenergymeasure.results.study.narrow import wide_cells
from llenergymeasure.results.study.observations import observe
from llenergymeasure.results.study.pairs import pair

JOULES, TOKENS, MEMORY = "energy_per_output_token_j", "output_tokens_per_second", "peak_memory_mb"
OF_NO_JOULES = {
    "prompt_mark", "total_tokens", "input_tokens", "output_tokens", "cached_input_tokens", "total_inference_time_sec",
    "avg_tokens_per_second", "output_tokens_per_second", "requests_per_second", "total_flops", "cpu_seconds",
    "cpu_seconds_per_output_token", "cpu_seconds_resolution_s", "peak_memory_mb", "model_memory_mb",
    "warmup_excluded_samples", "failed_requests", "output_tokens_in_dispute",
}  # fmt: skip
"""Numbers in the flat table that no joule is in; those of latencies, of quality and of the configuration are others."""
NOR_OF_THESE = ("ttft_ms_", "tpot_ms_", "itl_ms_", "e2e_ms_", "client_lateness_ms_", "quality_")


def study(cells, rounds, **values):
    """Return a study of even cells, whose fields are those of `values`: arrays of rounds by cells, or functions."""

    def fields(cell, number, place):
        found = {name: of(cell, number - 1) if callable(of) else of[number - 1][cell] for name, of in values.items()}
        return slower(1 + 0.001 * (place % 3)) | {
            name: value.item() if isinstance(value, np.generic) else value for name, value in found.items()
        }

    return built(cells, rounds, fields)


def standings(runs, metric, where=None):
    return [each.standing for each in best_cells(runs, minimize=metric, where=where).cells]


def judged(runs, cell, where):
    return judge(observe(runs), cell, parse_conditions(where))


def test_every_number_of_the_flat_table_comes_from_joules_or_is_known_not_to():
    numbers = {name for name, kind in columns().items() if kind is not str and not name.startswith(NOR_OF_THESE)}
    assert FROM_JOULES.isdisjoint(OF_NO_JOULES)
    assert numbers - {*CONFIG_COLUMNS, *LOAD_COLUMNS} == FROM_JOULES | OF_NO_JOULES
    assert {name for name in numbers if name.endswith(("_uncertainty_j", "_spread_w"))} == {
        *OWN_BOUNDS.values(),
        "energy_uncertainty_j",
    }


def bounded(joules, share):
    return EnergyUncertainty(edge_j=share * joules, gain_j=0.0)


@pytest.mark.parametrize(("share", "second"), [(0.2, "cannot tell"), (0.01, "worse")])
def test_a_run_of_no_joules_in_another_cell_leaves_the_bounds_of_all_where_they_are(share, second):
    per_token = np.array([[1.0, 1.1, 2.0]] * 6) + 0.001 * np.arange(6)[:, None]
    per_token[2, 2] = 0.0
    runs = study(
        3, 6,
        energy_j=100 * per_token,
        energy_uncertainty=lambda cell, number: bounded(100 * per_token[number, cell], share),
        energy_uncertainty_j=lambda cell, number: share * 100 * per_token[number, cell] or 1.0,
    )  # fmt: skip
    best = best_cells(runs, minimize=JOULES)
    assert best.cells[1].standing == second
    assert best.cells[1].difference == pytest.approx(0.1)
    # both are open by their share: the interval is wider by 1.0 and 1.1 times it on either side
    assert best.cells[1].high >= 0.1 + 2.1 * share > best.cells[1].low + 4.2 * share - 0.01
    assert standings(study(3, 6, energy_j=100 * per_token), JOULES)[1] == "worse"


def test_joules_that_are_none_in_every_run_are_told_from_nothing_where_a_bound_is_known():
    for bound_j, standing in ((None, "worse"), (0.5, "cannot tell")):
        none = {"energy_uncertainty_j": lambda cell, number, bound_j=bound_j: bound_j}
        runs = study(2, 6, energy_j=lambda cell, number: 0.0 if cell == 0 else 2.0 + 0.1 * (number % 4), **none)
        best = best_cells(runs, minimize=JOULES)
        assert [each.standing for each in best.cells] == ["best", standing]
        assert (best.cells[1].low is None) == (bound_j is not None)


def test_differences_of_energies_below_the_idle_machine_are_open_by_both_bounds():
    above = {"energy_adjusted_j": lambda cell, number: (-0.05, 0.05)[cell] + 0.001 * (number % 2)}
    for bound_j, second in ((0.5, "cannot tell"), (0.01, "worse")):
        runs = study(2, 6, **above, energy_adjusted_uncertainty_j=lambda cell, number, bound_j=bound_j: bound_j)
        assert standings(runs, "energy_adjusted_j") == ["best", second]


@pytest.mark.parametrize("metric", ["emissions_kg_co2", "energy_delay_product_js", "mean_power_w"])
def test_what_comes_from_estimated_joules_wins_nothing_and_meets_no_limit(metric):
    values = {metric: lambda cell, number: (0.5, 0.9)[cell] + 0.001 * number}
    estimated = study(2, 4, **values, verdict=lambda cell, number: "not_measured")
    assert standings(estimated, metric) == ["no candidate"] * 2
    assert judged(estimated, 0, f"{metric} <= 1").state == "unsure"
    valid = study(2, 4, **values, energy_uncertainty=lambda cell, number: bounded(100.0, 0.3))
    assert [judged(valid, cell, f"{metric} <= 1").state for cell in (0, 1)] == ["met", "unsure"]


@pytest.mark.parametrize("metric", sorted(OWN_BOUNDS))
def test_a_figure_with_a_bound_of_its_own_is_open_by_that_and_not_by_the_totals(metric):
    def runs(bound):
        values = {metric: lambda cell, number: (10.0, 12.0)[cell] + 0.001 * number}
        exact = {"energy_uncertainty": lambda cell, number: bounded(100.0, 0.0)}
        return study(2, 4, **values, **exact, **{OWN_BOUNDS[metric]: lambda cell, number: bound})

    for bound, second, met in ((0.1, "worse", "met"), (3.0, "cannot tell", "unsure")):
        assert standings(runs(bound), metric) == ["best", second]
        assert judged(runs(bound), 0, f"{metric} <= 11").state == met


def test_an_unknown_bound_of_a_difference_of_joules_is_the_totals_at_the_least():
    runs = study(
        2, 4,
        energy_adjusted_j=lambda cell, number: (10.0, 12.0)[cell] + 0.001 * number,
        energy_uncertainty_j=lambda cell, number: 3.0,
    )  # fmt: skip
    assert standings(runs, "energy_adjusted_j") == ["best", "cannot tell"]


def test_figures_in_steps_that_differ_by_one_in_every_round_are_not_told_apart():
    runs = study(3, 3, peak_memory_mb=[[512.0, 514.0, 512.0], [512.0, 514.0, 514.0], [512.0, 514.0, 512.0]])
    assert standings(runs, MEMORY) == ["best", "cannot tell", "cannot tell"]
    seen = observe(runs)
    assert pair(seen, 0, 1, MEMORY, is_log=False).estimate.error == pytest.approx(2 / math.sqrt(6) / math.sqrt(3))
    assert pair(seen, 0, 1, MEMORY).estimate.error == pytest.approx(2 / 513 / math.sqrt(6) / math.sqrt(3), rel=0.01)
    assert cell_figure(seen, 0, MEMORY).half_width == pytest.approx(4.303 * 2 / math.sqrt(12) / math.sqrt(3), rel=0.01)


def test_cells_far_apart_in_steps_are_told_and_those_that_never_move_need_no_spread():
    assert standings(study(2, 4, peak_memory_mb=[[512, 600], [514, 600], [512, 602], [512, 600]]), MEMORY)[1] == "worse"
    assert standings(study(2, 3, peak_memory_mb=[[512.0, 600.0]] * 3), MEMORY) == ["best", "worse"]
    assert standings(study(3, 3, peak_memory_mb=[[512.0, 512.0, 600.0]] * 3), MEMORY) == ["best", "equal", "worse"]


@pytest.mark.parametrize(("resolution_s", "second"), [(0.0, "worse"), (0.2, "cannot tell")])
def test_processor_time_is_told_no_better_than_the_ticks_it_is_counted_in(resolution_s, second):
    values = {"cpu_seconds": [[1.0, 1.2]] * 3, "cpu_seconds_per_output_token": [[0.01, 0.012]] * 3}
    runs = study(2, 3, **values, cpu_seconds_resolution_s=lambda cell, number: resolution_s)
    assert {standings(runs, metric)[1] for metric in values} == {second}


@pytest.mark.slow
@pytest.mark.parametrize("step", [0.2, 1.0, 5.0])
def test_equal_cells_whose_figures_are_rounded_are_told_apart_in_one_of_twenty_studies_at_most(step):
    generator, false = np.random.default_rng(7), 0
    for _ in range(200):
        runs = study(4, 3, peak_memory_mb=step * np.round((500 + generator.standard_normal((3, 4))) / step))
        false += "worse" in standings(runs, MEMORY)
    assert false <= 20


def test_two_equal_rounds_do_not_end_a_study_that_stops_when_intervals_are_narrow():
    assert wide_cells(study(1, 2, peak_memory_mb=[[10.0]] * 2), MEMORY, 0.03) == [0]
    assert wide_cells(study(1, 3, peak_memory_mb=[[10.0]] * 3), MEMORY, 0.03) == []
    assert wide_cells(study(2, 3, peak_memory_mb=[[10.0, 11.0], [10.0, 11.0], [10.0, 10.0]]), MEMORY, 0.03) == [0, 1]


@pytest.mark.parametrize("changes", [
    {"measurement_methodology": lambda cell, number: "windowed"},
    {"effective_config": lambda cell, number: {"model": "gpt2", "load": {"duration_s": 60}}},
    {"effective_config": lambda cell, number: {"model": "gpt2", "load": {"requests": 50}}},
])  # fmt: skip
def test_counts_of_a_window_or_of_a_servers_single_run_are_told_no_more_than_by_a_comparison(changes):
    counts = {"output_tokens": [[500, 507]]}
    assert standings(study(2, 1, **counts), "output_tokens") == ["best", "worse"]
    assert standings(study(2, 1, **counts, **changes), "output_tokens") == ["best", "cannot tell"]


def lasting(generator, correlation, count):
    weather = [generator.standard_normal()]
    for _ in range(count - 1):
        weather.append(correlation * weather[-1] + math.sqrt(1 - correlation**2) * generator.standard_normal())
    return weather


@pytest.mark.parametrize(("correlation", "most"), [(0.0, 2), (0.8, 4)])
def test_weather_that_lasts_is_seldom_taken_for_drift(correlation, most):
    generator, found = np.random.default_rng(3), 0
    for _ in range(20):
        weather = lasting(generator, correlation, 24)
        runs = built(2, 12, lambda cell, number, place, weather=weather: slower(math.exp(0.05 * weather[place])))
        found += find_drift(observe(runs), TOKENS).matters
    assert found <= most


def test_figures_at_the_ends_of_what_a_double_holds_are_shown_and_compared():
    speeds = np.array([[1e308, 1e-308, -1e308, 0.0]] * 3)
    best = best_cells(study(4, 3, tokens_s=speeds), maximize=TOKENS)
    assert (best.winner, best.cells[0].mean) == (0, 1e308)
    assert best_cells(study(2, 3, tokens_s=speeds[:, :2]), maximize=TOKENS).winner == 0
    assert best_cells(study(1, 2, tokens_s=[[1e308], [-1e308]]), maximize=TOKENS).cells[0].half_width > 1e308
    assert len(best.sentence) < 300
    assert "000000" not in best_cells(study(1, 3, tokens_s=[[1e-300]] * 3), maximize=TOKENS).sentence
