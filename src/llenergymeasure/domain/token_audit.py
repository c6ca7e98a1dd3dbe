"""The audit of a server's token counts, held against everything else that is known of each request."""

from typing import Annotated, Literal

from pydantic import Field

from labledger.schema_versions import Known, Record

TokenFinding = Literal[
    "usage_missing",
    "zero_with_text",
    "fewer_than_chunks",
    "tokenizer_differs",
    "prompt_truncated",
    "parts_do_not_add",
    "reasoning_apart",
    "counts_differ",
    "shorter_than_asked",
    "longer_than_asked",
    "not_shown",
    "cached",
    "bundled",
]
"""A kind of disagreement, or a remark, on the counts of one request."""

JudgedBy = Literal["tokenizer", "stream"]
"""The evidence that an output count was held against: the model's tokenizer, or no more than the stream itself (chunks,
lists of tokens, the limit)."""

CONTRADICTIONS: frozenset[TokenFinding] = frozenset(
    {
        "usage_missing",
        "zero_with_text",
        "fewer_than_chunks",
        "tokenizer_differs",
        "prompt_truncated",
        "counts_differ",
    }
)
"""Findings that speak against the counts of a request; the others are remarks, unless they leave tokens in dispute."""


class TokenAudit(Record):
    """The token counts of the requests of a window, checked; tokens in dispute are those of requests that disagree."""

    requests_checked: Annotated[int | None, Known]
    """Finished requests whose counts were looked at."""
    requests_agreeing: Annotated[int | None, Known]
    """Those whose counts were held against other evidence, and nothing contradicts them."""
    findings: dict[str, int] = Field(default_factory=dict)
    """Requests by finding: those that contradict the counts, and remarks (cached, bundled, not_shown and others)."""
    output_tokens_in_dispute: int | None = None
    """Output tokens that the counts of the disagreeing requests may be wrong by, in all."""
    input_tokens_in_dispute: int | None = None
    """Input tokens that they may be wrong by, in all."""
    requests_counted_by_tokenizer: int | None = None
    """Requests whose text the model's tokenizer has counted as well; None without a tokenizer."""
    requests_judged_by_tokenizer: int | None = None
    """Those of them whose text shows the tokens that it is made of, so that its count supports the server's or speaks
    against it; None without a tokenizer."""
    tokenizer_unavailable: str | None = None
    """The reason why it has counted none or not all of them."""

    @property
    def described(self) -> str:
        """Requests that agree, and by kind those with a finding; None is never zero."""
        if self.requests_checked is None or self.requests_agreeing is None:
            return "unknown"
        found = [f"{self.requests_agreeing:,} of {self.requests_checked:,} answers agree"]
        found += [f"{count:,} {kind}" for kind, count in self.findings.items()]
        if self.requests_judged_by_tokenizer is not None:
            found.append(f"{self.requests_judged_by_tokenizer:,} judged by the tokenizer")
        if self.output_tokens_in_dispute:
            found.append(f"{self.output_tokens_in_dispute:,} output tokens in dispute")
        return "; ".join(found)
