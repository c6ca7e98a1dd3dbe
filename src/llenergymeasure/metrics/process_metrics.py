"""The figures of one process's window, from its counts and its joules."""

from collections.abc import Sequence

from llenergymeasure.domain.figures import ComputeMetrics, DeviceEnergy, EnergyMetrics, InferenceMetrics
from llenergymeasure.metrics.arithmetic import ratio, sum_of_all
from llenergymeasure.metrics.derived import mean_power_w
from llenergymeasure.metrics.energy import RunEnergy


def inference_metrics(
    input_tokens: int | None, output_tokens: int | None, duration_s: float, ttft_ms: Sequence[float]
) -> InferenceMetrics:
    """Tokens and rates of a window of `duration_s`; `ttft_ms` are of the requests that lie wholly inside."""
    tokens = sum_of_all([input_tokens, output_tokens])
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
    tokens: int | None,
    emissions_kg_co2: float | None = None,
) -> EnergyMetrics:
    """The total, and `devices` by their kind; a kind of which one is unknown, or none is there, is None."""

    def of(kind: str) -> float | None:
        return sum_of_all([device.energy_j for device in devices if device.kind == kind])

    mean_w = mean_power_w(energy.total_j, duration_s, is_measured=energy.is_measured)
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


def compute_metrics(flops: float | None, tokens: int | None, duration_s: float, **known: object) -> ComputeMetrics:
    """Operations of a window and their rates; `known` are the other fields of ComputeMetrics."""
    rates = {"flops_per_token": ratio(flops, tokens), "flops_per_second": ratio(flops, duration_s)}
    return ComputeMetrics.model_validate({"flops_total": flops, **rates, **known})
