"""The requests of a process as a result keeps them: a list per quantity. Data only."""

from pydantic import Field

from labledger.schema_versions import Record


class RequestColumns(Record):
    """Every finished request of a process, in the window or not: one list per quantity, in the same order."""

    input_tokens: list[int] = Field(default_factory=list)
    """Tokens of each prompt, without padding."""
    output_tokens: list[int] = Field(default_factory=list)
    """Tokens generated for each, the end-of-sequence token included and nothing after it."""
    start_s: list[float] = Field(default_factory=list)
    """Seconds from the start of the measurement to the submission of each."""
    ttft_ms: list[float | None] = Field(default_factory=list)
    """Milliseconds from submission to the first token; None where nobody saw it: no text, or all of it at once."""
    e2e_ms: list[float] = Field(default_factory=list)
    """Milliseconds from submission to the last token."""
    first_tokens: list[int] = Field(default_factory=list)
    """Output tokens that came with the first, itself and hidden ones included; none in files that lack it: one."""
    finish_reason: list[str] = Field(default_factory=list)
    """stop (the end-of-sequence token came), length (the limit on output tokens), or a server's own (64 characters)."""


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
