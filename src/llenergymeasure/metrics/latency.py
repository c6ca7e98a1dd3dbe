"""Latencies in the field's terms, from the times of each request's tokens."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from llenergymeasure.domain.metrics import Distribution, LatencyStats
from llenergymeasure.domain.requests import RequestRecord
from llenergymeasure.metrics.unknowns import ratio


def ttft_ms(request: RequestRecord) -> float | None:
    """Time to first token: from submission; None where no token was seen."""
    return None if request.first_token_s is None else (request.first_token_s - request.start_s) * 1e3


def e2e_ms(request: RequestRecord) -> float:
    """End to end: from submission to the last token."""
    return (request.end_s - request.start_s) * 1e3


def tpot_ms(request: RequestRecord) -> float | None:
    """Time per output token after the first, (E2E - TTFT) / (output tokens - 1); of several that came with the first,
    over those after them. None where there is none after them."""
    return tpot_of(e2e_ms(request), ttft_ms(request), request.output_tokens - request.first_tokens)


def tpot_of(whole_ms: float, first_ms: float | None, later_tokens: int) -> float | None:
    """TPOT from E2E, TTFT and the output tokens that came later than that."""
    return None if first_ms is None or later_tokens < 1 else ratio(whole_ms - first_ms, later_tokens)


def latency_stats(requests: Sequence[RequestRecord]) -> LatencyStats:
    """The distribution of each latency, a value a request (ITL: a value a gap between neighbouring tokens, of requests
    whose tokens have each a time of their own)."""
    return LatencyStats(
        ttft_ms=distribution([value for request in requests if (value := ttft_ms(request)) is not None]),
        tpot_ms=distribution([value for request in requests if (value := tpot_ms(request)) is not None]),
        itl_ms=distribution(_gaps_ms(requests)),
        e2e_ms=distribution([e2e_ms(request) for request in requests]),
    )


def _gaps_ms(requests: Sequence[RequestRecord]) -> np.ndarray:
    """Milliseconds between neighbouring tokens. They are many: nothing but one array is made."""
    timed = [request.token_times_s[request.first_tokens - 1 :] for request in requests if request.times_are_exact]
    count = sum(max(len(times_s) - 1, 0) for times_s in timed)
    found = (after_s - before_s for times_s in timed for before_s, after_s in pairwise(times_s))
    gaps = np.fromiter(found, float, count)
    gaps *= 1e3
    return gaps


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
