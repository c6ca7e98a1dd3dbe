"""From what became of each request to the records of the run: tokens counted, failures apart."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from llenergymeasure.backends.openai.client.records import ServedRequest, Usage
from llenergymeasure.backends.openai.load.token_times import counted_usage, request_record
from llenergymeasure.domain.requests import Batch, FailedRequest, Request
from llenergymeasure.errors import BackendError, ConfigError

GIVEN_UP = ("abort", "aborted", "error", "cancelled")
"""Reasons for an end that are none of an answer's."""

MOST_OVER_LIMIT, LEAST_ABSURD = 100, 10_000
"""So many more tokens than were asked for no server sends; hidden reasoning may be many."""


class Intake:
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
        """A request has ended."""
        self._waiting.append(served)

    def records(self) -> Iterator[Batch | FailedRequest]:
        """The records of those that have ended since the last time, but for answers that the server did not count."""
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
        """The records of those answers, as the tokenizer counts them; without one they are of no use."""
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
        """What is wrong with an answer that came whole: the kind of its failure, and its message."""
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
    """One request as a batch of its own: what the server computed together is not known here.

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
