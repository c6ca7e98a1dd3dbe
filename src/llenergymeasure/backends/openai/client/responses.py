"""A server's answer, read from its bytes and their times: everything that servers of OpenAI's protocol really send."""

from typing import Any, TypeVar

from pydantic_core import from_json, to_json

from labledger.redaction import Redactor, redactor
from llenergymeasure.backends.openai.client.answer_text import has_empty_text, read_texts, shown_text
from llenergymeasure.backends.openai.client.count_bounds import ANY_REQUEST, MostTokens
from llenergymeasure.backends.openai.client.events import Event, EventSplitter
from llenergymeasure.backends.openai.client.records import Answer, Failure, FailureKind, TextKind
from llenergymeasure.backends.openai.client.server_counts import CountReader
from llenergymeasure.backends.openai.client.server_json import (
    error_text,
    is_error,
    is_json,
    may_be_error,
    read_json,
    whole_characters,
)

STARTED = 4096
"""Bytes of an answer's start that are kept, for a message, until they are an event's."""

DONE = b"[DONE]"
MESSAGE_NAMES = (b"", b"message")
STREAM_STARTS = (b"data", b"event", b"id", b"retry", b"error", b":", b"\xef\xbb\xbf")
T = TypeVar("T")

REASON = 64
"""Characters of a reason for an answer's end."""

NO_REASON = ("", "null", "none", "nil", "undefined", "unspecified", "not_finished", "in_progress")
"""Reasons for an answer's end with which servers say that it has not ended, in any case."""

LONGEST = 16_777_216
"""Bytes of an event, or of an answer in one piece: what is longer is none, and is not kept."""

MOST_CHUNKS = 1_000_000
"""Chunks of text of one answer: what has more is none. A chunk takes 240 bytes."""


class AnswerReader:
    """Takes an answer's bytes as they come. Text that it gives is `chat`'s or `completions`', streamed or whole.

    An answer is whole once the server has sent a finish reason that is not empty: whatever then becomes of the
    connection does not matter. [DONE] alone will do where the connection ends as it should (llama.cpp's server sends it
    to a request that it drops for the next one, too) and nothing that reads as an error came before it. `keys` hides
    what no text that is kept may have; a count of more than `most` tokens is none. `gives_up`: the rest of the answer
    is not read: it, or a part of it, is longer than any. `is_over`: nothing that follows is of the answer, but for
    counts.
    """

    def __init__(self, keys: Redactor | None = None, most: MostTokens = ANY_REQUEST) -> None:
        self._keys = keys or redactor()
        self.gives_up = False
        self._events = EventSplitter()
        self._whole_json: bytearray | None = None
        self._start = b""
        self._done = False
        self._events_seen = False
        self._failure: Failure | None = None
        self._may_have_failed: Failure | None = None
        self._is_broken = False  # some of its JSON
        self._times_s: list[float] = []
        self._texts: list[str] = []
        self._answers: list[str] | None = None  # the same without reasoning, from where they differ on
        self._kinds: set[TextKind] = set()
        self._empty = 0
        self._choice: Any = None
        self._has_several_choices = False
        self._counts = CountReader(most)
        self._counted: int | None = 0  # the last count; None from a chunk that has none
        self._counted_by_chunk: list[int | None] = []
        self._finish_reason: str | None = None
        self._finished_s: float | None = None

    @property
    def is_over(self) -> bool:
        """True once [DONE] has come, or what makes it a failure."""
        return self._done or self.gives_up or self._failure is not None

    def feed(self, at_s: float, piece: bytes) -> None:
        """Read a piece that came at this time."""
        if not self._events_seen and self._whole_json is None and len(self._start) < STARTED:
            self._start = (self._start + piece).lstrip()[:STARTED]
            if self._start.startswith(b"{"):  # no stream, whatever its type says
                self._whole_json = bytearray()
        if self._whole_json is not None:
            self._whole_json += piece
        else:
            for event in self._events.feed(piece):
                self._read_event(at_s, event)
        if (self._events.waiting if self._whole_json is None else len(self._whole_json)) > LONGEST:
            self._give_up(f"an event or answer of more than {LONGEST >> 20} MiB")
        elif len(self._times_s) > MOST_CHUNKS:
            self._give_up(f"an answer of more than {MOST_CHUNKS:,} chunks of text")

    def end(self, at_s: float) -> None:
        """Read what the end of the answer leaves: JSON in one piece, or a last event without its blank line."""
        if self.gives_up:
            return
        if self._whole_json is not None:
            self._read_event(at_s, Event(b"", bytes(self._whole_json)))
            return
        rest = [event for event in self._events.rest() if event.data == DONE or is_json(event.data)]
        for event in rest:
            self._read_event(at_s, event)
        if not rest and self._start and not self._events_seen and not self._start.startswith(STREAM_STARTS):
            start = self._shown(self._start, is_cut=len(self._start) >= STARTED)
            self._fail("malformed", f"neither events nor JSON: {start}")

    def answer(self, failure: Failure | None) -> Answer:
        """Return all that was read; `failure` is the connection's, None where it ended as it should."""
        if self._failure is not None:
            failure = self._failure
        elif self._finish_reason is not None:
            failure = None
        elif self._may_have_failed is not None:
            failure = self._may_have_failed
        elif failure is None and not self._done:
            failure = Failure("cut", "the answer ended before it was finished")
        texts = whole_characters(self._texts) if self._is_broken else self._texts
        return Answer(
            chunk_times_s=tuple(self._times_s),
            chunk_texts=tuple(texts),
            chunk_tokens=tuple(self._counts.by_chunk(self._counted_by_chunk)),
            finish_reason=self._finish_reason,
            finished_s=self._finished_s,
            streamed=self._whole_json is None,
            failure=failure,
            counts=self._counts.totals(),
            text_kinds=frozenset(self._kinds),
            empty_chunks=self._empty,
            has_several_choices=self._has_several_choices,
            chunk_answers=tuple(self._answers or ()),
        )

    def _read_event(self, at_s: float, event: Event) -> None:
        self._events_seen = True
        if self._done or self._failure is not None:
            self._read_late_counts(event)
            return
        if event.data == DONE:
            self._done = True
            return
        try:
            message = {"error": event.data} if event.name == b"error" else self._parse(event.data)
            if isinstance(message, dict) and is_error(message):
                self._fail("server_error", error_text(event.data, self._keys))
            else:
                self._read_message(at_s, _typed(message, dict, "the event"))
                if not message.get("choices") and event.name in MESSAGE_NAMES and _is_no_part(message):
                    self._may_have_failed = Failure("server_error", error_text(event.data, self._keys))
        except ValueError as error:
            if event.data.startswith(b'{"error"') and not is_json(event.data):  # quotes in its message as they are
                self._fail("server_error", error_text(event.data, self._keys))
            else:
                self._fail("malformed", f"{error}: {self._shown(event.data)}")

    def _parse(self, data: bytes) -> Any:
        try:
            return from_json(data)
        except ValueError:
            self._is_broken = True
            return read_json(data)

    def _read_late_counts(self, event: Event) -> None:
        """Read the usage that some gateways send behind [DONE]; nothing else there is of the answer."""
        if self._failure is None and is_json(event.data) and isinstance(message := read_json(event.data), dict):
            self._counts.read(message)

    def _give_up(self, why: str) -> None:
        self.gives_up = True
        if not self._done and self._failure is None:
            self._fail("malformed", why)

    def _fail(self, kind: FailureKind, message: str) -> None:
        self._failure = Failure(kind, message)

    def _shown(self, data: bytes, *, is_cut: bool = False) -> str:
        return self._keys.quoted(data.decode(errors="replace"), is_cut=is_cut)

    def _read_message(self, at_s: float, message: dict[str, Any]) -> None:
        choices = _typed(message.get("choices") or [], list, "choices")
        text = answer = ""
        listed: int | None = None
        for choice in choices:  # none: usage alone, or a server's own ping
            said = _said(choice)
            new = read_texts(said, self._kinds)
            ends = bool(reason := choice.get("finish_reason")) and self._ends(at_s, reason)
            if new:
                text += new
                answer += new if new in (said.get("content"), said.get("text")) else shown_text(said)
                if (index := choice.get("index")) != self._choice:
                    self._has_several_choices |= self._choice is not None
                    self._choice = index
            elif not ends:
                self._read_empty(choice, said)
            if (tokens := _listed_tokens(choice)) is not None:
                listed = tokens + (listed or 0)
        counted = self._counts.read(message, text)
        if counted is not None:
            self._counted = counted
        elif self._counted is not None and (text or listed):  # listed are the tokens of this event, not the sum so far
            self._counted = None if listed is None else self._counted + listed
        if text:
            self._times_s.append(at_s)
            self._texts.append(text)
            self._take_answer(text, answer)
            self._counted_by_chunk.append(self._counted)

    def _take_answer(self, text: str, answer: str) -> None:
        """Take the answer in a chunk's text; while it is all of that, nothing is kept twice."""
        if self._answers is not None:
            self._answers.append(answer)
        elif answer != text:
            self._answers = [*self._texts[:-1], answer]

    def _ends(self, at_s: float, reason: Any) -> bool:
        """Take the reason for the answer's end, and return True if it is one."""
        if _typed(reason, str, "finish_reason").strip().lower() in NO_REASON:
            return False
        self._finish_reason = self._keys.quoted(reason, REASON)
        self._finished_s = self._finished_s or at_s
        return True

    def _read_empty(self, choice: dict[str, Any], said: dict[str, Any]) -> None:
        """Take a choice without text: an error of its own, the beginning, or a token that no text shows."""
        if choice.get("error"):
            self._fail("server_error", error_text(to_json({"error": choice["error"]}), self._keys))
        begins = "role" in said and not self._texts and not self._empty
        if not begins and has_empty_text(said):
            self._empty += 1


def _is_no_part(message: dict[str, Any]) -> bool:
    """Return True if a message without choices has no counts either, and reads as an error."""
    return type(message.get("usage")) is not dict and may_be_error(message)


def _said(choice: Any) -> dict[str, Any]:
    """Return the delta of a choice, its message where it came in one piece, or the choice itself, which has the text of
    a completion."""
    said = _typed(choice, dict, "the choice").get("delta")
    if said is None:
        said = choice if choice.get("message") is None else choice["message"]
    return _typed(said, dict, "delta")


def _typed(value: Any, kind: type[T], name: str) -> T:
    if not isinstance(value, kind):
        raise ValueError(f"{name} is not a {kind.__name__}")
    return value


def _listed_tokens(choice: dict[str, Any]) -> int | None:
    """Return the number of tokens that this choice lists; None where it lists none."""
    listed = choice.get("token_ids")
    if listed is None and type(logprobs := choice.get("logprobs")) is dict:
        listed = logprobs.get("content", logprobs.get("tokens"))
    return len(listed) if type(listed) is list else None
