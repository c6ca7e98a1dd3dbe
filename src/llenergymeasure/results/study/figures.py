"""A cell's figures over its rounds: mean, interval, spread, and what sensors leave open beside them."""

import math
import statistics
import sys

from labledger.intervals import Estimate, mean_interval, rounding_variance
from llenergymeasure.domain.study_result import CellSummary
from llenergymeasure.results.comparison.evidence import ROUNDS
from llenergymeasure.results.comparison.metrics import HEADLINE, HIGHER_IS_BETTER, open_bounds
from llenergymeasure.results.comparison.rows import ENDLESS
from llenergymeasure.results.study.observations import Observations, is_energy
from llenergymeasure.results.study.runs import search_bound
from llenergymeasure.results.study.words import share_words

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
SHARE_OF_ANSWERS = "quality_share"
OF_ANSWERS = (SHARE_OF_ANSWERS, "quality_low", "quality_high", "quality_right")
"""Columns that are the same wherever the same questions have right answers."""
MORE_IS_BETTER = (
    *HIGHER_IS_BETTER,
    "avg_tokens_per_second",
    "request_rate",
    "concurrency",
    "quality_share",
    "quality_low",
    "quality_high",
    "quality_right",
)
"""Metrics of which the greatest is best; of others it is the least."""


def is_more_better(metric: str) -> bool:
    """Return True if the greatest value of a metric is the best one."""
    return metric in MORE_IS_BETTER or metric.endswith("_per_second")


def cell_figure(seen: Observations, cell: int, metric: str) -> CellSummary:
    """Return one metric of a cell: the arithmetic mean over rounds, and half of Student's t interval at 95 %.

    Figures that are told in steps vary by the rounding at the least, also where all are the same by chance. A searched
    load has no half-width where a round only bounds it.
    """
    values = [*seen.values(cell, metric).values()]
    if not values:
        return CellSummary(metric=metric, mean=None)
    mean = statistics.mean(values)
    edge, gain = cell_bounds(seen, cell, metric)
    half_width, spread = None, None
    if len(values) > 1:
        rounding = rounding_variance(seen.told_in_steps(cell, metric))
        interval = mean_interval(values, level=LEVEL, least_variance=rounding)
        half_width = min(interval.high / 2 - interval.low / 2, sys.float_info.max)
        spread = statistics.stdev(values)
    if metric == SHARE_OF_ANSWERS:
        return _share_of_answers(seen, cell, CellSummary(metric=metric, mean=mean, spread=spread, n=len(values)))
    bound = search_bound(seen.runs, cell, metric)
    return CellSummary(
        metric=metric,
        mean=mean,
        half_width=None if bound else half_width,
        spread=spread,
        n=len(values),
        at_least=bound == "at least",
        edge=edge,
        gain=gain,
    )


def _share_of_answers(seen: Observations, cell: int, share: CellSummary) -> CellSummary:
    """Return the share of right answers with Wilson's interval over questions, the widest of its rounds.

    Each round asks the same questions, so that rounds without a spread say nothing of others.
    """
    lows, highs = ([*seen.values(cell, f"quality_{end}").values()] for end in ("low", "high"))
    if not lows or not highs or share.mean is None:
        return share
    low, high = min(lows), max(highs)
    counts = {(each.quality.right, each.quality.questions) for each in seen.results(cell) if each.quality is not None}
    text = share_words(share.mean, low, high, *(counts.pop() if len(counts) == 1 else ()))
    return share.model_copy(update={"low": low, "high": high, "shown": text})


def cell_interval(figure: CellSummary) -> tuple[float, float] | None:
    """Return the interval of a cell's true value: that of its rounds and, of joules, what its sensors leave open.

    It is compared with a limit, and no ratio: the sensors' scale does not cancel. None of fewer than two rounds. Of a
    load that is so great at the least it has no end.
    """
    if figure.low is not None and figure.high is not None:
        return figure.low, figure.high
    if figure.at_least and figure.mean is not None and figure.spread is not None:
        error = figure.spread / math.sqrt(figure.n)
        return Estimate(figure.mean, error, figure.n - 1, figure.n, ROUNDS).interval(LEVEL).low, math.inf
    if figure.mean is None or figure.half_width is None:
        return None
    reach = figure.half_width + (figure.edge or 0.0) + (figure.gain or 0.0)
    return figure.mean - reach, figure.mean + reach


def cell_bounds(
    seen: Observations, cell: int, metric: str, *, are_shares: bool = False
) -> tuple[float | None, float | None]:
    """Return the largest edge and the largest gain of a cell's runs, in the metric's unit or as shares of its figures
    (all above 0); None of no energy.
    """
    if not is_energy(metric):
        return None, None
    edges, gains = list[float](), list[float]()
    for seen_run in seen.cells[cell].values():
        value = seen.value(cell, seen_run.run.result, metric)
        if value is not None and (value > 0 or not are_shares):
            edge, gain = open_bounds(seen_run.run.result, metric, value)
            edges.append(edge / value if are_shares else edge)
            gains.append(gain / value if are_shares else gain)
    known = [edge for edge in edges if edge < math.inf]
    return min(max(known or edges, default=0.0), ENDLESS), max(gains, default=0.0)
