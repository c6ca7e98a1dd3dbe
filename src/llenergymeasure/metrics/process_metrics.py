"""Figures of one process's window, out of its counts and its joules."""

import math
from collections.abc import Callable, Sequence
from operator import mul, truediv
from typing import TypeVar

from llenergymeasure.domain.figures import DeviceEnergy, EnergyMetrics, InferenceMetrics
from llenergymeasure.metrics.energy import RunEnergy


def inference_metrics(
    input_tokens: int, output_tokens: int, duration_s: float, ttft_ms: Sequence[float]
) -> InferenceMetrics:
    """Rates of a window of `duration_s`; `ttft_ms` are of the requests that lie wholly inside."""
    tokens = input_tokens + output_tokens
    return InferenceMetrics(
        total_tokens=tokens,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        inference_time_sec=duration_s,
        tokens_per_second=ratio(tokens, duration_s),
        latency_per_token_ms=ratio(duration_s * 1e3, tokens),
        time_to_first_token_ms=ratio(sum(ttft_ms), len(ttft_ms)),
    )


def energy_metrics(
    energy: RunEnergy,
    devices: Sequence[DeviceEnergy],
    *,
    on_accelerator: bool,
    duration_s: float,
    tokens: int,
    emissions_kg_co2: float | None = None,
) -> EnergyMetrics:
    """The total, and `devices` by their kind; a kind of which one is unknown, or none is there, is None."""

    def of(kind: str) -> float | None:
        return sum_of_all([device.energy_j for device in devices if device.kind == kind])

    mean_w = ratio(energy.total_j, duration_s) if energy.is_measured else None
    return EnergyMetrics(
        total_energy_j=energy.total_j,
        duration_sec=duration_s,
        gpu_energy_j=energy.total_j if on_accelerator else of("gpu"),
        cpu_energy_j=of("cpu"),
        ram_energy_j=of("dram"),
        gpu_power_w=mean_w if energy.scope == "gpu" else None,
        cpu_power_w=mean_w if energy.scope != "gpu" else None,
        emissions_kg_co2=emissions_kg_co2,
        energy_per_token_j=ratio(energy.total_j, tokens),
    )


N = TypeVar("N", int, float)


def ratio(part: float | None, whole: float | None) -> float | None:
    """None where either is unknown, there is nothing to divide by, or no float holds the ratio."""
    return _in_a_float(truediv, part, whole) if part is not None and whole else None


def product(one: float | None, other: float | None) -> float | None:
    """None where either is unknown, or no float holds the product."""
    return None if one is None or other is None else _in_a_float(mul, one, other)


def sum_of_all(values: Sequence[N | None]) -> N | None:
    """None where one is unknown, there is none, or no float holds a sum of floats; a sum of int is exact."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    try:
        found = sum(known)
    except OverflowError:  # an int beyond all floats, and a float
        return None
    return found if isinstance(found, int) or math.isfinite(found) else None


def _in_a_float(operation: Callable[[float, float], float], one: float, other: float) -> float | None:
    try:
        found = float(operation(one, other))
    except OverflowError:
        return None
    return found if math.isfinite(found) else None
