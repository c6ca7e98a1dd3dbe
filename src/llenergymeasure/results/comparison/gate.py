"""A gate: whether a metric is worse than before by more than a limit, as far as its interval can tell."""

import math
from typing import Literal, NamedTuple

from llenergymeasure.results.comparison.rows import Row
from llenergymeasure.results.comparison.table import Comparison

Judgement = Literal["worse", "unsure", "passed"]


class Limit(NamedTuple):
    """A headline metric, and the share (0.05: 5 %) by which the second may be worse."""

    metric: str
    share: float


def judged(comparison: Comparison, limit: Limit) -> tuple[Judgement, str]:
    """Return whether the second is worse than `limit`, and a sentence that says so.

    `worse` where the whole of the interval is (at the level at which all headline intervals hold together), `passed`
    where none of it is, else `unsure`. A metric that one side lacks is `worse`, for it may be.
    """
    row = next(row for row in comparison.rows if row.metric == limit.metric)
    name = comparison.second.name
    if row.ratio is None:
        return "worse", f"{row.metric}: {name}: {row.note}, so it may be worse"
    found = f"{row.metric}: {name} is {_change(row.worse(row.ratio))}"
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


def _span(row: Row) -> tuple[float, float] | None:
    """Return by what share the second is worse, at the least and at the most."""
    if row.joint_low is None:
        return None
    high = math.inf if row.joint_high is None else row.joint_high
    least, most = sorted((row.worse(row.joint_low), row.worse(high)))
    return least, most


def _change(share: float) -> str:
    return f"{share:.1%} worse" if share >= 0 else f"{-share:.1%} better"
