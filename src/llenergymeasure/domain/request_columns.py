"""The requests of a process as a result keeps them: a list per quantity. Data only."""

from typing import Any

from pydantic import Field

from labledger.schema_versions import Record


class RequestColumns(Record):
    """Every finished request of a process, in the window or not: one list per quantity, in the same order."""

    input_tokens: list[int | None] = Field(default_factory=list)
    """Tokens of each prompt, without padding; None where nothing tells."""
    output_tokens: list[int | None] = Field(default_factory=list)
    """Tokens generated for each, the end-of-sequence token included and nothing after it; None where nothing tells."""
    start_s: list[float] = Field(default_factory=list)
    """Seconds from the start of the measurement to the submission of each."""
    ttft_ms: list[float | None] = Field(default_factory=list)
    """Milliseconds from submission to the first token; None where nobody saw it: no text, or all of it at once."""
    e2e_ms: list[float] = Field(default_factory=list)
    """Milliseconds from submission to the end: the last token or, where that came later, the reason for the end."""
    first_tokens: list[int] = Field(default_factory=list)
    """Output tokens that came with the first, itself and hidden ones included, all where nobody counted them; none in
    files that lack it: one."""
    finish_reason: list[str] = Field(default_factory=list)
    """stop (the end-of-sequence token came), length (the limit on output tokens), or a server's own (64 characters)."""
    counted_by: list[str | None] = Field(default_factory=list)
    """Counter of the output of each: server, tokenizer, chunks, None (unknown); empty where they were counted here."""
    findings: list[str] = Field(default_factory=list)
    """Findings of the audit of each, with blanks between them; empty where there is none, as are those that follow."""
    disputed_output_tokens: list[int] = Field(default_factory=list)
    """Output tokens of each that are in dispute."""
    disputed_input_tokens: list[int] = Field(default_factory=list)
    """Input tokens of each that are in dispute."""
    counted_by_tokenizer: list[bool] = Field(default_factory=list)
    """True of each whose text the model's tokenizer has counted too."""
    judged_by: list[str | None] = Field(default_factory=list)
    """The evidence beside the output count of each: tokenizer, stream, None (nothing); empty: the stream."""
    cached_input_tokens: list[int | None] = Field(default_factory=list)
    """Input tokens of each from a prefix cache; None where the server does not tell."""
    after_last_token_ms: list[float] = Field(default_factory=list)
    """Milliseconds of E2E after the last token, which are not in TPOT; empty where there are none."""


AUDIT_COLUMNS: dict[str, Any] = {
    "counted_by": None,
    "findings": "",
    "disputed_output_tokens": 0,
    "disputed_input_tokens": 0,
    "counted_by_tokenizer": False,
    "judged_by": "stream",
    "cached_input_tokens": None,
}
"""The columns of the audit of a server's counts, and what one that is left out says of each request."""

OPTIONAL_COLUMNS: dict[str, Any] = {**AUDIT_COLUMNS, "after_last_token_ms": 0.0}
"""All columns that are left out where they say the same of every request, and what that is."""


class FailedRequestColumns(Record):
    """Every request of a process that has no whole answer: one list per quantity, in the same order."""

    start_s: list[float] = Field(default_factory=list)
    """Seconds from the start of the measurement to the submission of each."""
    end_s: list[float] = Field(default_factory=list)
    """Seconds from the start of the measurement to the end of each."""
    kind: list[str] = Field(default_factory=list)
    """Kind of each failure, as in `request_failures`."""
    message: list[str] = Field(default_factory=list)
    """The same, in the words of the server or of the network."""
