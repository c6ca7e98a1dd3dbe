"""One result of the parts of several processes: counts, descriptions, intervals, and any mix of unknown figures."""

import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measurements import OPENED_AT, UNION_S, batch, gpu_energy, make_part, merged, two_gpus
from tiny import tiny_config
from unfinished_runs import leave_parts

from llenergymeasure import ExperimentResult
from llenergymeasure.domain.environment import EnvironmentSnapshot
from llenergymeasure.domain.experiment import compute_measurement_config_hash
from llenergymeasure.domain.figures import (
    EnergyBreakdown,
    EnergyMetrics,
    EnergyUncertainty,
    ThermalThrottleInfo,
    WarmupResult,
)
from llenergymeasure.metrics.latency import latency_intervals_of, served
from llenergymeasure.results.merging import combine
from llenergymeasure.results.parts import load_parts
from llenergymeasure.results.raw_results import load_raw_results
from properties import examples

SETTLED = WarmupResult(converged=True, final_cv=0.01, iterations_completed=5, target_cv=0.05, max_prompts=20)


def test_tokens_memory_and_operations_are_sums_and_rates_are_over_the_union():
    parts = two_gpus()
    result = merged(*parts)
    assert (result.total_tokens, result.input_tokens, result.output_tokens) == (104, 80, 24)
    assert (result.peak_memory_mb, result.model_memory_mb) == (200.0, 80.0)
    assert result.total_flops == sum(part.total_flops for part in parts) > 0
    assert result.output_tokens_per_second == 24 / UNION_S
    assert result.requests_per_second == 8 / UNION_S
    assert (result.start_time, result.end_time) == (OPENED_AT, OPENED_AT + timedelta(seconds=UNION_S))
    assert result.latency_stats.e2e_ms.n == 8


def test_a_warning_of_all_processes_comes_once_and_one_of_some_with_their_number():
    failed = WarmupResult(converged=False, final_cv=0.3, iterations_completed=20, target_cv=0.05, max_prompts=20)
    parts = two_gpus(warmup=failed, second={"notes": ["3 prompts were cut."]})
    warnings = merged(*parts).measurement_warnings
    assert len([text for text in warnings if "did not converge" in text]) == 1
    assert not any("did not converge" in text for text in warnings if text.startswith("process"))
    assert "process 1: 3 prompts were cut." in warnings
    assert "3 prompts were cut." not in warnings


def test_a_warning_of_two_processes_of_three_is_one_line_with_both_numbers():
    parts = [make_part(index, notes=["Cut."] if index != 1 else []) for index in range(3)]
    assert [text for text in merged(*parts).measurement_warnings if "Cut." in text] == ["process 0, 2: Cut."]


def test_whether_a_run_is_small_is_judged_by_all_processes_together():
    small = merged(*two_gpus()).measurement_warnings
    assert [text for text in small if "under" in text] == [
        "The window is 4.5 s, under 60 s: its figures are less sure; send more prompts.",
        "8 requests are in the window, under 30: percentiles mean little; send more prompts.",
    ]
    long = [[batch(from_s + 4 * n, tokens_s=(1.0, 4.0)) for n in range(8)] for from_s in (100.0, 132.0)]
    enough = merged(*two_gpus(first={"batches": long[0]}, second={"batches": long[1], "late_s": 0.0}))
    assert not any("under" in text for text in enough.measurement_warnings)


def thirty_batches(first, second):
    """Two processes with so many batches each, no two of which last as long."""

    def batches(count, from_s):
        return [batch(from_s + 2 * n, tokens_s=(0.5 + n / 100, 1.0 + n / 70, 1.2 + n / 50)) for n in range(count)]

    return two_gpus(first={"batches": batches(first, 100.0)}, second={"batches": batches(second, 100.0), "late_s": 0.0})


def test_intervals_are_given_from_thirty_batches_of_all_processes_on():
    enough, few = merged(*thirty_batches(15, 15)), merged(*thirty_batches(15, 14))
    assert few.confidence_intervals == {}
    assert set(enough.confidence_intervals) == {
        f"latency_stats.{name}.mean" for name in ("ttft_ms", "tpot_ms", "e2e_ms")
    }
    interval = enough.confidence_intervals["latency_stats.e2e_ms.mean"]
    assert interval.n == 30
    assert interval.low < enough.latency_stats.e2e_ms.mean < interval.high


def test_intervals_are_drawn_with_the_seed_of_the_configuration():
    parts = thirty_batches(15, 15)
    requests = [request for part in parts for request in served(part.process_results[0])]
    assert merged(*parts).confidence_intervals == latency_intervals_of(requests, tiny_config().random_seed)
    assert merged(*parts).confidence_intervals != latency_intervals_of(requests, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backend", "other"),
        ("backend_version", "transformers 6"),
        ("effective_config", {"model": "gpt2"}),
        ("energy_source", "rapl"),
        ("energy_scope", "cpu"),
        ("sources_not_used", {"zeus": "not asked"}),
        ("environment_snapshot", EnvironmentSnapshot(os="Linux")),
        ("docker_image_digest", "sha256:1"),
        ("warmup_result", SETTLED),
    ],
)
def test_the_configuration_and_the_machine_are_those_of_the_first_process(name, value):
    first, second = two_gpus()
    assert getattr(merged(first.model_copy(update={name: value}), second), name) == value
    assert getattr(merged(first, second.model_copy(update={name: value})), name) == getattr(first, name) != value


def test_a_run_is_named_and_hashed_as_its_processes_are_and_warm_ups_are_counted_together():
    result = merged(*two_gpus(warmup_excluded=6))
    assert (result.experiment_id, result.measurement_config_hash) == (
        "e1",
        compute_measurement_config_hash(tiny_config()),
    )
    assert result.warmup_excluded_samples == 12
    assert [raw.process_index for raw in result.process_results] == [0, 1]


FIGURES = st.none() | st.floats(-1e6, 1e6)
BOUNDS = st.none() | st.builds(EnergyUncertainty, edge_j=FIGURES, disagreement_j=FIGURES, gain_j=FIGURES)
WINDOWS = st.none() | st.tuples(st.floats(0, 10), st.floats(10, 20))
UNSURE = {
    **dict.fromkeys(
        [
            *("mean_power_w", "peak_power_w", "baseline_power_w", "baseline_power_spread_w"),
            *("idle_power_w", "idle_power_spread_w", "energy_adjusted_j", "energy_adjusted_uncertainty_j"),
            *("energy_uncertainty_j", "zeus_energy_j", "energy_prefill_j", "energy_decode_j"),
        ],
        FIGURES,
    ),
    "energy_uncertainty": BOUNDS,
    "energy_breakdown": st.none()
    | st.builds(EnergyBreakdown, raw_j=FIGURES, baseline_method=st.none() | st.just("idle")),
    "energy_per_device_j": st.none() | st.lists(st.floats(0, 1e6), max_size=2),
    "energy_scope": st.sampled_from([None, "gpu", "cpu"]),
    "steady_state_window": WINDOWS,
    "verdict": st.sampled_from([None, "valid", "invalid", "not_measured"]),
    "verdict_reasons": st.lists(st.sampled_from("ab"), max_size=2),
    "thermal_throttle": st.none()
    | st.builds(ThermalThrottleInfo, detected=st.none() | st.booleans(), throttled_s=FIGURES, share=FIGURES),
    "thermal_time_series": st.none() | st.lists(st.tuples(st.floats(-10, 10), st.floats(20, 90)), max_size=3),
    "warmup_excluded_samples": st.none() | st.integers(0, 9),
}


@st.composite
def mixed_parts(draw):
    """One to three processes, any of whose figures are unknown; the devices of all may be the first one's to meter."""
    shared, parts = draw(st.booleans()), []
    for index in range(draw(st.integers(1, 3))):
        late_s = draw(st.sampled_from([0.0, 0.25, -0.25, 9.0]))
        devices = [gpu_energy(index, draw(FIGURES))]
        gpu = 0 if shared else index
        part = make_part(index, gpu=gpu, late_s=late_s, devices=devices, metered_by=0 if shared and index else None)
        total_j = draw(FIGURES)
        known = draw(st.booleans())
        energy = EnergyMetrics(total_energy_j=total_j, duration_sec=4.0, emissions_kg_co2=draw(FIGURES))
        (raw,) = part.process_results
        raw = raw.model_copy(
            update={"energy_metrics": energy if known else None, **({} if draw(st.booleans()) else {"clock_s": None})}
        )
        drawn = {name: draw(strategy) for name, strategy in UNSURE.items()}
        parts.append(part.model_copy(update={"total_energy_j": total_j, "process_results": [raw], **drawn}))
    return parts


@examples(60)
@given(mixed_parts())
def test_any_mix_of_unknown_figures_makes_a_result_that_is_loaded_as_it_was_saved(parts):
    result = merged(*parts)
    raws = [part.process_results[0] for part in parts if part.process_results[0].metered_by is None]
    energies_j = [raw.energy_metrics.total_energy_j if raw.energy_metrics else None for raw in raws]
    assert result.total_energy_j == (None if None in energies_j else sum(energies_j))
    with tempfile.TemporaryDirectory() as folder:
        run = leave_parts(Path(folder), parts, [()] * len(parts))
        kept = load_raw_results(run)
        assert combine(kept, load_parts(run, kept)) == result
        assert ExperimentResult.from_json(result.save(Path(folder))) == result
