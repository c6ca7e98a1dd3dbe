"""A server's answer, read from its bytes and their times: everything that servers of OpenAI's protocol really send."""

import json
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from pydantic_core import from_json

from labledger.redaction import Redactor, redactor
from llenergymeasure.backends.openai.client.records import Answer, Failure, FailureKind, Usage


class Event(NamedTuple):
    """One event: its name (empty where it has none) and its data lines, joined."""

    name: bytes
    data: bytes


class EventSplitter:
    """Takes a stream piece by piece and gives each event once it is whole. Comments are dropped."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._after_return = False

    def feed(self, piece: bytes) -> list[Event]:
        """Return the events that end in this piece."""
        if self._after_return and piece.startswith(b"\n"):
            piece = piece[1:]
            self._after_return = False
        if piece:
            self._after_return = piece.endswith(b"\r")
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._rest:
            searched = len(self._rest) - 1
            self._rest += piece
            if self._rest.find(b"\n\n", searched) < 0:
                return []
            piece = bytes(self._rest)
        *blocks, rest = piece.split(b"\n\n")
        if rest or self._rest:
            self._rest = bytearray(rest)
        return [event for block in blocks if (event := _event(block)) is not None]

    def rest(self) -> Event | None:
        """Return an event that the stream's end has cut off before its blank line."""
        return _event(bytes(self._rest))

    @property
    def waiting(self) -> int:
        """Bytes of an event that is not whole yet."""
        return len(self._rest)


def _event(block: bytes) -> Event | None:
    """The event of a block of lines; None of one without data."""
    if block.startswith(b"data: ") and b"\n" not in block:
        return Event(b"", block[6:])  # nearly every one
    name, data = b"", []
    for line in block.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
        elif field == b"error":  # llama.cpp's way
            name, data = b"error", [value]
    return Event(name, b"\n".join(data)) if data else None


STARTED = 4096
"""Bytes of an answer's start that are kept, for a message, until they are an event's."""

DONE = b"[DONE]"
STREAM_STARTS = (b"data", b"event", b"id", b"retry", b"error", b":", b"\xef\xbb\xbf")
T = TypeVar("T")

REASON = 64
"""Characters of a reason for an answer's end."""

LONGEST = 16_777_216
"""Bytes of an event, or of an answer in one piece: what is longer is none, and is not kept."""


class AnswerReader:
    """Takes an answer's bytes as they come. Text that it gives is `chat`'s or `completions`', streamed or whole.

    An answer is whole once the server has sent a finish reason: whatever then becomes of the connection does not
    matter. [DONE] alone will do where the connection ends as it should: llama.cpp's server sends it to a request that
    it drops for the next one, too. `keys` hides what no text that is kept may have. `gives_up`: the rest of
    the answer is not read: a part of it is longer than any.
    """

    def __init__(self, keys: Redactor | None = None) -> None:
        self._keys = keys or redactor()
        self.gives_up = False
        self._events = EventSplitter()
        self._whole_json: bytearray | None = None
        self._start = b""
        self._done = False
        self._events_seen = False
        self._failure: Failure | None = None
        self._times_s: list[float] = []
        self._texts: list[str] = []
        self._tokens: list[int | None] = []
        self._counted: int | None = 0  # tokens so far; None from a chunk that has no count
        self._placed: int | None = 0  # those up to the last chunk
        self._finish_reason: str | None = None
        self._finished_s: float | None = None
        self._usage: Usage | None = None
        self._reasoning_shown = False

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
            self._give_up()

    def end(self, at_s: float) -> None:
        """Read what the end of the answer leaves: JSON in one piece, or a last event without its blank line."""
        if self.gives_up:
            return
        if self._whole_json is not None:
            self._read_event(at_s, Event(b"", bytes(self._whole_json)))
            return
        rest = self._events.rest()
        if rest is not None and (rest.data == DONE or _is_json(rest.data)):
            self._read_event(at_s, rest)
        elif self._start and not self._events_seen and not self._start.startswith(STREAM_STARTS):
            start = self._shown(self._start, is_cut=len(self._start) >= STARTED)
            self._fail("malformed", f"neither events nor JSON: {start}")

    def answer(self, failure: Failure | None) -> Answer:
        """Return all that was read; `failure` is the connection's, None where it ended as it should."""
        if self._failure is not None:
            failure = self._failure
        elif self._finish_reason is not None:
            failure = None
        elif failure is None and not self._done:
            failure = Failure("cut", "the answer ended before it was finished")
        return Answer(
            chunk_times_s=tuple(self._times_s),
            chunk_texts=tuple(self._texts),
            chunk_tokens=tuple(self._tokens),
            finish_reason=self._finish_reason,
            finished_s=self._finished_s,
            usage=replace(self._usage, hidden_tokens=0) if self._usage and self._reasoning_shown else self._usage,
            streamed=self._whole_json is None,
            failure=failure,
        )

    def _read_event(self, at_s: float, event: Event) -> None:
        self._events_seen = True
        if self._done or self._failure is not None:
            return
        if event.data == DONE:
            self._done = True
            return
        try:
            message = {"error": event.data} if event.name == b"error" else from_json(event.data)
            if isinstance(message, dict) and _is_error(message):
                self._fail("server_error", error_text(event.data, self._keys))
            else:
                self._read_message(at_s, _typed(message, dict, "the event"))
        except ValueError as error:
            if event.data.startswith(b'{"error"') and not _is_json(event.data):  # quotes in its message as they are
                self._fail("server_error", error_text(event.data, self._keys))
            else:
                self._fail("malformed", f"{error}: {self._shown(event.data)}")

    def _give_up(self) -> None:
        self.gives_up = True
        if not self._done and self._failure is None:
            self._fail("malformed", f"an event or answer of more than {LONGEST >> 20} MiB")

    def _fail(self, kind: FailureKind, message: str) -> None:
        self._failure = Failure(kind, message)

    def _shown(self, data: bytes, *, is_cut: bool = False) -> str:
        return self._keys.quoted(data.decode(errors="replace"), is_cut=is_cut)

    def _read_message(self, at_s: float, message: dict[str, Any]) -> None:
        usage = _usage(message.get("usage"))
        if usage is not None:
            self._usage = usage
        choices = _typed(message.get("choices") or [], list, "choices")
        if not choices:
            return  # usage alone, or a server's own ping
        choice = _typed(choices[0], dict, "the choice")
        delta = choice if "text" in choice else choice.get("delta", choice.get("message"))
        reasoning, text = _texts({} if delta is None else _typed(delta, dict, "delta"))
        self._count(usage, choice, bool(reasoning or text))
        if reasoning or text:
            self._add_chunk(at_s, reasoning + text)
        self._reasoning_shown = self._reasoning_shown or bool(reasoning)
        reason = choice.get("finish_reason")
        if reason is not None:
            self._finish_reason = self._keys.quoted(_typed(reason, str, "finish_reason"), REASON)
            self._finished_s = self._finished_s or at_s

    def _count(self, usage: Usage | None, choice: dict[str, Any], has_text: bool) -> None:
        """Count the tokens up to this event, in either way that servers give it: in all so far, or per event."""
        if usage is not None:
            self._counted = usage.output_tokens
            return
        listed = _listed_tokens(choice)
        if listed is None and has_text:
            self._counted = None
        elif listed is not None and self._counted is not None:
            self._counted += listed

    def _add_chunk(self, at_s: float, text: str) -> None:
        self._times_s.append(at_s)
        self._texts.append(text)
        before, after = self._placed, self._counted
        self._tokens.append(None if before is None or after is None or after <= before else after - before)
        self._placed = self._counted


def error_text(body: bytes, keys: Redactor, *, is_cut: bool = False) -> str:
    """Return the message of a server's error, in any of the shapes that servers give it; else the start of its text."""
    try:
        found = from_json(body)
    except ValueError:
        return keys.quoted(body.decode(errors="replace"), is_cut=is_cut)
    for _ in range(2):  # {"error": {"message": ...}}, {"error": ...}, {"message": ...}, {"detail": ...}
        if isinstance(found, dict):
            found = next((found[name] for name in ("error", "message", "detail") if found.get(name)), found)
    return keys.quoted(found if isinstance(found, str) else json.dumps(found))


def _is_json(data: bytes) -> bool:
    try:
        from_json(data)
    except ValueError:
        return False
    return True


def _is_error(message: dict[str, Any]) -> bool:
    return bool(message.get("error")) or message.get("object") == "error"


def _typed(value: Any, kind: type[T], name: str) -> T:
    if not isinstance(value, kind):
        raise ValueError(f"{name} is not a {kind.__name__}")
    return value


def _usage(sent: Any) -> Usage | None:
    if sent is None:
        return None
    counts = _typed(sent, dict, "usage")
    details = _typed(counts.get("completion_tokens_details") or {}, dict, "completion_tokens_details")
    prompt, output = _token_count(counts, "prompt_tokens"), _token_count(counts, "completion_tokens")
    reasoned = _token_count(details, "reasoning_tokens")
    return None if prompt is None or output is None else Usage(prompt, output, reasoned or 0)


def _token_count(counts: dict[str, Any], name: str) -> int | None:
    if counts.get(name) is None:
        return None
    if (count := _typed(counts[name], int, name)) < 0:
        raise ValueError("usage counts less than no tokens")
    return count


def _texts(delta: dict[str, Any]) -> tuple[str, str]:
    """Return the reasoning and the answer that a delta, a message or a completion's choice holds."""
    reasoning = delta.get("reasoning_content") or delta.get("reasoning")
    text = delta.get("content") or delta.get("text")
    return _typed(reasoning or "", str, "reasoning"), _typed(text or "", str, "content")


def _listed_tokens(choice: dict[str, Any]) -> int | None:
    """Return the number of tokens that this event lists; None where it lists none."""
    listed = choice.get("token_ids")
    if listed is None and choice.get("logprobs") is not None:
        logprobs = _typed(choice["logprobs"], dict, "logprobs")
        listed = logprobs.get("content", logprobs.get("tokens"))
    return None if listed is None else len(_typed(listed, list, "the list of tokens"))
