"""Warnings about a measurement: each says what was found and what to do. They inform; nothing depends on them."""

from collections.abc import Iterator, Sequence

from llenergymeasure.domain.environment import GpuInfo
from llenergymeasure.domain.metrics import WarmupResult

MIN_DURATION_S = 60.0
MIN_PROMPTS = 30
MAX_CPU_WAIT_SHARE = 0.1
MAX_CPU_STEAL_SHARE = 0.02


def measurement_warnings(
    *,
    duration_s: float,
    requests: int,
    energy_source: str,
    energy_known: bool,
    is_measurement: bool,
    on_accelerator: bool,
    no_baseline: str | None,
    cpu_wait_share: float | None,
    cpu_steal_share: float | None,
    warmup: WarmupResult | None,
    gpus: Sequence[GpuInfo],
) -> Iterator[str]:
    """A line for each reason to read the figures with care; `gpus` are those that the run used."""
    if energy_source == "estimate" and energy_known:
        yield (
            "Energy is an estimate from CPU time, not a measurement; its true value may be far off. Set "
            "cpu_watts_per_core in the user configuration to narrow it (llem doctor shows where)."
        )
    if on_accelerator and not energy_known and energy_source != "none":
        yield (
            "The GPU's energy is unknown: this version reads no GPU sensor, and CPU energy does not stand in for it."
        )
    if duration_s < MIN_DURATION_S:
        yield f"The window is {duration_s:.1f} s, under 60 s: its figures are less sure; send more prompts."
    if requests < MIN_PROMPTS:
        yield f"{requests} requests are in the window, under 30: percentiles say little; send more prompts."
    yield from _contention_warnings(cpu_wait_share, cpu_steal_share)
    if no_baseline is not None and energy_known:
        idle = "energy is gross, idle power included" if is_measurement else "the estimate has no idle power in it"
        yield f"{no_baseline[0].upper()}{no_baseline[1:]}; {idle}."
    if warmup is not None and warmup.converged is False and warmup.max_prompts is not None:
        cv = "unknown" if warmup.final_cv is None else f"{warmup.final_cv:.3f}"
        yield (
            f"The warm-up did not converge: CV {cv} after {warmup.iterations_completed} calls, wanted "
            f"{warmup.target_cv:g}; raise warmup.max_prompts or close what else runs on this machine."
        )
    yield from _gpu_warnings(gpus)


def _contention_warnings(wait_share: float | None, steal_share: float | None) -> Iterator[str]:
    if wait_share is not None and wait_share > MAX_CPU_WAIT_SHARE:
        yield (
            f"Tasks waited for a core in {wait_share:.0%} of the run: other work shares this machine, and times and "
            "energy are of both; close it and run again."
        )
    if steal_share is not None and steal_share > MAX_CPU_STEAL_SHARE:
        yield (
            f"Other virtual machines took {steal_share:.0%} of this one's processor time: times are longer than its "
            "own work; run again, or on a machine that is not shared."
        )


def _gpu_warnings(gpus: Sequence[GpuInfo]) -> Iterator[str]:
    for gpu in gpus:
        if gpu.persistence_mode is False:
            yield (
                f"Persistence mode is off on GPU {gpu.index}: its idle power and clocks jump; "
                f"turn it on with `nvidia-smi -i {gpu.index} -pm 1`."
            )
        if gpu.ecc_enabled is False:
            yield (
                f"ECC memory is off on GPU {gpu.index}: memory is faster than on most deployments; "
                f"turn it on with `nvidia-smi -i {gpu.index} -e 1`, or compare only with runs that have it off."
            )
