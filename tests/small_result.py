"""Results with little in them."""

from datetime import datetime
from typing import Any

from llenergymeasure.domain.experiment import ExperimentResult, RawProcessResult
from llenergymeasure.domain.figures import ComputeMetrics, EnergyMetrics, InferenceMetrics, Timestamps
from llenergymeasure.domain.power import PowerSample


def make_result(**changes: Any) -> ExperimentResult:
    fields = {
        "experiment_id": "test-001",
        "measurement_config_hash": "abcdef0123456789",
        "measurement_methodology": "total",
        "total_tokens": 1000,
        "total_energy_j": 50.0,
        "total_inference_time_sec": 10.0,
        "avg_tokens_per_second": 100.0,
        "avg_energy_per_token_j": 0.05,
        "total_flops": 1e12,
        "start_time": datetime(2026, 2, 26, 14, 0),
        "end_time": datetime(2026, 2, 26, 14, 0, 10),
        "effective_config": {"model": "gpt2", "backend": "pytorch"},
    }
    return ExperimentResult(**(fields | changes))


def make_raw_result(experiment_id: str) -> RawProcessResult:
    """The result of one process of an experiment."""
    moment = datetime(2026, 2, 26, 14, 0)
    tokens = {"total_tokens": 2, "input_tokens": 1, "output_tokens": 1}
    speed = {"inference_time_sec": 1.0, "tokens_per_second": 2.0, "latency_per_token_ms": None}
    return RawProcessResult(
        experiment_id=experiment_id,
        process_index=0,
        gpu_id=None,
        config_name=None,
        model_name="gpt2",
        timestamps=Timestamps.from_times(moment, moment),
        inference_metrics=InferenceMetrics(**tokens, **speed),
        energy_metrics=EnergyMetrics(total_energy_j=None, duration_sec=None),
        compute_metrics=ComputeMetrics(flops_total=None),
    )


def make_samples(count: int = 300) -> list[PowerSample]:
    """The power of one GPU, ten times per second."""
    return [PowerSample(n * 0.1, 100.0 + n * 1.37, 50.0 + n / 7, 0) for n in range(count)]
