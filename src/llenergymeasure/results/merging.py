"""One result of all processes of a run, from their raw results and their parts.

Figures that follow from the raw results are those of `aggregation`; what only a part knows (energy bounds, verdict,
environment) comes from there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from llenergymeasure.domain.choices import Verdict
from llenergymeasure.domain.environment import EnvironmentSnapshot
from llenergymeasure.domain.experiment import ExperimentResult, RawProcessResult
from llenergymeasure.domain.figures import (
    DeviceEnergy,
    EnergyBreakdown,
    EnergyUncertainty,
    MultiGPUMetrics,
    ThermalThrottleInfo,
)
from llenergymeasure.metrics.advice import size_warnings
from llenergymeasure.metrics.arithmetic import sum_of_all
from llenergymeasure.metrics.derived import EnergyTotals, RunTotals
from llenergymeasure.metrics.energy import common, difference_warnings, multi_gpu_metrics
from llenergymeasure.metrics.power import hottest_per_second
from llenergymeasure.metrics.token_audit import token_audit, weakest_source
from llenergymeasure.results.aggregation import aggregated, gather
from llenergymeasure.results.parts import seconds_later

SUMS_IN_TOTALS = ("energy_adjusted_j", "energy_adjusted_uncertainty_j", "energy_uncertainty_j")
SUMS = (
    "baseline_power_w",
    "baseline_power_spread_w",
    "idle_power_w",
    "idle_power_spread_w",
    "zeus_energy_j",
    "energy_prefill_j",
    "energy_prefill_uncertainty_j",
    "energy_decode_j",
    "energy_decode_uncertainty_j",
)
"""Fields to which each process that metered adds its value; of those in the totals the result has what they give."""

SAME = (
    "backend",
    "backend_version",
    "effective_config",
    "token_count_source",
    "energy_source",
    "energy_scope",
    "sources_not_used",
    "environment_snapshot",
    "docker_image_digest",
    "warmup_result",
    "lm_eval",
    "model_kept",
)
"""Fields that are taken from the first process."""

UNKNOWN = "energy is unknown"
"""The beginning of the reason of a verdict on an energy that nobody knows."""

OF_SENSORS = ("sensor", "calibration")
"""Fields that the result has where all processes that metered have the same."""


def combine(raws: Sequence[RawProcessResult], parts: Sequence[ExperimentResult]) -> ExperimentResult:
    """One result of all processes: the sums of their raw results, and what their parts know beside that."""
    first = parts[0]
    gathered = gather(raws, str(first.experiment_id))
    counting = [raw for device in gathered.devices for raw in device.counting]
    metered = [part for raw, part in zip(raws, parts, strict=True) if raw in counting]
    doubled = any(device.is_doubled for device in gathered.devices)
    sums: dict[str, float | None] = {
        name: None if doubled else sum_of_all([getattr(part, name) for part in metered])
        for name in (*SUMS, *SUMS_IN_TOTALS)
    }
    totals = replace(gathered.totals, energy=_energy_totals(gathered.totals.energy, metered, sums))
    devices = _devices(raws, parts, counting)
    sensors = {name: [getattr(part, name) for part in metered] for name in OF_SENSORS}
    differ = len({part.measurement_methodology for part in parts}) > 1
    warnings = [
        *_attributed([part.measurement_warnings for part in parts]),
        *(["The processes' figures are not of the same kind of window; see process_results."] if differ else []),
        *difference_warnings(**sensors),
        *size_warnings(totals.duration_s, totals.requests or 0),
    ]
    fields = {
        **{name: getattr(first, name) for name in SAME},
        **{name: sums[name] for name in SUMS},
        **{name: common(values) for name, values in sensors.items()},
        **_confidence_fields(totals, metered, doubled),
        "token_count_source": weakest_source(part.token_count_source for part in parts),
        "token_audit": token_audit(gathered.counted, _tokenizer_unavailable(parts)),
        "experiment_id": str(first.experiment_id),
        "measurement_config_hash": str(first.measurement_config_hash),
        "measurement_methodology": "total" if differ else first.measurement_methodology or "total",
        "steady_state_window": _steady_state_window(raws, parts),
        "device_energy": devices,
        "energy_per_device_j": _gpu_joules(devices),
        "peak_power_w": metered[0].peak_power_w if len(metered) == 1 else None,
        "phase_energy_method": _phase_energy_method(metered, sums),
        "multi_gpu": _multi_gpu(raws, first.environment_snapshot, devices, totals),
        "warmup_excluded_samples": sum_of_all([part.warmup_excluded_samples for part in parts]),
        "measurement_warnings": warnings,
        "thermal_throttle": _throttle(metered),
        "thermal_time_series": _hottest(raws, parts),
    }
    return aggregated(gathered, totals, fields)


def _tokenizer_unavailable(parts: Sequence[ExperimentResult]) -> str | None:
    """Each reason of a process why the tokenizer has not looked at all of its answers."""
    audits = [part.token_audit for part in parts if part.token_audit is not None]
    return "; ".join(dict.fromkeys(each.tokenizer_unavailable for each in audits if each.tokenizer_unavailable)) or None


def _energy_totals(
    known: EnergyTotals, metered: Sequence[ExperimentResult], sums: Mapping[str, float | None]
) -> EnergyTotals:
    """The energy with what only the parts know: its bound, and what is idle in it."""
    first = (metered[0].energy_breakdown if metered else None) or EnergyBreakdown()
    return replace(
        known,
        is_measured=all(part.mean_power_w is not None for part in metered),
        bound_j=sums["energy_uncertainty_j"],
        adjusted_j=sums["energy_adjusted_j"],
        adjusted_bound_j=sums["energy_adjusted_uncertainty_j"],
        baseline_power_w=sums["baseline_power_w"],
        baseline_method=first.baseline_method,
        baseline_timestamp=first.baseline_timestamp,
    )


def _confidence_fields(totals: RunTotals, metered: Sequence[ExperimentResult], doubled: bool) -> dict[str, object]:
    """The verdict with its reasons and the parts of the bound; no bound, and no scope, of an unknown energy."""
    verdict, reasons = _verdict(metered)
    if totals.energy.joules is not None:
        rest: dict[str, object] = {"energy_uncertainty": _uncertainty(metered)}
    else:
        rest = {"energy_uncertainty": None, "energy_scope": None}
        if verdict != "not_measured" and not any(UNKNOWN in each for each in reasons):
            why = "several processes metered one GPU" if doubled else "that of a device is"
            verdict, reasons = "invalid", [*reasons, f"{UNKNOWN}: {why}"]  # no process is sure of it
    return {**rest, "verdict": verdict, "verdict_reasons": reasons}


def _phase_energy_method(metered: Sequence[ExperimentResult], sums: Mapping[str, float | None]) -> str | None:
    """Each way in which a process separated the phases; None where the energy of neither is known."""
    if sums["energy_prefill_j"] is None and sums["energy_decode_j"] is None:
        return None
    return "; ".join(dict.fromkeys(part.phase_energy_method for part in metered if part.phase_energy_method)) or None


def _multi_gpu(
    raws: Sequence[RawProcessResult],
    environment: EnvironmentSnapshot | None,
    devices: Sequence[DeviceEnergy],
    totals: RunTotals,
) -> MultiGPUMetrics | None:
    """None unless the processes ran on several GPUs."""
    ran_on = {raw.gpu_id for raw in raws} - {None}
    if len(ran_on) < 2:
        return None
    uuids = {gpu.uuid for gpu in (environment.gpus if environment else []) if gpu.index in ran_on}
    gpus = [device for device in devices if len(uuids) < len(ran_on) or device.device in uuids]
    return multi_gpu_metrics(gpus, totals.energy.joules, totals.energy_per_output_token_j)


def _verdict(metered: Sequence[ExperimentResult]) -> tuple[Verdict | None, list[str]]:
    """The verdict of the least sure process, and the reasons of all."""
    found = {part.verdict for part in metered}
    order: tuple[Verdict, ...] = ("invalid", "not_measured", "valid")
    verdict = next((verdict for verdict in order if verdict in found), None)
    return verdict, list(_attributed([part.verdict_reasons for part in metered]))


def _attributed(texts: Sequence[Sequence[str]]) -> Iterator[str]:
    """Each text once: those of all processes first, then those of some, with the numbers of these."""
    indexes = {text: [i for i, each in enumerate(texts) if text in each] for each in texts for text in each}
    yield from (text for text, found in indexes.items() if len(found) == len(texts))
    for text, found in indexes.items():
        if len(found) < len(texts):
            yield f"process {', '.join(map(str, found))}: {text}"


def _uncertainty(metered: Sequence[ExperimentResult]) -> EnergyUncertainty | None:
    found = [part.energy_uncertainty for part in metered]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None

    def total(name: str) -> float | None:
        return sum_of_all([value for each in known if (value := getattr(each, name)) is not None])

    return EnergyUncertainty(**{name: total(name) for name in EnergyUncertainty.model_fields})


def _devices(
    raws: Sequence[RawProcessResult], parts: Sequence[ExperimentResult], counting: Sequence[RawProcessResult]
) -> list[DeviceEnergy]:
    """Every device once: a GPU that several processes saw as the one that used it has it."""
    found: dict[object, DeviceEnergy] = {}
    for raw, part in zip(raws, parts, strict=True):
        gpus = part.environment_snapshot.gpus if part.environment_snapshot else []
        used = next((gpu.uuid for gpu in gpus if gpu.index == raw.gpu_id), None)
        for device in part.device_energy if raw in counting else ():
            name = device.device if device.kind == "gpu" else (raw.process_index, device.device)
            if name not in found or device.device == used:
                found[name] = device
    return list(found.values())


def _gpu_joules(devices: Sequence[DeviceEnergy]) -> list[float] | None:
    known = [device.energy_j for device in devices if device.kind == "gpu"]
    return [each for each in known if each is not None] if known and None not in known else None


def _steady_state_window(
    raws: Sequence[RawProcessResult], parts: Sequence[ExperimentResult]
) -> tuple[float, float] | None:
    """The span of all windows, in seconds from the start of the first process's measurement."""
    edges = [
        (part.steady_state_window[0] + seconds_later(raw, raws), part.steady_state_window[1] + seconds_later(raw, raws))
        for raw, part in zip(raws, parts, strict=True)
        if part.steady_state_window is not None
    ]
    return (min(first for first, _ in edges), max(last for _, last in edges)) if len(edges) == len(parts) else None


def _throttle(metered: Sequence[ExperimentResult]) -> ThermalThrottleInfo | None:
    known = [part.thermal_throttle for part in metered if part.thermal_throttle is not None]
    if not known:
        return None
    return ThermalThrottleInfo(
        detected=any(each.detected for each in known),
        throttled_s=max((each.throttled_s for each in known if each.throttled_s is not None), default=None),
        share=max((each.share for each in known if each.share is not None), default=None),
        reasons=sorted({reason for each in known for reason in each.reasons}),
    )


def _hottest(raws: Sequence[RawProcessResult], parts: Sequence[ExperimentResult]) -> list[tuple[float, float]] | None:
    """Seconds from the start of the first process's measurement and the hottest device's degrees, of any process."""
    samples = (
        (own_s + seconds_later(raw, raws), degrees_c)
        for raw, part in zip(raws, parts, strict=True)
        for own_s, degrees_c in part.thermal_time_series or []
    )
    return hottest_per_second(samples) or None
