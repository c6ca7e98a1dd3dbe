"""Latencies of requests (TTFT, TPOT, ITL, E2E): from token times, from saved columns, and their distributions.

A process computes them from the times of its tokens (`latency_stats`); a merged run computes them again from the
columns that each process saved (`served`, `latency_stats_of`).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np

from labledger.errors import is_out_of_memory
from labledger.intervals import bootstrap_means
from llenergymeasure.domain.experiment import FailedRequestColumns, RawProcessResult, RequestColumns
from llenergymeasure.domain.figures import ConfidenceInterval, Distribution, LatencyStats
from llenergymeasure.domain.request_columns import OPTIONAL_COLUMNS
from llenergymeasure.domain.requests import FailedRequest, RequestRecord
from llenergymeasure.errors import ExperimentError
from llenergymeasure.metrics.arithmetic import ratio
from llenergymeasure.metrics.token_audit import audit_lists

MIN_UNITS_FOR_INTERVAL = 30
CLOCK_GRAIN_S = 1e-6
OUT_OF_MEMORY = (
    "The intervals of the mean latencies are unknown: there was not enough memory to compute them; close what else "
    "runs here, or send fewer requests."
)


def ttft_ms(request: RequestRecord) -> float | None:
    """Time to first token: from submission; None where no token was seen."""
    return None if request.first_token_s is None else (request.first_token_s - request.start_s) * 1e3


def e2e_ms(request: RequestRecord) -> float:
    """End to end: from submission to the last token or, where that came later, to the reason for the end."""
    return (request.end_s - request.start_s) * 1e3


def after_last_token_ms(request: RequestRecord) -> float:
    """Milliseconds of E2E after the last token: until a server said that there is no other."""
    return max(request.end_s - request.token_times_s[-1], 0.0) * 1e3 if request.token_times_s else 0.0


def tpot_ms(request: RequestRecord) -> float | None:
    """Time per output token after the first, (time to the last token - TTFT) / (output tokens - 1); of several that
    came with the first, over those after them. None where there is none after them."""
    last_ms = e2e_ms(request) - after_last_token_ms(request)
    return tpot_of(last_ms, ttft_ms(request), request.output_tokens, request.first_tokens)


def tpot_of(last_ms: float, first_ms: float | None, tokens: int | None, first_tokens: int) -> float | None:
    """TPOT from the times to the last token and to the first, all output tokens and those that came with the first."""
    if first_ms is None or tokens is None or tokens <= first_tokens:
        return None
    return ratio(last_ms - first_ms, tokens - first_tokens)


def latency_stats(requests: Sequence[RequestRecord]) -> LatencyStats:
    """The distribution of each latency, one value per request.

    ITL has one value per gap between neighbouring tokens, of requests whose tokens have times of their own; none to one
    that came in one packet with another.
    """
    return LatencyStats(
        ttft_ms=distribution([value for request in requests if (value := ttft_ms(request)) is not None]),
        tpot_ms=distribution([value for request in requests if (value := tpot_ms(request)) is not None]),
        itl_ms=distribution(_gaps_ms(requests)),
        e2e_ms=distribution([e2e_ms(request) for request in requests]),
    )


def _gaps_ms(requests: Sequence[RequestRecord]) -> np.ndarray:
    """Milliseconds between neighbouring tokens. They are many: nothing but one array is made."""
    timed = [request.token_times_s[request.first_tokens - 1 :] for request in requests if request.times_are_exact]
    gaps = np.fromiter(chain.from_iterable(map(_gaps_s, timed)), float)
    gaps *= 1e3
    return gaps


def _gaps_s(times_s: Sequence[float]) -> list[float]:
    """Seconds between neighbouring tokens that came alone: of several at one time, the gap before them is all of theirs
    together."""
    gaps = [after_s - before_s for before_s, after_s in pairwise(times_s)]
    if 0.0 not in gaps:
        return gaps
    return [gap for gap, after in zip(gaps, [*gaps[1:], None], strict=True) if gap and after != 0.0]


def distribution(values: "Sequence[float] | np.ndarray") -> Distribution | None:
    """Mean and percentiles (numpy's linear interpolation), None of no values."""
    if len(values) == 0:
        return None
    given = np.asarray(values, dtype=float)
    median, p90, p95, p99 = (float(each) for each in np.percentile(given, [50, 90, 95, 99]))
    return Distribution(n=len(given), mean=_mean(given), median=median, p90=p90, p95=p95, p99=p99)


def _mean(values: np.ndarray) -> float:
    """The mean, which lies among the values: their sum may be rounded, or be beyond all floats."""
    with np.errstate(over="ignore"):
        mean = float(np.mean(values))
    if not math.isfinite(mean):
        mean = float(np.mean(values / len(values)) * len(values))
    return min(max(mean, float(values.min())), float(values.max()))


class Served(NamedTuple):
    """One request: if it ended in the window, if it had tokens in it, if all of it was inside, its batch, and its
    latencies."""

    ended_inside: bool
    has_tokens_inside: bool
    inside: bool
    batch: tuple[int | None, float]
    ttft_ms: float | None
    e2e_ms: float
    tpot_ms: float | None


def request_columns(requests: Sequence[RequestRecord], opened_s: float) -> RequestColumns:
    """Each request's figures, one list per quantity; `start_s` counts from `opened_s`."""
    return RequestColumns(**request_lists(requests, opened_s))


def request_lists(requests: Sequence[RequestRecord], opened_s: float) -> dict[str, list[Any]]:
    """The lists of `request_columns`, unchecked."""
    after_ms = [after_last_token_ms(request) for request in requests]
    return {
        "input_tokens": [request.input_tokens for request in requests],
        "output_tokens": [request.output_tokens for request in requests],
        "start_s": [request.start_s - opened_s for request in requests],
        "ttft_ms": [ttft_ms(request) for request in requests],
        "e2e_ms": [e2e_ms(request) for request in requests],
        "first_tokens": [request.first_tokens for request in requests],
        "finish_reason": [request.finish_reason for request in requests],
        **audit_lists(requests),
        **({"after_last_token_ms": after_ms} if any(after_ms) else {}),
    }


def failed_columns(failed: Sequence[FailedRequest], opened_s: float) -> FailedRequestColumns | None:
    """Every request that failed, one list per quantity; None where there is none."""
    return FailedRequestColumns(**failed_lists(failed, opened_s)) if failed else None


def failed_lists(failed: Sequence[FailedRequest], opened_s: float) -> dict[str, list[Any]]:
    """The lists of `failed_columns`, unchecked."""
    return {
        "start_s": [each.start_s - opened_s for each in failed],
        "end_s": [each.end_s - opened_s for each in failed],
        "kind": [each.kind for each in failed],
        "message": [each.message for each in failed],
    }


def served(raw: RawProcessResult) -> list[Served]:
    """The requests of a process; all are taken to be in the window where the result does not say when that began.

    Requests of one batch began at the same moment.

    Raises:
        ExperimentError: its columns are not of the same requests.
    """
    columns = raw.requests or RequestColumns()
    _check_lengths(columns, raw.process_index)
    lasted_s = raw.inference_metrics.inference_time_sec if raw.inference_metrics else None
    known = raw.window_start_s is not None and lasted_s is not None
    first_s = (raw.window_start_s or 0.0) - CLOCK_GRAIN_S
    last_s = first_s + (lasted_s or 0.0) + 2 * CLOCK_GRAIN_S
    found = []
    first_tokens = columns.first_tokens or [1] * len(columns.start_s)
    afters_ms = columns.after_last_token_ms or [0.0] * len(columns.start_s)
    for start_s, first_ms, whole_ms, after_ms, tokens, first in zip(
        columns.start_s, columns.ttft_ms, columns.e2e_ms, afters_ms, columns.output_tokens, first_tokens, strict=True
    ):
        ended = not known or first_s <= start_s + whole_ms / 1e3 <= last_s
        began_ms = whole_ms if first_ms is None else first_ms
        spans = start_s + began_ms / 1e3 <= last_s and start_s + (whole_ms - after_ms) / 1e3 >= first_s
        found.append(
            Served(
                ended_inside=ended,
                has_tokens_inside=not known or spans,
                inside=ended and (not known or start_s >= first_s),
                batch=(raw.process_index, start_s),
                ttft_ms=first_ms,
                e2e_ms=whole_ms,
                tpot_ms=tpot_of(whole_ms - after_ms, first_ms, tokens, first),
            )
        )
    return found


def _check_lengths(columns: RequestColumns, process_index: int | None) -> None:
    added = ("first_tokens", *OPTIONAL_COLUMNS)
    names = ("start_s", "ttft_ms", "e2e_ms", "output_tokens", *(name for name in added if getattr(columns, name)))
    lengths = {name: len(getattr(columns, name)) for name in names}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ExperimentError(f"requests of process {process_index}: columns of different lengths ({found})")


def latency_stats_of(requests: Iterable[Served]) -> LatencyStats:
    """TTFT, TPOT and E2E of the requests wholly inside; the gaps between tokens are in no column, so ITL is unknown."""
    inside = [request for request in requests if request.inside]
    return LatencyStats(
        ttft_ms=distribution([request.ttft_ms for request in inside if request.ttft_ms is not None]),
        tpot_ms=distribution([request.tpot_ms for request in inside if request.tpot_ms is not None]),
        e2e_ms=distribution([request.e2e_ms for request in inside]),
    )


def latency_intervals_of(requests: Iterable[Served], seed: int) -> dict[str, ConfidenceInterval]:
    """`mean_intervals` of the requests wholly inside."""
    latencies: dict[str, dict[object, list[float]]] = {
        name: defaultdict(list) for name in ("ttft_ms", "tpot_ms", "e2e_ms")
    }
    for request in requests:
        for name, batches in latencies.items():
            value = getattr(request, name)
            if request.inside and value is not None:
                batches[request.batch].append(value)
    return mean_intervals({name: list(batches.values()) for name, batches in latencies.items()}, seed)


def mean_intervals(latencies: Mapping[str, Sequence[Sequence[float]]], seed: int) -> dict[str, ConfidenceInterval]:
    """Intervals for the mean of each latency (values, batch by batch), from 30 batches on: requests of one batch are
    not independent of each other."""
    known = {name: [batch for batch in batches if batch] for name, batches in latencies.items()}
    enough = {name: batches for name, batches in known.items() if len(batches) >= MIN_UNITS_FOR_INTERVAL}
    return {
        f"latency_stats.{name}.mean": ConfidenceInterval(
            low=found.low, high=found.high, level=found.level, n=found.n, method=f"{found.method} over batches"
        )
        for name, found in zip(enough, bootstrap_means([*enough.values()], seed=seed), strict=True)
    }


def unless_memory_is_out(
    intervals: Callable[[], dict[str, ConfidenceInterval]],
) -> tuple[dict[str, ConfidenceInterval], list[str]]:
    """The `intervals`, and no warning; where memory is out, none, and a warning about it. A result is whole without
    them."""
    try:
        return intervals(), []
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return {}, [OUT_OF_MEMORY]
