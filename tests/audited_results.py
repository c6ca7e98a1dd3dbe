"""The token counts of a result, for tests to look at."""

from llenergymeasure.domain.experiment import ExperimentResult

REMARKS = {"cached", "bundled", "parts_do_not_add", "longer_than_asked", "not_shown"}
"""Findings that contradict no count of output tokens."""


def findings(result: ExperimentResult) -> dict[str, int]:
    """Return the requests by finding."""
    return dict(result.token_audit.findings) if result.token_audit is not None else {"no audit": 0}


def accusations(result: ExperimentResult) -> dict[str, int]:
    """Return the requests by finding that is more than a remark."""
    return {name: count for name, count in findings(result).items() if name not in REMARKS}


def told(result: ExperimentResult) -> str:
    """Return all that a user reads of it in words."""
    return "\n".join([*result.measurement_warnings, *result.verdict_reasons])
