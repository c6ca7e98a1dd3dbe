"""The steps of a load search: which of them meet its goal, and which load comes next."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import ValidationError

from llenergymeasure.config.servers import LoadSearch
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.requests import NO_CONNECTION, NOTHING_ANSWERS
from llenergymeasure.domain.study import StudyCell, StudyRun
from llenergymeasure.errors import ConfigError
from llenergymeasure.metrics.serving import MAX_FAILED_SHARE, MAX_LATE_MS
from llenergymeasure.results.conditions import Condition, parse_conditions
from llenergymeasure.results.flat import flat_row

Steps = Sequence[tuple[StudyRun, ExperimentResult | None]]
"""The runs of one round's search in their order, each with its result."""

TRIES = 2
"""Runs of one load that may fail: the first may be an accident."""
BEHIND_SHARE = 0.05
"""Of the time in which a client sent, or of the requests that it sent: so much is not kept up with."""
SIGNIFICANT = 2.0
"""Standard deviations of a steady number in flight by which it must have grown, so that it is no accident."""
DIGITS = 6
"""Of a rate in the middle."""


class Outcome(NamedTuple):
    """One load that was tried: its result, and why it misses the goal.

    `miss` is empty where it meets the goal, and None where the one run of it has failed, so that it is tried again.
    `is_unknown`: no server was there, which says nothing of the load.
    """

    load: float
    result: ExperimentResult | None
    miss: str | None
    is_unknown: bool = False


class Bracket(NamedTuple):
    """The highest load that meets the goal and, above it, the lowest that misses; None where there is none."""

    met: Outcome | None
    missed: Outcome | None


def search_of(cell: StudyCell) -> LoadSearch | None:
    """Return the load search of a cell; None of one that has none, or one that this version cannot read."""
    load = cell.config.get("load")
    written = load.get("search") if isinstance(load, dict) else None
    if written is None:
        return None
    try:
        search = LoadSearch.model_validate(written)
        goal_of(search)
    except (ValidationError, ConfigError):
        return None
    return search


def common_search(cells: Sequence[StudyCell]) -> str | None:
    """Return the load that every cell searches, under one goal; None where there is no such one."""
    found = {None if (search := search_of(cell)) is None else (search.metric, search.goal) for cell in cells}
    common = found.pop() if len(found) == 1 else None
    return None if common is None else common[0]


def goal_of(search: LoadSearch) -> list[Condition]:
    """Return the conditions that a load has to meet.

    Raises:
        ConfigError: the goal is none, or names no column of the flat table.
    """
    return parse_conditions(search.goal, "load.search.goal")


def most_steps(search: LoadSearch) -> int:
    """Return the number of loads that one round tries at the most: both ends, and as many as halving needs."""
    low, high = search.between
    if search.metric == "concurrency":
        return 2 + math.ceil(math.log2(high - low))
    return 2 + max(0, math.ceil(math.log2(math.log(high / low) / math.log1p(search.tolerance / 100))))


def outcomes(search: LoadSearch, steps: Steps) -> list[Outcome]:
    """Return what came of each load that was tried, in the order in which they were."""
    loads = dict.fromkeys(run.searched for run, _ in steps if run.searched is not None)
    return [_outcome(search, load, [step for step in steps if step[0].searched == load]) for load in loads]


def next_load(search: LoadSearch, tried: Sequence[Outcome]) -> float | None:
    """Return the load to try next; None where the search has ended.

    The least load comes first and, if it meets the goal, the highest; then the middle of what is between the highest
    that meets it and the lowest that misses: of rates the geometric mean, of requests in flight the whole number below
    the arithmetic one. The same outcomes give the same load.
    """
    low, high = search.between
    by_load = {each.load: each for each in tried}
    if again := [each.load for each in tried if each.miss is None]:
        return again[0]
    if any(each.is_unknown for each in tried):
        return None
    if low not in by_load or by_load[low].miss:
        return None if low in by_load else low
    if high not in by_load or not by_load[high].miss:
        return None if high in by_load else high
    met, missed = bracket(tried)
    if met is None or missed is None or len(tried) >= most_steps(search):
        return None
    return _middle(search, met.load, missed.load)


def bracket(tried: Sequence[Outcome]) -> Bracket:
    """Return the bracket that these outcomes leave: nothing is claimed of loads above one that misses, and nothing at
    all where one is unknown: the highest that meets the goal may be any from there on."""
    if unknown := next((each for each in tried if each.is_unknown), None):
        return Bracket(None, unknown)
    missed = min((each for each in tried if each.miss), key=lambda each: each.load, default=None)
    below = [each for each in tried if each.miss == "" and (missed is None or each.load < missed.load)]
    return Bracket(max(below, key=lambda each: each.load, default=None), missed)


def why_missed(search: LoadSearch, load: float, result: ExperimentResult) -> str:
    """Return why a run at this load does not meet the goal of its search, with the figures; nothing where it does.

    It meets it if every condition holds, no more than 1 % of its requests failed, and it kept its rate.
    """
    conditions = goal_of(search)
    row = flat_row(result, names=dict.fromkeys(each.column for each in conditions))
    unmet = [f"{each.column} is {_shown(row[each.column])}" for each in conditions if not each.holds(row)]
    failed, asked = sum(result.request_failures.values()), len(_spans(result))
    if failed > MAX_FAILED_SHARE * asked:
        unmet.append(f"{failed} requests failed")
    if search.metric == "request_rate" and (behind := _why_behind(result)):
        unmet.append(behind)
    return "; ".join(unmet)


def _outcome(search: LoadSearch, load: float, steps: Steps) -> Outcome:
    if whole := [result for _, result in steps if result is not None]:
        return Outcome(load, whole[-1], why_missed(search, load, whole[-1]))
    failed = [run for run, _ in steps if run.state == "failed"]
    if len(failed) < TRIES:
        return Outcome(load, None, None)
    why = f"{len(failed)} runs failed: {failed[-1].error or 'no reason is known'}"
    return Outcome(load, None, why, found_no_server(failed[-1]))


def found_no_server(run: StudyRun) -> bool:
    """Return True if a run failed since nothing took a connection, be it before its first request or at all of them."""
    error = run.error or ""
    return NOTHING_ANSWERS in error or NO_CONNECTION in error


def _middle(search: LoadSearch, met: float, missed: float) -> float | None:
    if missed <= met * (1 + search.tolerance / 100):
        return None
    if search.metric == "concurrency":
        middle = float((met + missed) // 2)
    else:
        middle = float(f"{math.sqrt(met) * math.sqrt(missed):.{DIGITS}g}")
    return middle if met < middle < missed else None


def _why_behind(result: ExperimentResult) -> str:
    """Return why a run of an open loop did not keep its rate: the client was late, or requests piled up.

    The client: the 99th percentile of its lateness is over 10 ms, and over 5 % of the time in which it sent.
    The server: from when it may have settled until the last request was sent, the requests in flight grew by more than
    5 % of those that were sent meanwhile, and by more than two standard deviations of a steady number in flight, which
    is Poisson's of an M/G/infinity queue (Kleinrock 1975, "Queueing Systems" I, 3.3).
    """
    spans = sorted(_spans(result))
    if len(spans) < 2:
        return ""
    sends_s = spans[-1][0] - spans[0][0]
    late_ms = result.client_lateness_ms.p99 if result.client_lateness_ms is not None else None
    if late_ms is not None and late_ms > max(MAX_LATE_MS, BEHIND_SHARE * sends_s * 1e3):
        return f"the client sent requests {late_ms:.0f} ms late in {sends_s:.3g} s"
    settled_s, last_s = spans[0][0] + _settling_s(spans, sends_s), spans[-1][0]
    before, after = (sum(start_s <= at_s < end_s for start_s, end_s in spans) for at_s in (settled_s, last_s))
    sent = sum(start_s > settled_s for start_s, _ in spans)
    if after - before > max(BEHIND_SHARE * sent, SIGNIFICANT * math.sqrt(before + after)):
        return (
            f"requests piled up: {before} in flight after {settled_s - spans[0][0]:.3g} s, {after} when the last was "
            f"sent after {sends_s:.3g} s (an overload, or load.duration_s is too short to tell)"
        )
    return ""


def _settling_s(spans: Sequence[tuple[float, float]], sends_s: float) -> float:
    """Return the seconds in which a server that keeps up has as much in flight as it will have.

    That is as long as an answer takes: twice the median of the first tenth, but from a quarter to half of the time.
    """
    first = [end_s - start_s for start_s, end_s in spans[: max(1, len(spans) // 10)]]
    return min(max(sends_s / 4, 2 * statistics.median(first)), sends_s / 2)


def _spans(result: ExperimentResult) -> list[tuple[float, float]]:
    """Return start and end of every request, failed ones too, in seconds; none where they are not kept."""
    spans = list[tuple[float, float]]()
    for process in result.process_results:
        if (kept := process.requests) is not None:
            ends_s = (start + e2e / 1e3 for start, e2e in zip(kept.start_s, kept.e2e_ms, strict=False))
            spans += zip(kept.start_s, ends_s, strict=False)
        if (failed := process.failed_requests) is not None:
            spans += zip(failed.start_s, failed.end_s, strict=False)
    return spans


def _shown(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
