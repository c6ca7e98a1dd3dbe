"""Requests, and what happened to them. Data only.

Times are seconds on CLOCK_MONOTONIC, the one clock of requests, samples and counters.
"""

from dataclasses import dataclass
from typing import Literal

from llenergymeasure.domain.choices import TokenCountSource

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


Prompt = str | tuple[Message, ...]
"""A prompt of a dataset: plain text, or a conversation that ends with a turn of the user."""


@dataclass(frozen=True)
class Request:
    """One prompt, and how many tokens to generate for it at most.

    Exactly one of three is set: `prompt`, sent as it is; `token_ids`; or `messages`, a conversation that the model's
    chat template renders.
    """

    index: int
    prompt: str | None
    token_ids: tuple[int, ...] | None
    max_output_tokens: int
    ignore_eos: bool = False
    messages: tuple[Message, ...] | None = None


@dataclass(frozen=True)
class BatchSize:
    """Rows that are computed together, and how many tokens each of them takes at least, input and output."""

    rows: int
    tokens: int


@dataclass(frozen=True)
class RequestRecord:
    """One request that was served.

    `input_tokens` and `output_tokens` count no padding and nothing past the end-of-sequence token, which is
    itself counted: it took a step. `token_times_s` has a time for each output token; `times_are_exact` is False where
    several came at once, so that the gaps between them are not known. `first_tokens` is how many came with the first
    text, hidden ones before it included; none of a request whose first token nobody saw (`first_seen`): its output has
    no text, or came in one piece. `ended_s` is when its answer was whole, None: with its last token. `lateness_s`: how
    long after it was due it was sent, None where nothing is due. `finish_reason`: stop, length, or what else a server
    gives as its reason.
    """

    index: int
    input_tokens: int
    output_tokens: int
    start_s: float
    token_times_s: tuple[float, ...]
    finish_reason: str
    ended_s: float | None = None
    times_are_exact: bool = True
    first_tokens: int = 1
    first_seen: bool = True
    lateness_s: float | None = None
    counted_by: TokenCountSource = "tokenizer"

    @property
    def first_token_s(self) -> float | None:
        """The moment of the first output token; None where none was seen."""
        return self.token_times_s[0] if self.first_seen and self.token_times_s else None

    @property
    def end_s(self) -> float:
        """The moment at which it was over."""
        return self.token_times_s[-1] if self.ended_s is None else self.ended_s

    @property
    def prefilled_s(self) -> float:
        """The moment by which its prompt had been read."""
        return self.end_s if self.first_token_s is None else self.first_token_s


@dataclass(frozen=True)
class FailedRequest:
    """One request without a whole answer: the kind of its failure, and the message of the server or the network."""

    index: int
    start_s: float
    end_s: float
    kind: str
    message: str
    lateness_s: float | None = None


@dataclass(frozen=True)
class Batch:
    """Requests that were generated together, and the shape that the model computed.

    `padded_input_tokens` is the length of the longest prompt; `step_times_s` has a time for each forward
    pass, the prefill first. `attended_tokens` is the fixed length that a static cache attends to, None where
    the cache grows. `full` is True if it had as many requests as the configuration's batch size.
    """

    start_s: float
    end_s: float
    requests: tuple[RequestRecord, ...]
    padded_input_tokens: int
    step_times_s: tuple[float, ...]
    full: bool
    attended_tokens: int | None = None
