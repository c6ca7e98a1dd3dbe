"""A result with little in it."""

from datetime import datetime
from typing import Any

from llenergymeasure.domain.experiment import ExperimentResult


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
