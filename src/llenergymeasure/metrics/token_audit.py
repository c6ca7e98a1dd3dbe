"""The audit of a run's token counts: from its requests, or from the columns that a process saved, to the fields of the
result, its warnings and the reasons of its verdict."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from llenergymeasure.domain.choices import TokenCountSource
from llenergymeasure.domain.request_columns import AUDIT_COLUMNS, RequestColumns
from llenergymeasure.domain.requests import RequestRecord
from llenergymeasure.domain.token_audit import CONTRADICTIONS, TokenAudit, TokenFinding
from llenergymeasure.metrics.arithmetic import sum_of_all

MAX_DISPUTED_SHARE = 0.01
MAX_CACHED_SHARE = 0.05
WEAKEST_FIRST: tuple[TokenCountSource, ...] = ("chunks", "tokenizer", "server")

BY_TOKENIZER = "set model to the folder or hub id of the model that the server runs, so that its tokenizer counts"
FOUND: dict[TokenFinding, str] = {
    "usage_missing": "the server gave no count of the output that an answer can have; have it send usage",
    "zero_with_text": "the server counted no token of an answer with text; do not rely on its usage",
    "fewer_than_chunks": "the server counted fewer tokens than chunks of text came; do not rely on its usage",
    "tokenizer_differs": (
        "the server's count of the output or of the prompt is farther from the tokenizer's, or from the ids that were "
        "sent, than a text that is cut anew can be; check that model is the one that the server runs, and that it "
        "counts no thoughts which it neither shows nor lists (reasoning_tokens); else do not rely on its usage"
    ),
    "prompt_truncated": (
        "the server read fewer tokens of the prompt than were sent; raise its context length, or send shorter prompts; "
        "where it counts 0, the input is what was sent, by its ids or the tokenizer's count, and else unknown"
    ),
    "parts_do_not_add": (
        "total_tokens, its parts and the reasoning do not fit together; the output is what completion_tokens says"
    ),
    "counts_differ": (
        "the server contradicts itself: in two counts, in a count and the tokens that it lists, or in one beyond the "
        "limit or the prompt; do not rely on its usage"
    ),
    "reasoning_apart": "completion_tokens leaves reasoning out; it is counted as output",
    "shorter_than_asked": (
        "the answer ended before the length that was asked; where its finish_reason is length, raise the server's "
        "context length; where it is stop, have it ignore the end of sequence (ignore_eos), and send no stop strings"
    ),
    "longer_than_asked": "the answer has more tokens than were asked; the server does not keep to max_output_tokens",
    "not_shown": (
        "the text shows fewer tokens than were counted, and the answer ended at its limit: tokens without text (an end "
        "of sequence that was ignored, thoughts), or a count that is too high; nothing here tells which"
    ),
}
"""The meaning of each finding that a warning tells, and what to do."""

OF_OUTPUT = (
    "usage_missing",
    "zero_with_text",
    "fewer_than_chunks",
    "tokenizer_differs",
    "parts_do_not_add",
    "counts_differ",
    "shorter_than_asked",
)
"""Findings for which output tokens are in dispute."""


class CountedRequest(NamedTuple):
    """The counts of one request, and their audit; `is_audited` is False where they were counted here."""

    input_tokens: int | None
    output_tokens: int | None
    counted_by: str | None
    is_audited: bool
    findings: tuple[str, ...] = ()
    disputed_output_tokens: int = 0
    disputed_input_tokens: int = 0
    counted_by_tokenizer: bool = False
    cached_input_tokens: int | None = None
    judged_by: str | None = "stream"

    @property
    def agrees(self) -> bool:
        """True where the server's counts were held against something, and nothing speaks against them."""
        disputed = self.disputed_output_tokens or self.disputed_input_tokens
        return not disputed and self.judged_by is not None and CONTRADICTIONS.isdisjoint(self.findings)


def counted_requests(requests: Iterable[RequestRecord]) -> list[CountedRequest]:
    """The counts of requests as they were served."""
    names = CountedRequest._fields
    return [CountedRequest(**{name: getattr(request, name) for name in names}) for request in requests]


def counted_columns(columns: RequestColumns) -> Iterator[CountedRequest]:
    """The counts of requests as a process saved them; none where it saved no audit of them."""
    if not columns.counted_by:
        return iter(())
    names, count = CountedRequest._fields, len(columns.counted_by)
    lists = {name: getattr(columns, name, None) or [AUDIT_COLUMNS.get(name)] * count for name in names}
    lists["is_audited"] = [True] * count
    lists["findings"] = [tuple(texts.split()) for texts in lists["findings"]]
    return map(CountedRequest._make, zip(*lists.values(), strict=True))


def audit_lists(requests: Sequence[RequestRecord]) -> dict[str, list[Any]]:
    """The columns of the audit of these requests; none where their tokens were counted here, nor one in which nothing
    is said of any."""
    if not any(request.is_audited for request in requests):
        return {}
    lists = {name: [getattr(request, name) for request in requests] for name in AUDIT_COLUMNS}
    lists["findings"] = [" ".join(findings) for findings in lists["findings"]]
    return {
        name: values
        for name, values in lists.items()
        if name == "counted_by" or any(value != AUDIT_COLUMNS[name] for value in values)
    }


def token_audit(requests: Sequence[CountedRequest], tokenizer_unavailable: str | None = None) -> TokenAudit | None:
    """The audit of the requests of a window; None where their tokens were counted here.

    `tokenizer_unavailable` is the reason why the model's tokenizer has not looked at all of them.
    """
    checked = [request for request in requests if request.is_audited]
    if not checked:
        return None
    recounted = sum(request.counted_by_tokenizer for request in checked)
    return TokenAudit(
        requests_checked=len(checked),
        requests_agreeing=sum(request.agrees for request in checked),
        findings=dict(Counter(found for request in checked for found in request.findings).most_common()),
        output_tokens_in_dispute=sum(request.disputed_output_tokens for request in checked),
        input_tokens_in_dispute=sum(request.disputed_input_tokens for request in checked),
        requests_counted_by_tokenizer=recounted or None,
        requests_judged_by_tokenizer=sum(request.judged_by == "tokenizer" for request in checked)
        if recounted
        else None,
        tokenizer_unavailable=tokenizer_unavailable if recounted < len(checked) else None,
    )


def weakest_source(sources: Iterable[str | None]) -> TokenCountSource | None:
    """The least sure of these counters; None where one is unknown, or there is none."""
    found = set(sources)
    return None if None in found else next((source for source in WEAKEST_FIRST if source in found), None)


def cached_input_tokens(requests: Sequence[CountedRequest]) -> int | None:
    """Input tokens that came from a prefix cache; None where no request tells. Servers leave a zero out."""
    known = [request.cached_input_tokens for request in requests if request.cached_input_tokens is not None]
    return sum(known) if known else None


def token_reasons(requests: Sequence[CountedRequest]) -> list[str]:
    """The reason why figures per token are not to be relied on; none where no more than 1 % of them are in dispute."""
    disputed, counted = _disputed(request for request in requests if request.is_audited)
    if disputed <= MAX_DISPUTED_SHARE * counted:
        return []
    kinds = Counter(found for request in requests if request.disputed_output_tokens for found in request.findings)
    among = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common() if kind in OF_OUTPUT)
    return [f"{_in_dispute(disputed, counted)}, over {MAX_DISPUTED_SHARE:.0%} (answers: {among})"]


def token_warnings(requests: Sequence[CountedRequest], tokenizer_unavailable: str | None = None) -> Iterator[str]:
    """A line for each thing to know of the token counts, and what to do.

    `tokenizer_unavailable` is the reason why the model's tokenizer has not looked at all of them.
    """
    checked = [request for request in requests if request.is_audited]
    counts = Counter(found for request in checked for found in request.findings)
    for kind, words in FOUND.items():
        if counts[kind]:
            yield f"Tokens, {counts[kind]} of {len(checked)} answers: {words}."
    disputed, counted = _disputed(checked)
    if 0 < disputed <= MAX_DISPUTED_SHARE * counted:
        yield f"{_in_dispute(disputed, counted)}."
    if (prompts := sum(request.disputed_input_tokens for request in checked)) > 0:
        yield f"{prompts:,} input tokens are in dispute."
    unavailable = f" (now: {tokenizer_unavailable})" if tokenizer_unavailable else ""
    yield from _source_warnings(checked, f"{BY_TOKENIZER}{unavailable}.")
    yield from _unknown_warnings(checked, f"{BY_TOKENIZER}{unavailable}.")
    yield from _cache_warnings(checked)


def _disputed(requests: Iterable[CountedRequest]) -> tuple[int, int]:
    """Output tokens in dispute, and those that are counted of the same answers, whole."""
    requests = list(requests)
    disputed = sum(request.disputed_output_tokens for request in requests)
    return disputed, sum(request.output_tokens or 0 for request in requests)


def _in_dispute(disputed: int, counted: int) -> str:
    beside = f"{disputed / counted:.1%} of the {counted:,} of these answers" if counted else "and none is counted"
    return f"{disputed:,} output tokens are in dispute, {beside}"


def _source_warnings(requests: Sequence[CountedRequest], advice: str) -> Iterator[str]:
    by = Counter(request.counted_by for request in requests)
    if by["chunks"]:
        yield (
            f"The output tokens of {by['chunks']} of {len(requests)} answers are a guess: one for each chunk of text, "
            f"which is the least that they can be; {advice}"
        )
    if by["tokenizer"]:
        yield (
            f"The output tokens of {by['tokenizer']} of {len(requests)} answers were counted by the model's tokenizer: "
            "a text that is cut anew mostly has up to a fifth more tokens than it was made of, but fewer where it "
            "repeats itself, spells words out, or does not show all tokens."
        )


def _unknown_warnings(requests: Sequence[CountedRequest], advice: str) -> Iterator[str]:
    outputs = sum(request.output_tokens is None for request in requests)
    inputs = sum(request.input_tokens is None for request in requests)
    if outputs:
        yield (
            f"The output tokens are unknown: {outputs} of {len(requests)} answers have neither a count nor text; have "
            "the server send usage."
        )
    if inputs:
        yield (
            "The input tokens are unknown: the server gave no count, or one that no prompt can have, of those of "
            f"{inputs} of {len(requests)} answers; {advice}"
        )


def _cache_warnings(requests: Sequence[CountedRequest]) -> Iterator[str]:
    cached, prompts = cached_input_tokens(requests) or 0, sum_of_all([request.input_tokens for request in requests])
    if prompts and cached > MAX_CACHED_SHARE * prompts:
        yield (
            f"{cached:,} of {prompts:,} input tokens ({cached / prompts:.1%}) came from the server's prefix cache: "
            "TTFT and the energy of prefill are of the cache; send prompts that share no beginning, or turn it off."
        )
