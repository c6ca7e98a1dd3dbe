"""The runs of a comparison in the order of time: when each ran, on which device, and which cannot be placed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from llenergymeasure.domain.environment import GpuInfo
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results.comparison.metrics import metered_gpus

Side = Literal[0, 1]
PAUSE_S = 3600.0
"""So long a pause lets the weather change: what ran before and after it is not adjacent."""
CONTENTION = ("Tasks waited for a core", "Other virtual machines took", "another process was on")
"""In the warnings and reasons of a run beside which something else worked."""
THROTTLING = "was slowed down"
MEANINGS = {
    "contention": "other work shared the machine, and times and energy are of both; close it and run again",
    "throttling": "the board slowed itself down; cool it, or limit its power, and run again",
}


@dataclass(frozen=True, eq=False)
class Run:
    """One result of a side (0: the first), its window in seconds since 1970, and the devices that it ran on."""

    side: Side
    result: ExperimentResult
    start_s: float
    end_s: float
    devices: frozenset[str]


class InTime(NamedTuple):
    """Runs in the order of time, those that have no place in it, and a sentence for each reason why.

    `causes` are the reasons of `left_out`, run by run.
    """

    placed: list[Run]
    left_out: list[Run]
    reasons: list[str]
    causes: list[str]


def in_time(first: Iterable[ExperimentResult], second: Iterable[ExperimentResult]) -> InTime:
    """Return the runs of both sides in the order of time.

    Left out are runs that were stopped before they had served all requests, runs without a start, runs whose times have
    no zone beside others that have one, and runs on one device at the same time: each is in the other's figures.
    """
    runs = [*(_run(0, result) for result in first), *(_run(1, result) for result in second)]
    partial = [run for run in runs if _is_partial(run)]
    whole = [run for run in runs if not _is_partial(run)]
    zoned = any(_has_zone(run) for run in whole)
    timeless = [run for run in whole if run.result.start_time is None]
    unzoned = [run for run in whole if run.result.start_time is not None and _has_zone(run) != zoned]
    rest = [run for run in whole if run.result.start_time is not None and _has_zone(run) == zoned]
    rest.sort(key=lambda run: run.start_s)
    overlapping = _overlapping(rest)
    reasons = (
        (partial, "stopped before all requests were served"),
        (timeless, "no start time"),
        (unzoned, "a time without a zone beside others that have one"),
        ([rest[place] for place in sorted(overlapping)], "on a device at the same time as another"),
    )
    return InTime(
        [run for place, run in enumerate(rest) if place not in overlapping],
        [run for alike, _ in reasons for run in alike],
        [f"{len(alike)} of {len(runs)} runs left out: {reason}" for alike, reason in reasons if alike],
        [reason for alike, reason in reasons for _ in alike],
    )


def busy_times(results: Iterable[ExperimentResult]) -> list[Run]:
    """Return when and where results kept devices busy; those without a start are not in it, and the side is any."""
    return [_run(0, result) for result in results if result.start_time is not None]


def devices_of(result: ExperimentResult) -> frozenset[str]:
    """Return the devices that a run was on: GPUs by UUID; a CPU by its host's name, else by its model and memory.

    Empty where they are not known.
    """
    environment = result.environment_snapshot
    if result.energy_scope == "gpu" and (uuids := metered_gpus(result)):
        return frozenset(uuids)
    if environment is None:
        return frozenset()
    if _is_on_gpus(result):
        return frozenset(str(gpu.uuid) for gpu in gpus_of(result) if gpu.uuid)
    if environment.hostname is not None:
        return frozenset({environment.hostname})
    parts = (environment.cpu_model, environment.cpu_logical_cores, environment.ram_mb)
    return frozenset() if None in parts else frozenset({"{}, {} cores, {:.0f} MB".format(*parts)})


def gpus_of(result: ExperimentResult) -> list[GpuInfo]:
    """Return the GPUs that a run was on, those metered or those that its processes name; none of a run on a CPU."""
    if result.environment_snapshot is None:
        return []
    metered = metered_gpus(result) if result.energy_scope == "gpu" else []
    used = {process.gpu_id for process in result.process_results} if _is_on_gpus(result) else set()
    return [gpu for gpu in result.environment_snapshot.gpus if (gpu.uuid in metered if metered else gpu.index in used)]


def _is_on_gpus(result: ExperimentResult) -> bool:
    return str(result.effective_config.get("device", "")).startswith("cuda")


def disturbances(results: Sequence[ExperimentResult], *, explained: bool = False) -> list[str]:
    """Return `contention in 2 of 12 runs`, the like for throttling, and how many requests failed; nothing if none.

    If `explained`, the first two say what that means, and what to do.
    """
    contended = sum(any(mark in text for mark in CONTENTION for text in _texts(result)) for result in results)
    throttled = sum(
        bool(result.thermal_throttle and result.thermal_throttle.detected)
        or any(THROTTLING in text for text in _texts(result))
        for result in results
    )
    found = (("contention", contended), ("throttling", throttled))
    disturbed = [
        f"{name} in {count} of {len(results)} runs{f': {MEANINGS[name]}' * explained}" for name, count in found if count
    ]
    failed = sum(sum(result.request_failures.values()) for result in results)
    served = sum(len(each.requests.e2e_ms) for result in results for each in result.process_results if each.requests)
    return [*disturbed, f"{failed} of {failed + served} requests failed"] if failed else disturbed


def cut_answers(results: Sequence[ExperimentResult]) -> list[str]:
    """Return a sentence on the answers that might be right had they not been cut."""
    asked = [(each.quality.cut or 0, each.quality.questions or 0) for each in results if each.quality is not None]
    cut, questions = (sum(counts) for counts in zip(*asked, strict=True)) if asked else (0, 0)
    of = f"{cut} of {questions} answers{f' in {len(asked)} runs' if len(asked) > 1 else ''}"
    text = f"{of} are not right and were cut at the limit of output tokens: raise max_output_tokens to see if they are"
    return [text] if cut else []


def _texts(result: ExperimentResult) -> list[str]:
    return [*result.measurement_warnings, *result.verdict_reasons]


def _run(side: Side, result: ExperimentResult) -> Run:
    start_s = _seconds(result.start_time)
    seconds = result.duration_sec if result.duration_sec is not None else result.total_inference_time_sec
    return Run(side, result, start_s, start_s + max(seconds or 0.0, 0.0), devices_of(result))


def _is_partial(run: Run) -> bool:
    return any(process.is_partial for process in run.result.process_results)


def _has_zone(run: Run) -> bool:
    return run.result.start_time is not None and run.result.start_time.tzinfo is not None


def _seconds(moment: datetime | None) -> float:
    """Return seconds since 1970; 0 of no moment. One without a zone is only ever set beside others without."""
    if moment is None:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _overlapping(runs: Sequence[Run]) -> set[int]:
    """Return the places of `runs`, which are in the order of their starts, that shared a device with another."""
    found: set[int] = set()
    latest: dict[str, int] = {}  # by device, the run of the latest end so far
    for place, run in enumerate(runs):
        for device in run.devices:
            before = latest.get(device)
            if before is not None and run.start_s < runs[before].end_s:
                found |= {before, place}
            if before is None or run.end_s > runs[before].end_s:
                latest[device] = place
    return found
