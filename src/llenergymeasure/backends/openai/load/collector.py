"""Responses collected as requests end, and their records: tokens with their times, or a failure."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llenergymeasure.backends.chat_template import ChatTemplate
from llenergymeasure.backends.openai.client.records import ServedRequest, Usage
from llenergymeasure.backends.openai.load.finish_reasons import NOT_GIVEN, is_given_up, is_known
from llenergymeasure.backends.openai.load.plausible_counts import plausible
from llenergymeasure.backends.openai.load.token_counts import AuditedCounts, audited
from llenergymeasure.backends.openai.load.token_evidence import Evidence, answer_text, evidence, shown_answer
from llenergymeasure.backends.openai.load.token_times import answer_end_s, token_times
from llenergymeasure.backends.openai.load.tokenizer import recount
from llenergymeasure.domain.requests import Batch, FailedRequest, Request, RequestRecord
from llenergymeasure.errors import BackendError

MOST_TEXT = 256 * 2**20
"""Bytes of text that are kept for the tokenizer."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A request that the tokenizer is still to look at: its answer without texts, and these as one."""

    served: ServedRequest
    seen: Evidence
    text: bytes


class ResponseCollector:
    """Takes each request as it ends (`ended`), and gives its record later, when there is time for it.

    A record has the counts that the server's own words support. With `keeps_texts` the tokenizer may look at them once
    more (`recounted`) after the load: inside it, it would take the time of the requests in flight. With `keeps_answers`
    those are kept that are to be scored (`answers`), several at once of one request excepted. `in_chat`,
    `stop_tokens` and `hides_reasoning` are what the server does to prompts, and takes off outputs. `odd_reasons` counts
    the answers that are taken to be finished, though it is not known what the reason for their end says.
    """

    def __init__(
        self,
        requests: Sequence[Request],
        *,
        in_chat: bool,
        stop_tokens: int = 0,
        hides_reasoning: bool = False,
        keeps_texts: bool = False,
        keeps_answers: bool = False,
    ) -> None:
        self._requests = {request.index: request for request in requests}
        self._in_chat = in_chat
        self._stop_tokens = stop_tokens
        self._hides_reasoning = hides_reasoning
        self._keeps_texts = keeps_texts
        self._keeps_answers = keeps_answers
        self._answers: dict[int, bytes] = {}
        self._answers_bytes = 0
        self._waiting: deque[ServedRequest] = deque()
        self._kept: dict[int, _Kept] = {}
        self._kept_bytes = 0
        self.not_kept = self.not_whole = 0
        self.taken = 0
        self.failures: Counter[str] = Counter()
        self.odd_reasons: Counter[str] = Counter()
        self.last_failure = ""
        self.refused_in_a_row = 0

    def ended(self, served: ServedRequest) -> None:
        """Take a request that has ended."""
        self._waiting.append(served)

    def records(self) -> Iterator[Batch | FailedRequest]:
        """Yield the records of requests that have ended since the last call."""
        while self._waiting:
            served = self._waiting.popleft()
            self.taken += 1
            refused = served.failure is not None and served.failure.kind == "refused"
            self.refused_in_a_row = self.refused_in_a_row + 1 if refused else 0
            if served.failure is not None:
                yield self._failed(served, served.failure.kind, served.failure.message)
            elif is_given_up(reason := served.answer.finish_reason or NOT_GIVEN):
                yield self._failed(served, "server_error", f"the server gave up: finish_reason {reason}")
            else:
                if not is_known(reason):
                    self.odd_reasons[reason] += 1
                yield self._answered(served)

    def recounted(self, batches: Sequence[Batch], tokenizer: Any) -> list[Batch]:
        """Return these batches with the tokenizer's counts in evidence too, where their texts were kept; that happens
        once.

        Raises:
            Exception: whatever the tokenizer raises.
        """
        kept, self._kept = self._kept, {}
        with ChatTemplate(tokenizer) as template:
            return [
                batch if found is None else self._recounted(found, tokenizer, template)
                for batch in batches
                for found in [kept.pop(batch.requests[0].index, None)]
            ]

    def _answered(self, served: ServedRequest) -> Batch:
        request = self._requests[served.index]
        served = replace(served, answer=plausible(served.answer, request))
        seen = evidence(
            served.answer,
            request,
            in_chat=self._in_chat,
            stop_tokens=self._stop_tokens,
            hides_reasoning=self._hides_reasoning,
        )
        if self._keeps_texts:
            self._keep(served, seen)
        if self._keeps_answers:
            self._keep_answer(served)
        return _batch(served, audited(seen))

    def _keep(self, served: ServedRequest, seen: Evidence) -> None:
        text = answer_text(served.answer).encode(errors="replace")
        if self._kept_bytes + len(text) > MOST_TEXT:
            self.not_kept += 1
            return
        self._kept_bytes += len(text)
        bare = replace(served, answer=replace(served.answer, chunk_texts=()))
        self._kept[served.index] = _Kept(bare, seen, text)

    def _keep_answer(self, served: ServedRequest) -> None:
        text = shown_answer(served.answer).encode(errors="replace")
        self._answers_bytes += len(text)
        if self._answers_bytes <= MOST_TEXT and not served.answer.has_several_choices:
            self._answers[served.index] = text

    def answers(self) -> dict[int, str]:
        """Return the kept answers by the number of their request.

        Raises:
            BackendError: they were too long to be kept.
        """
        if self._answers_bytes > MOST_TEXT:
            raise BackendError(f"the answers have more than {MOST_TEXT >> 20} MiB in all, and were not kept")
        return {index: text.decode() for index, text in self._answers.items()}

    def _recounted(self, kept: _Kept, tokenizer: Any, template: ChatTemplate) -> Batch:
        request = self._requests[kept.served.index]
        for_prompt = None if kept.seen.counts.input_tokens else template
        counted = recount(tokenizer, request, kept.text.decode(), in_chat=self._in_chat, template=for_prompt)
        self.not_whole += not counted.is_whole
        return _batch(kept.served, audited(kept.seen, counted))

    def _failed(self, served: ServedRequest, kind: str, message: str) -> FailedRequest:
        self.failures[kind] += 1
        self.last_failure = message
        return FailedRequest(served.index, served.sent_s, served.end_s, kind, message, served.lateness_s)


def _batch(served: ServedRequest, counts: AuditedCounts) -> Batch:
    """Return one request as a batch of its own: what the server computed together is not known here.

    An answer without a token took one pass, that of its prompt.
    """
    record = request_record(served, counts)
    return Batch(
        start_s=record.start_s,
        end_s=record.end_s,
        requests=(record,),
        padded_input_tokens=record.input_tokens,
        step_times_s=record.token_times_s or (record.end_s,),
        full=False,
    )


def request_record(served: ServedRequest, counts: AuditedCounts) -> RequestRecord:
    """Return the record of a request whose answer is whole."""
    usage = Usage(counts.input_tokens or 0, counts.output_tokens or 0, counts.hidden_tokens)
    placed = token_times(served, usage, is_recount=counts.counted_by == "tokenizer")
    return RequestRecord(
        index=served.index,
        input_tokens=counts.input_tokens,
        output_tokens=counts.output_tokens,
        start_s=served.sent_s,
        token_times_s=placed.times_s,
        finish_reason=served.answer.finish_reason or NOT_GIVEN,
        ended_s=answer_end_s(served),
        times_are_exact=placed.exact,
        untimed=placed.untimed,
        first_tokens=placed.first,
        first_seen=bool(served.answer.chunk_times_s) and served.answer.streamed,
        lateness_s=served.lateness_s,
        counted_by=counts.counted_by,
        is_audited=True,
        findings=counts.findings,
        disputed_output_tokens=counts.disputed_output_tokens,
        disputed_input_tokens=counts.disputed_input_tokens,
        counted_by_tokenizer=counts.counted_by_tokenizer,
        judged_by=counts.judged_by,
        cached_input_tokens=counts.cached_input_tokens,
    )
