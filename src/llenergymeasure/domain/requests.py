"""Requests, and what happened to them. Data only.

Times are seconds on CLOCK_MONOTONIC, the one clock of requests, samples and counters.
"""

from dataclasses import dataclass
from typing import Literal

from llenergymeasure.domain.choices import TokenCountSource
from llenergymeasure.domain.token_audit import JudgedBy, TokenFinding

Role = Literal["system", "user", "assistant"]

Untimed = Literal[
    "no_text",
    "one_piece",
    "bundled",
    "uncounted",
    "cut_anew",
    "recounted",
    "without_text",
    "one_packet",
    "disputed",
    "several_choices",
]
"""A reason why the tokens of an answer have no time each: no text came, or all of it at once; several came with some of
its chunks, which were counted or not; its text came in more chunks than it has tokens; the tokenizer, which does not
count exactly, has found nearly as many tokens as chunks; some of its tokens had no text; many of its chunks came in one
packet; the counts of its chunks are not that of the whole; or it is several answers at once."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


NOTHING_ANSWERS, NO_CONNECTION = "nothing answers at", "no connection to"
"""Words of errors where no server was there: the study's load search tells them from a load that is too high."""

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
class Work:
    """All that a run will compute, as far as it is known before anything is tokenised.

    `requests` are those of a dataset; of a synthetic one there are none yet, and `drawn` has the input and output
    tokens of each. `largest_batch` is the one that holds the most tokens.
    """

    requests: tuple[Request, ...]
    drawn: tuple[tuple[int, int], ...]
    largest_batch: BatchSize


@dataclass(frozen=True)
class RequestRecord:
    """One request that was served.

    `input_tokens` and `output_tokens` count no padding and nothing past the end-of-sequence token, which is
    itself counted: it took a step. `token_times_s` has a time for each output token; `times_are_exact` is False where
    many came at once, so that the gaps between them are not known, and `untimed` is the reason. `first_tokens` is
    how many came with the first text, hidden ones before it included, and all of them where nobody has counted it; none
    of a request whose first token nobody saw (`first_seen`): its output has no text, or came in one piece. `ended_s` is
    when its answer was whole, None: with its last token. `lateness_s`: how long after it was due it was sent, None
    where nothing is due. `finish_reason`: stop, length, or what else a server gives as its reason. Tokens are None
    where nothing tells them, and so is `counted_by` where those of the output are. `findings` are those of the audit
    of its counts, `disputed_output_tokens` and `disputed_input_tokens` how many of them may be wrong; `is_audited` is
    False where they were counted here. `counted_by_tokenizer`: the tokenizer has looked at its text, too;
    `judged_by` what the count of its output was held against, None where there was nothing.
    `cached_input_tokens` came from a prefix cache; None where nobody tells.
    """

    index: int
    input_tokens: int | None
    output_tokens: int | None
    start_s: float
    token_times_s: tuple[float, ...]
    finish_reason: str
    ended_s: float | None = None
    times_are_exact: bool = True
    first_tokens: int = 1
    first_seen: bool = True
    lateness_s: float | None = None
    counted_by: TokenCountSource | None = "tokenizer"
    is_audited: bool = False
    findings: tuple[TokenFinding, ...] = ()
    disputed_output_tokens: int = 0
    disputed_input_tokens: int = 0
    counted_by_tokenizer: bool = False
    cached_input_tokens: int | None = None
    judged_by: JudgedBy | None = "stream"
    untimed: Untimed | None = None

    @property
    def first_token_s(self) -> float | None:
        """The moment of the first output token; None where none was seen."""
        return self.token_times_s[0] if self.first_seen and self.token_times_s else None

    @property
    def end_s(self) -> float:
        """The moment at which it was over."""
        return self.token_times_s[-1] if self.ended_s is None else self.ended_s

    @property
    def last_token_s(self) -> float:
        """The moment of the last output token; of a request without any, at which it was over."""
        return self.token_times_s[-1] if self.token_times_s else self.end_s

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

    `padded_input_tokens` is the length of the longest prompt, None where that is unknown; `step_times_s` has a time for
    each forward pass, the prefill first. `attended_tokens` is the fixed length that a static cache attends to, None
    where the cache grows. `full` is True if it had as many requests as the configuration's batch size.
    """

    start_s: float
    end_s: float
    requests: tuple[RequestRecord, ...]
    padded_input_tokens: int | None
    step_times_s: tuple[float, ...]
    full: bool
    attended_tokens: int | None = None
