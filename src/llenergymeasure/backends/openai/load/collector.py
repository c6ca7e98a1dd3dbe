"""Responses collected as requests end, and their records: tokens with their times, or a failure."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from llenergymeasure.backends.openai.client.records import ServedRequest, Usage
from llenergymeasure.backends.openai.load.tokenizer import counted_usage
from llenergymeasure.domain.requests import Batch, FailedRequest, Request, RequestRecord
from llenergymeasure.errors import BackendError, ConfigError

GIVEN_UP = ("abort", "aborted", "error", "cancelled")
"""Finish reasons with which a server has given a request up."""

MOST_OVER_LIMIT, LEAST_ABSURD = 100, 10_000
"""A usage of more than `MOST_OVER_LIMIT` * limit + `LEAST_ABSURD` tokens is no count; hidden reasoning may be long."""


class ResponseCollector:
    """Takes each request as it ends (`ended`), and gives its record later, when there is time for it.

    `tokenizer` is asked for only where a server counts no tokens; it raises BackendError where there is none. It counts
    after the load: inside it, it would take the time of the requests in flight.
    """

    def __init__(self, requests: Sequence[Request], tokenizer: Callable[[], Any], *, in_chat: bool) -> None:
        self._requests = {request.index: request for request in requests}
        self._tokenizer = tokenizer
        self._in_chat = in_chat
        self._waiting: deque[ServedRequest] = deque()
        self._uncounted: list[ServedRequest] = []
        self.tokenizer_counted = 0
        self.taken = 0
        self.failures: Counter[str] = Counter()
        self.last_failure = ""
        self.refused_in_a_row = 0

    def ended(self, served: ServedRequest) -> None:
        """Take a request that has ended."""
        self._waiting.append(served)

    def records(self) -> Iterator[Batch | FailedRequest]:
        """Yield the records of requests that have ended since the last call, except those still to be counted."""
        while self._waiting:
            served = self._waiting.popleft()
            self.taken += 1
            refused = served.failure is not None and served.failure.kind == "refused"
            self.refused_in_a_row = self.refused_in_a_row + 1 if refused else 0
            if served.failure is not None:
                yield self._failed(served, served.failure.kind, served.failure.message)
            elif (problem := self._problem(served)) is not None:
                yield self._failed(served, *problem)
            elif served.answer.usage is None:
                self._uncounted.append(served)
            else:
                yield _batch(served, served.answer.usage)

    def late_records(self) -> Iterator[Batch | FailedRequest]:
        """Yield the records of the answers left, counted by the tokenizer; without one each is a failure."""
        uncounted, self._uncounted = self._uncounted, []
        for served in uncounted:
            try:
                tokenizer = self._tokenizer()
            except (BackendError, ConfigError) as error:
                yield self._failed(served, "malformed", f"an answer without usage, and no tokenizer: {error}")
                continue
            request = self._requests[served.index]
            self.tokenizer_counted += 1
            yield _batch(served, counted_usage(tokenizer, request, served, in_chat=self._in_chat))

    def _problem(self, served: ServedRequest) -> tuple[str, str] | None:
        """Return the kind and the message of a failure that a whole answer has in it; None of a good one."""
        answer, limit = served.answer, self._requests[served.index].max_output_tokens
        if answer.finish_reason in GIVEN_UP:
            return "server_error", f"the server gave up: finish_reason {answer.finish_reason}"
        if answer.usage is not None and answer.usage.output_tokens > MOST_OVER_LIMIT * limit + LEAST_ABSURD:
            return "malformed", f"usage counts {answer.usage.output_tokens} output tokens, and {limit} were asked for"
        return None

    def _failed(self, served: ServedRequest, kind: str, message: str) -> FailedRequest:
        self.failures[kind] += 1
        self.last_failure = message
        return FailedRequest(served.index, served.sent_s, served.end_s, kind, message, served.lateness_s)


def _batch(served: ServedRequest, usage: Usage) -> Batch:
    """Return one request as a batch of its own: what the server computed together is not known here.

    An answer without a token took one pass, that of its prompt.
    """
    record = request_record(served, usage)
    return Batch(
        start_s=record.start_s,
        end_s=record.end_s,
        requests=(record,),
        padded_input_tokens=record.input_tokens,
        step_times_s=record.token_times_s or (record.end_s,),
        full=False,
    )


class TokenTimes(NamedTuple):
    """A time in seconds for each token; `first` came with the first text; `exact`: each later one has its own."""

    times_s: tuple[float, ...]
    first: int
    exact: bool


def token_times(served: ServedRequest, usage: Usage) -> TokenTimes:
    """Return the times of the tokens of a whole answer.

    Tokens that were counted as reasoning and not shown came before the first text. Where the server counted the tokens
    of each chunk they have their chunk's time, and so has one per chunk; an end-of-sequence token, which has no text,
    has the time of the finish reason. Otherwise tokens are taken to come in equal numbers with each chunk.
    """
    answer, end_s = served.answer, answer_end_s(served)
    times_s = answer.chunk_times_s
    if not times_s or not answer.streamed:
        return TokenTimes((end_s,) * usage.output_tokens, usage.output_tokens, False)
    hidden = min(usage.hidden_tokens, usage.output_tokens)
    shown = usage.output_tokens - hidden
    counts, exact = _tokens_per_chunk(served, shown)
    placed = tuple(at_s for at_s, count in zip(times_s, counts, strict=True) for _ in range(count))
    placed = (times_s[0],) * hidden + placed + (end_s,) * (shown - len(placed))
    return TokenTimes(placed, max(hidden + counts[0], 1), exact)


def _tokens_per_chunk(served: ServedRequest, tokens: int) -> tuple[list[int], bool]:
    """Return the tokens of each chunk, and True if that was one each; those that are left came with the end."""
    answer = served.answer
    chunks, ends = len(answer.chunk_times_s), int(answer.finish_reason == "stop")
    if 0 <= tokens - chunks <= ends:
        return [1] * chunks, True
    counted = [count for count in answer.chunk_tokens if count is not None]
    if len(counted) == chunks and 0 <= tokens - sum(counted) <= 1:
        return counted, False
    edges = [-(-place * tokens // chunks) for place in range(chunks + 1)]
    return [after - before for before, after in pairwise(edges)], False


def answer_end_s(served: ServedRequest) -> float:
    """Return when the answer was whole: with the reason for its end, or else with its last text."""
    answer = served.answer
    moments_s = [*answer.chunk_times_s[-1:], *([] if answer.finished_s is None else [answer.finished_s])]
    return max(moments_s, default=served.end_s)


def request_record(served: ServedRequest, usage: Usage) -> RequestRecord:
    """Return the record of a request whose answer is whole; `usage` is the server's or the tokenizer's."""
    placed = token_times(served, usage)
    return RequestRecord(
        index=served.index,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        start_s=served.sent_s,
        token_times_s=placed.times_s,
        finish_reason=served.answer.finish_reason or "not given",
        ended_s=answer_end_s(served),
        times_are_exact=placed.exact,
        first_tokens=placed.first,
        first_seen=bool(served.answer.chunk_times_s) and served.answer.streamed,
        lateness_s=served.lateness_s,
        counted_by="tokenizer" if served.answer.usage is None else "server",
    )
