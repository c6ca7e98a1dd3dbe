"""Requests, and what happened to them. Data only.

Times are seconds on CLOCK_MONOTONIC, the one clock of requests, samples and counters.
"""

from dataclasses import dataclass

from llenergymeasure.domain.choices import FinishReason


@dataclass(frozen=True)
class Request:
    """One prompt, as text or as token ids, and how many tokens to generate for it at most."""

    index: int
    prompt: str | None
    token_ids: tuple[int, ...] | None
    max_output_tokens: int
    ignore_eos: bool = False


@dataclass(frozen=True)
class RequestRecord:
    """One request that was served.

    `input_tokens` and `output_tokens` count no padding and nothing past the end-of-sequence token, which is
    itself counted: it took a step. `token_times_s` has a time for each output token.
    """

    index: int
    input_tokens: int
    output_tokens: int
    start_s: float
    token_times_s: tuple[float, ...]
    finish_reason: FinishReason

    @property
    def first_token_s(self) -> float:
        """When the first output token was there."""
        return self.token_times_s[0]

    @property
    def last_token_s(self) -> float:
        """When the last output token was there."""
        return self.token_times_s[-1]


@dataclass(frozen=True)
class Batch:
    """Requests that were generated together, and the shape that the model computed.

    `padded_input_tokens` is the length of the longest prompt; `step_times_s` has a time for each forward
    pass, the prefill first. `attended_tokens` is the fixed length that a static cache attends to, None where
    the cache grows. `full` says whether it had as many requests as the configuration's batch size.
    """

    start_s: float
    end_s: float
    requests: tuple[RequestRecord, ...]
    padded_input_tokens: int
    step_times_s: tuple[float, ...]
    full: bool
    attended_tokens: int | None = None
