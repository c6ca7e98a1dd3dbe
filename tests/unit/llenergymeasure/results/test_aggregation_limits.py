"""One result of several processes that share GPUs, or whose figures are unknown, broken, or too large for a float."""

import warnings
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measurements import gpu_energy, make_part, merged

from llenergymeasure import ExperimentResult
from llenergymeasure.domain.experiment import RawProcessResult, RequestColumns
from llenergymeasure.domain.figures import ComputeMetrics, EnergyMetrics, InferenceMetrics, Timestamps
from llenergymeasure.errors import ExperimentError
from llenergymeasure.results.aggregation import aggregate_results

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def columns(count=3, **changes):
    fixed = {"input_tokens": [6] * count, "output_tokens": [4] * count, "finish_reason": ["length"] * count}
    timed = {"start_s": [n / 100 for n in range(count)], "ttft_ms": [1.0] * count, "e2e_ms": [5.0] * count}
    return RequestColumns(**(fixed | timed | changes))


def raw(index, gpu=None, energy_j=None, *, metered_by=None, lasts_s=2.0, tokens=100, flops=1e9, start=START, **changes):
    """A process's result; where its joules are known, its power and emissions are too."""
    known = energy_j is not None
    fields = {
        "experiment_id": "e1",
        "process_index": index,
        "gpu_id": gpu,
        "config_name": None,
        "model_name": "gpt2",
        "timestamps": Timestamps.from_times(start, start + timedelta(seconds=lasts_s)),
        "inference_metrics": InferenceMetrics(
            total_tokens=tokens,
            input_tokens=60,
            output_tokens=40,
            inference_time_sec=lasts_s,
            tokens_per_second=None,
            latency_per_token_ms=None,
        ),
        "energy_metrics": EnergyMetrics(
            total_energy_j=energy_j,
            duration_sec=lasts_s,
            gpu_power_w=5.0 if known else None,
            emissions_kg_co2=0.25 if known else None,
        ),
        "compute_metrics": ComputeMetrics(flops_total=flops),
        "metered_by": metered_by,
        "requests": columns(),
    }
    return RawProcessResult(**(fields | changes))


def aggregated(*raws, **fields):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return aggregate_results(raws, "e1", "0123456789abcdef", **fields)


# Shared GPUs


SHARED = {
    "each its own": ([raw(0, 0, 10.0), raw(1, 1, 20.0)], [10.0, 20.0]),
    "one has its joules alone": ([raw(0, 0, 10.0), raw(1, 0)], [10.0]),
    "one metered it for both": ([raw(0, 0, 10.0), raw(1, 0, metered_by=0)], [10.0]),
    "both have its joules": ([raw(0, 0, 10.0), raw(1, 0, 10.0)], [None]),
    "two on a GPU that nobody metered": (
        [raw(0, 0, 10.0), raw(1, 1, metered_by=0), raw(2, 1, metered_by=0)],
        [10.0, None],
    ),
    "one of two metered elsewhere": ([raw(0, 0, 10.0), raw(1, 1, metered_by=0), raw(2, 1, 7.0)], [10.0, None]),
    "metered by a process that is not there": ([raw(0, 0, 10.0), raw(1, 0, metered_by=7)], [None]),
    "metered by each other": ([raw(0, 0, metered_by=1), raw(1, 0, metered_by=0)], [None]),
    "on a CPU that the first metered": ([raw(0, None, 10.0), raw(1, None, metered_by=0)], [10.0]),
    "a CPU each": ([raw(0, None, 10.0), raw(1, None, 4.0)], [10.0, 4.0]),
}


@pytest.mark.parametrize(("raws", "joules"), SHARED.values(), ids=SHARED)
def test_joules_power_emissions_and_gpus_go_by_the_same_devices_each_counted_once(raws, joules):
    found = aggregated(*raws)
    is_known = None not in joules
    assert found.total_energy_j == (sum(joules) if is_known else None)
    assert found.mean_power_w == (sum(joules) / 2.0 if is_known else None)
    assert found.emissions_kg_co2 == (0.25 * len(joules) if is_known else None)
    if raws[0].gpu_id is None or len(joules) == 1:
        assert found.multi_gpu is None
    else:
        assert (found.multi_gpu.num_gpus, found.multi_gpu.energy_per_gpu_j) == (len(joules), joules)


@given(st.lists(st.tuples(st.integers(0, 2), st.none() | st.just(8.0), st.none() | st.integers(0, 5)), min_size=1))
def test_no_gpu_comes_twice_whatever_the_processes_say_of_each_other(claims):
    found = aggregated(*(raw(index, gpu, energy_j, metered_by=by) for index, (gpu, energy_j, by) in enumerate(claims)))
    gpus = len({gpu for gpu, _, _ in claims})
    assert found.total_energy_j in (None, 8.0 * gpus)
    assert (found.mean_power_w is None) == (found.emissions_kg_co2 is None) == (found.total_energy_j is None)
    assert found.multi_gpu is None or found.multi_gpu.num_gpus == gpus


def test_parts_of_a_gpu_whose_joules_one_process_has_alone_keep_its_power_bound_and_device():
    of_gpu = {"gpu": 0}
    first = make_part(0, devices=[gpu_energy(0, 60.0, edge_j=0.5, gain_j=3.0)], **of_gpu)
    found = merged(first, make_part(1, devices=[gpu_energy(0, None)], **of_gpu))
    assert (found.total_energy_j, found.energy_uncertainty_j) == (60.0, 3.5)
    assert found.mean_power_w == pytest.approx(60.0 / found.total_inference_time_sec)
    assert [device.energy_j for device in found.device_energy] == [60.0]


def test_parts_of_which_nobody_metered_any_device_make_a_result_of_unknown_energy():
    found = merged(*(make_part(index, gpu=0, metered_by=7) for index in (0, 1)))
    assert (found.total_energy_j, found.mean_power_w, found.multi_gpu) == (None, None, None)


# Figures that are unknown, broken, or too large


@pytest.mark.parametrize(
    ("raws", "unknown"),
    [
        ([raw(0, 0, 1e308), raw(1, 1, 1e308)], {"total_energy_j", "energy_delay_product_js", "mean_power_w"}),
        ([raw(0, 0, 1e308)], {"energy_delay_product_js"}),
        ([raw(0, 0, 1e304, lasts_s=1e-6)], {"mean_power_w"}),
        ([raw(0, flops=1.7e308), raw(1, flops=1.7e308)], {"total_flops"}),
    ],
    ids=["a sum of joules", "a product", "a ratio", "a sum of operations"],
)
def test_a_figure_that_no_float_holds_is_unknown_and_the_others_are_there(raws, unknown, tmp_path):
    found = aggregated(*raws)
    assert {name for name in unknown if getattr(found, name) is not None} == set()
    assert found.total_tokens == 100 * len(raws)
    assert ExperimentResult.from_json(found.save(tmp_path)) == found


def test_latencies_whose_sum_no_float_holds_have_a_mean_and_intervals_among_them():
    huge = columns(40, ttft_ms=[1e308] * 40, e2e_ms=[1e308 + n * 1e306 for n in range(40)])
    found = aggregated(*(raw(index, requests=huge) for index in (0, 1)))
    assert found.latency_stats.ttft_ms.mean == 1e308
    assert found.latency_stats.e2e_ms.mean == pytest.approx(1e308 + 19.5e306)
    interval = found.confidence_intervals["latency_stats.e2e_ms.mean"]
    assert 1e308 < interval.low < found.latency_stats.e2e_ms.mean < interval.high < 1.39e308


def test_latencies_that_are_all_alike_have_exactly_that_mean_and_interval():
    alike = columns(60, ttft_ms=[0.1] * 60)
    found = aggregated(raw(0, requests=alike))
    interval = found.confidence_intervals["latency_stats.ttft_ms.mean"]
    assert (interval.low, found.latency_stats.ttft_ms.mean, interval.high) == (0.1, 0.1, 0.1)


def lacking_tokens():
    known = raw(1).inference_metrics
    return raw(1).model_copy(update={"inference_metrics": known.model_copy(update={"total_tokens": None})})


BROKEN = {
    "no tokens": (lacking_tokens(), {}, "process 1 has no inference_metrics.total_tokens"),
    "too many tokens": (
        raw(1, tokens=10**400),
        {},
        "process 1 has no inference_metrics.total_tokens, or one that is too large",
    ),
    "columns": (raw(1, requests=columns(first_tokens=[1])), {}, "requests of process 1: .* e2e_ms 3, .*first_tokens 1"),
    "time zones": (raw(1, start=datetime(2026, 11, 21)), {}, "timestamps of process 1 have no time zone"),
    "seed": (raw(1), {"effective_config": {"random_seed": -1}}, "effective_config.random_seed: -1 is not a seed"),
    "a field": (raw(1), {"verdict": "splendid"}, "verdict: Input should be"),
}


@pytest.mark.parametrize(("broken", "fields", "message"), BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_summed_up_is_an_error_that_names_the_process_and_the_field(broken, fields, message):
    with pytest.raises(ExperimentError, match=message):
        aggregated(raw(0), broken, **fields)
