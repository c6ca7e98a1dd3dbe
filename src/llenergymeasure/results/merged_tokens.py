"""The token counts of several processes' requests: one audit of all of them."""

from collections.abc import Mapping, Sequence

from llenergymeasure.domain.experiment import RawProcessResult, RequestColumns
from llenergymeasure.metrics.latency import Served
from llenergymeasure.metrics.token_audit import (
    CountedRequest,
    cached_input_tokens,
    counted_columns,
    token_audit,
    token_reasons,
    weakest_source,
)


def counted_inside(raws: Sequence[RawProcessResult], requests: Sequence[Sequence[Served]]) -> list[CountedRequest]:
    """The counts of each process's requests that have a token in its window; none of a process that audited none."""
    return [
        counted
        for raw, served in zip(raws, requests, strict=True)
        for counted, request in zip(counted_columns(raw.requests or RequestColumns()), served, strict=False)
        if request.has_tokens_inside
    ]


def audit_fields(counted: Sequence[CountedRequest], known: Mapping[str, object]) -> dict[str, object]:
    """The fields of a result that the audit of all requests sets, where a server's counts were audited.

    Of a result that is `known` so far its audit stays, and so do the reasons of its verdict.
    """
    if not counted:
        return {}
    found: dict[str, object] = {
        "token_audit": known.get("token_audit") or token_audit(counted),
        "token_count_source": weakest_source(request.counted_by for request in counted),
        "cached_input_tokens": cached_input_tokens(counted),
    }
    if reasons := token_reasons(counted):
        given = known.get("verdict_reasons")
        before = list(given) if isinstance(given, Sequence) else []
        found |= {"verdict": "invalid", "verdict_reasons": list(dict.fromkeys([*before, *reasons]))}
    return found
