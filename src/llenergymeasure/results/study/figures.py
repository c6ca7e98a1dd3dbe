"""A cell's figures over its rounds: mean, interval, spread, and what sensors leave open beside them."""

import math
import statistics

from labledger.intervals import mean_interval
from llenergymeasure.domain.study_result import CellSummary
from llenergymeasure.results.comparison.metrics import HEADLINE, HIGHER_IS_BETTER
from llenergymeasure.results.study.observations import Observations, is_energy, open_shares

SUMMED_UP = (
    *HEADLINE,
    "ttft_ms_p99",
    "tpot_ms_p95",
    "e2e_ms_median",
    "e2e_ms_p99",
    "requests_per_second",
    "energy_per_request_j",
    "peak_memory_mb",
    "quality_share",
    "energy_per_right_answer_j",
)
"""The columns of the flat table that a study sums up."""
LEVEL = 0.95
MORE_IS_BETTER = (
    *HIGHER_IS_BETTER,
    "avg_tokens_per_second",
    "request_rate",
    "concurrency",
    "quality_share",
    "quality_low",
    "quality_right",
)
"""Metrics of which the greatest is best; of others it is the least."""


def is_more_better(metric: str) -> bool:
    """Return True if the greatest value of a metric is the best one."""
    return metric in MORE_IS_BETTER or metric.endswith("_per_second")


def cell_figure(seen: Observations, cell: int, metric: str) -> CellSummary:
    """Return one metric of a cell: the arithmetic mean over rounds, and half of Student's t interval at 95 %."""
    values = [*seen.values(cell, metric).values()]
    if not values:
        return CellSummary(metric=metric, mean=None)
    mean = math.fsum(values) / len(values)
    edge, gain = _bounds(seen, cell, metric)
    half_width, spread = None, None
    if len(values) > 1:
        interval = mean_interval(values, level=LEVEL)
        half_width, spread = (interval.high - interval.low) / 2, statistics.stdev(values)
    if metric == "quality_share":
        half_width = _reach_of_share(seen, cell, mean)
    return CellSummary(
        metric=metric, mean=mean, half_width=half_width, spread=spread, n=len(values), edge=edge, gain=gain
    )


def _reach_of_share(seen: Observations, cell: int, share: float) -> float | None:
    """Return how far the share of right answers reaches by Wilson's interval over questions, on its wider side.

    Each round asks the same questions, so that rounds without a spread say nothing of others.
    """
    ends = [*seen.values(cell, "quality_low").values(), *seen.values(cell, "quality_high").values()]
    return max((abs(end - share) for end in ends), default=None)


def cell_interval(figure: CellSummary) -> tuple[float, float] | None:
    """Return the interval of a cell's true value: that of its rounds and, of joules, what its sensors leave open.

    It is compared with a limit, and no ratio: the sensors' scale does not cancel. None of fewer than two rounds.
    """
    if figure.mean is None or figure.half_width is None:
        return None
    reach = figure.half_width + (figure.edge or 0.0) + (figure.gain or 0.0)
    return figure.mean - reach, figure.mean + reach


def _bounds(seen: Observations, cell: int, metric: str) -> tuple[float | None, float | None]:
    """Return the largest edge and the largest gain of a cell's runs, in the metric's unit; None of no energy."""
    if not is_energy(metric):
        return None, None
    edges, gains = [0.0], [0.0]
    for seen_run in seen.cells[cell].values():
        value = seen.value(cell, seen_run.run.result, metric)
        if value is not None:
            edge, gain = open_shares(seen_run.run.result, metric)
            edges.append(edge * abs(value))
            gains.append(gain * abs(value))
    return max(edges), max(gains)
