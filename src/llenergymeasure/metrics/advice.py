"""Warnings about a measurement: what was found, and what to do. They inform; nothing depends on them."""

from collections.abc import Iterator, Mapping, Sequence

from llenergymeasure.config.energy_sources import basis_of, sources_of
from llenergymeasure.domain.environment import GpuInfo
from llenergymeasure.domain.figures import WarmupResult
from llenergymeasure.domain.power import DeviceWatch, IdlePower
from llenergymeasure.metrics.arithmetic import seconds
from llenergymeasure.metrics.energy import RunEnergy, difference_warnings
from llenergymeasure.metrics.power import temperature_drift_c

MIN_DURATION_S = 60.0
MIN_PROMPTS = 30
MIN_TICKS = 10
MAX_CPU_WAIT_SHARE = 0.1
MAX_CPU_STEAL_SHARE = 0.02
MAX_DRIFT_C = 10.0
MAX_IDLE_SPREAD_SHARE = 0.1
MAX_DISAGREEMENT_SHARE = 0.03
MAX_IDLE_DISAGREEMENT_SHARE = 0.10
IDLE_SHARE_OF_LIMIT = 0.25
"""Below this share of its power limit a device counts as idle."""


def run_warnings(
    *,
    warmup: WarmupResult | None,
    cpu_wait_share: float | None,
    cpu_steal_share: float | None,
    gpus: Sequence[GpuInfo],
) -> Iterator[str]:
    """A line for each reason to read a run's figures with care; `gpus` are those that it used."""
    yield from _contention_warnings(cpu_wait_share, cpu_steal_share)
    if warmup is not None and warmup.converged is False and warmup.max_prompts is not None:
        cv = "unknown" if warmup.final_cv is None else f"{warmup.final_cv:.3f}"
        yield (
            f"The warm-up did not converge: CV {cv} after {warmup.iterations_completed} calls, wanted "
            f"{warmup.target_cv:g}; raise warmup.max_prompts or close what else runs on this machine."
        )
    yield from _gpu_warnings(gpus)


def size_warnings(duration_s: float, requests: int) -> Iterator[str]:
    """A line for each way in which a run is too small."""
    if duration_s < MIN_DURATION_S:
        yield f"The window is {seconds(duration_s)}, under 60 s: its figures are less sure; send more prompts."
    if requests < MIN_PROMPTS:
        yield f"{requests} requests are in the window, under 30: percentiles mean little; send more prompts."


def energy_warnings(energy: RunEnergy, duration_s: float, not_used: Mapping[str, str]) -> Iterator[str]:
    """A line for each reason to read an energy with care."""
    if basis_of(energy.source) == "estimate" and energy.total_j is not None:
        yield (
            "Energy is an estimate from CPU time, not a measurement; its true value may be far off. Set "
            "cpu_watts_per_core in the user configuration to narrow it (llem doctor shows where)."
        )
    if not energy.devices and basis_of(energy.source) != "nothing":
        why = not_used.get(sources_of("gpu")[0], "see sources_not_used")
        yield f"The GPU's energy is unknown ({why}), and CPU energy does not stand in for it."
    yield from difference_warnings(
        sensor=[device.sensor for device in energy.devices],
        calibration=[device.calibration for device in energy.devices],
    )
    for watch in energy.watches:
        yield from watch.notes
        if energy.is_measured and watch.ticks < MIN_TICKS:
            yield f"Only {watch.ticks} values of {watch.device} fall in the window: measure for longer."
        yield from _disagreement_warnings(watch, energy, duration_s)
        for reason, share in watch.throttled.items():
            yield f"{watch.device} was slowed down ({reason}) in {share:.0%} of the window: cool it or limit its power."
    drift_c = temperature_drift_c(energy.watches)
    if drift_c is not None and drift_c > MAX_DRIFT_C:
        yield (
            f"Temperature moved by {drift_c:.0f} C in the window, and power moves with it: warm up for longer, or set "
            "warmup.thermal_floor_seconds."
        )


def idle_warnings(loaded: IdlePower, bare: IdlePower | None, energy: RunEnergy) -> Iterator[str]:
    """A line for each idle power that is missing or was not steady."""
    if loaded.unknown is not None and energy.total_j is not None:
        gross = "energy is gross, idle power included" if energy.is_measured else "the estimate has no idle power in it"
        yield f"{loaded.unknown[0].upper()}{loaded.unknown[1:]}; {gross}."
    for name, idle in (("loaded", loaded), ("bare", bare)):
        if idle is None or idle.power_w is None or idle.spread_w is None:
            continue
        if idle.spread_w > MAX_IDLE_SPREAD_SHARE * idle.power_w:
            yield (
                f"Idle power ({name}) was not steady: {idle.power_w:.1f} ± {idle.spread_w:.1f} W; something else works "
                "on the device, or it was still settling."
            )


def _disagreement_warnings(watch: DeviceWatch, energy: RunEnergy, duration_s: float) -> Iterator[str]:
    counter_j = next((device.energy_j for device in energy.devices if device.device == watch.device), None)
    integral_j = watch.power_integral_j
    if counter_j is None or integral_j is None or counter_j <= 0:
        return
    idles = watch.limit_w is not None and counter_j / duration_s < IDLE_SHARE_OF_LIMIT * watch.limit_w
    allowed = MAX_IDLE_DISAGREEMENT_SHARE if idles else MAX_DISAGREEMENT_SHARE
    apart_j, sure_j = abs(counter_j - integral_j), watch.power_integral_bound_j or 0.0
    if apart_j - sure_j > allowed * counter_j:
        yield (
            f"The energy counter of {watch.device} has {counter_j:.4g} J, its power, integrated, {integral_j:.4g} J, "
            f"sure to ±{sure_j:.2g} J; they are {apart_j / counter_j:.1%} apart, over {allowed:.0%}. The difference is "
            "in the bound."
        )


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


def mig_warning(index: int | None) -> str:
    """A line on what a board that is cut into slices means for energy."""
    return (
        f"GPU {index} is cut into MIG slices: its sensors are of the whole board, so the energy of one slice cannot be "
        "told from that of the others."
    )


def _gpu_warnings(gpus: Sequence[GpuInfo]) -> Iterator[str]:
    for gpu in gpus:
        if gpu.mig_enabled:
            yield mig_warning(gpu.index)
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
