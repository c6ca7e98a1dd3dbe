"""Records of the requests that were sent to a server: answers and failures. Data only.

Times are seconds on CLOCK_MONOTONIC. A chunk's parts lie in columns, not in one object per chunk: a run has millions of
chunks, which the garbage collector would visit one by one while the load runs.
"""

from dataclasses import dataclass
from typing import Literal

from labledger.untrusted_text import clean

MESSAGE = 1_000
"""Characters of a failure's message."""

FailureKind = Literal[
    "refused",
    "timeout",
    "http_429",
    "http_4xx",
    "http_5xx",
    "stalled",
    "cut",
    "malformed",
    "server_error",
    "cancelled",
]


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure: the reason why a request has no whole answer.

    `refused`: no connection; `timeout`: longer than a request may take; `http_...`: the server's status; `stalled`:
    no byte for too long; `cut`: the answer ended before it was finished; `malformed`: an answer of another shape than
    the protocol's; `server_error`: an error in place of an answer, under a status of success; `cancelled`: by us.
    The message is bounded and printable, whatever bytes a server has put into its words. `status` is that of HTTP where
    it is the reason.
    """

    kind: FailureKind
    message: str
    status: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", clean(self.message, MESSAGE))


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens that are taken to be a request's; `hidden_tokens` of the output are reasoning that is not shown."""

    input_tokens: int
    output_tokens: int
    hidden_tokens: int = 0


TextKind = Literal["content", "reasoning", "tool_calls", "refusal"]


@dataclass(frozen=True, slots=True)
class ServerCounts:
    """Every count that a server gave for one request, as it gave it; None is what it did not give.

    `other_output_tokens` is another count that it gave of the same whole output; `rejected_tokens` are of a predicted
    output that was not taken: counted as output, and not shown.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_input_tokens: int | None = None
    other_output_tokens: int | None = None
    rejected_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer, in chunks of non-empty text, reasoning included.

    `chunk_tokens` has None for a chunk whose tokens the server did not count. `finish_reason` is an open text, bounded,
    printable and without the key; `finished_s` is when it came. `chunk_answers` are the parts of the chunks without
    reasoning, refusals and calls; none where nothing is left out of any. `streamed` is False where it came in one
    piece, and has one time for all of it. `failure` is None where it is whole. `counts` are the server's last and
    fullest ones, and `text_kinds` the kinds of text that came.
    """

    chunk_times_s: tuple[float, ...]
    chunk_texts: tuple[str, ...]
    chunk_tokens: tuple[int | None, ...]
    finish_reason: str | None
    finished_s: float | None
    streamed: bool
    failure: Failure | None
    counts: ServerCounts = ServerCounts()
    text_kinds: frozenset[TextKind] = frozenset()
    empty_chunks: int = 0
    has_several_choices: bool = False
    chunk_answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServedRequest:
    """One request, from when it was due to the end of its answer or to its failure.

    `sent_s` is when its bytes were given to the kernel, after a connection was opened where none was idle; of one that
    failed before its answer began, when the client set about it. `drained` says that it was still in flight when the
    load's duration ended.
    """

    index: int
    due_s: float
    sent_s: float
    end_s: float
    answer: Answer
    drained: bool = False

    @property
    def failure(self) -> Failure | None:
        """The failure; None where the answer is whole."""
        return self.answer.failure

    @property
    def lateness_s(self) -> float:
        """From due to sent: how late the client itself was, the opening of a connection included."""
        return self.sent_s - self.due_s

    @property
    def ttft_s(self) -> float | None:
        """From sending to the first non-empty text; None where there was none."""
        return self.answer.chunk_times_s[0] - self.sent_s if self.answer.chunk_times_s else None
