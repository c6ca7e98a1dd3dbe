"""The way on where a server refuses fields that a request may be sent without, and the remark on it."""

import re
from collections.abc import Collection, Iterable

from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.backends.openai.client.records import Failure

REFUSALS = (400, 422)
"""Statuses of HTTP with which servers refuse a field."""


def is_refusal(failure: Failure | None) -> bool:
    """Return True if the server has refused the request as it was asked."""
    return failure is not None and failure.status in REFUSALS


def may_be_of_a_field(failure: Failure | None) -> bool:
    """Return True if the failure may be a field's: the server has refused the request, or it has failed over it.

    Some fail where they should refuse: older `transformers serve` takes frequency_penalty: 0 for a repetition penalty.
    """
    return failure is not None and (
        is_refusal(failure) or failure.status == 500 or failure.kind in ("server_error", "malformed", "cut")
    )


def named_fields(failure: Failure | None, optional: Iterable[str]) -> tuple[str, ...]:
    """Return those of the optional fields that a refusal names; none of any other failure."""
    if failure is None or not is_refusal(failure):
        return ()
    return tuple(name for name in optional if re.search(rf"(?<![\w\\]){re.escape(name)}(?!\w)", failure.message))


def left_out_remark(names: Collection[str], failure: Failure, requests: int | None = None) -> str:
    """Return what was left out, why, and what that means; `requests` is how many of them, None: all."""
    meant = [name for name in names if name != "stream_options"]
    effects = ["it tells how many tokens an answer has only if it does so unasked"] if len(meant) < len(names) else []
    if meant:
        effects.append(f"its own defaults hold for {', '.join(meant)}")
    which = "The" if requests is None else f"For {requests} request{'s' if requests != 1 else ''}, the"
    did = "refused" if is_refusal(failure) else "failed over"
    said = clean(failure.message, SHOWN)
    return f"{which} server {did} {', '.join(names)} ({said}) and was asked without: {', and '.join(effects)}."
