"""A gate: whether a metric is worse than before by more than a limit, as far as its interval can tell."""

import math
from collections.abc import Sequence
from statistics import fmean, median, stdev
from typing import Literal, NamedTuple

from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results.comparison.evidence import MIN_STRETCHES
from llenergymeasure.results.comparison.metrics import figure
from llenergymeasure.results.comparison.rows import Row, exp
from llenergymeasure.results.comparison.runs import in_time
from llenergymeasure.results.comparison.stretches import sessions
from llenergymeasure.results.comparison.table import Comparison
from llenergymeasure.results.flat import flat_row

MOST_NAMED = 5
Judgement = Literal["worse", "unsure", "passed"]


class Limit(NamedTuple):
    """A headline metric, and the share (0.05: 5 %) by which the second may be worse."""

    metric: str
    share: float


def judged(comparison: Comparison, limit: Limit) -> tuple[Judgement, str]:
    """Return whether the second is worse than `limit`, and a sentence that says so.

    `worse` where the whole of the interval is (at the level at which all headline intervals hold together), `passed`
    where none of it is, else `unsure`. A metric that one side lacks, or most runs of the second, is `worse`, for it may
    be; one that fewer of them lack does not pass.
    """
    row = next(row for row in comparison.rows if row.metric == limit.metric)
    name = comparison.second.name
    if row.ratio is None:
        return "worse", f"{row.metric}: {name}: {row.note}, so it may be worse"
    lacking, runs = row.missing[1], len(comparison.used[1])
    lack = f"; {lacking} of {runs} runs have no value" if lacking else ""
    if 2 * lacking > runs:
        return "worse", f"{row.metric}: {name}: {lacking} of {runs} runs have no value, so it may be worse"
    judgement, text = _by_interval(comparison, row, limit)
    if judgement == "passed" and lacking:
        return "unsure", f"{text}{lack}, so it may be worse: cannot tell"
    return judgement, text + lack


def _by_interval(comparison: Comparison, row: Row, limit: Limit) -> tuple[Judgement, str]:
    """Return the judgement that the runs with a value give."""
    found = f"{row.metric}: {comparison.second.name} is {_change(row.worse(row.ratio or 0))}"
    span = _span(row)
    if span is None:
        return (
            "unsure",
            f"{found}, limit {limit.share:.1%}: cannot tell ({row.note or comparison.why or 'no interval'})",
        )
    least, most = span
    told = f"{found} ({_change(least)} to {_change(most)} at {row.joint_level or 0:.2%}), limit {limit.share:.1%}"
    if least > limit.share:
        return "worse", f"{told}: over it"
    return ("passed", f"{told}: within it") if most <= limit.share else ("unsure", f"{told}: cannot tell")


def strays(comparison: Comparison, limit: Limit) -> str:
    """Return a sentence on nights of the first that stray, which widen its intervals; nothing where none does.

    A night (runs without an hour's pause between them) strays where it is worse than the median of the others by more
    than `limit`, and by over three times their median absolute deviation, as that estimates a standard deviation
    (1.4826 times, Hampel 1974). Under five nights nothing is said.
    """
    row = next(row for row in comparison.rows if row.metric == limit.metric)
    nights = _nights(comparison.used[0], limit.metric)
    if len(nights) < MIN_STRETCHES:
        return ""
    outliers = []
    for place, (began, log) in enumerate(nights):
        others = [other for number, (_, other) in enumerate(nights) if number != place]
        centre = median(others)
        usual = 1.4826 * median(abs(other - centre) for other in others)
        share = row.worse(exp(log - centre))
        if share > limit.share and abs(log - centre) > 3 * usual:
            outliers.append(f"{began} is {share:.1%} worse")
    if not outliers:
        return ""
    spread = exp(stdev(log for _, log in nights)) - 1
    which = ", ".join(outliers[:MOST_NAMED]) + (", ..." if len(outliers) > MOST_NAMED else "")
    return (
        f"{limit.metric}: {comparison.first.name} strays by {spread:.1%} from night to night: {which} than the others; "
        "keep runs that a gate has rejected out of it"
    )


def _nights(results: Sequence[ExperimentResult], metric: str) -> list[tuple[str, float]]:
    """Return the start and the mean logarithm of each night that has a value."""
    found = []
    for session in sessions(in_time(results, []).placed):
        values = [figure(flat_row(run.result), metric) for run in session]
        logs = [math.log(value) for value in values if value is not None and value > 0]
        if logs:
            found.append((f"{session[0].result.start_time:%Y-%m-%d %H:%M}", fmean(logs)))
    return found


def _span(row: Row) -> tuple[float, float] | None:
    """Return by what share the second is worse, at the least and at the most."""
    if row.joint_low is None:
        return None
    high = math.inf if row.joint_high is None else row.joint_high
    least, most = sorted((row.worse(row.joint_low), row.worse(high)))
    return least, most


def _change(share: float) -> str:
    return f"{share:.1%} worse" if share >= 0 else f"{-share:.1%} better"
