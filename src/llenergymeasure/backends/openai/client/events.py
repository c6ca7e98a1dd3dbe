"""Server-sent events, cut from a stream of bytes in whatever pieces it comes."""

from typing import NamedTuple

OTHER_FIELDS = (b"", b"id", b"retry")


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
        events: list[Event] = []
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block:  # nearly every one
                events.append(Event(b"", block[6:]))
            else:
                events += _events(block)
        return events

    def rest(self) -> list[Event]:
        """Return the events that the stream's end has cut off before their blank line."""
        return _events(bytes(self._rest))

    @property
    def waiting(self) -> int:
        """Bytes of an event that is not whole yet."""
        return len(self._rest)


def _events(block: bytes) -> list[Event]:
    """Return the event of a block of lines, none of one without data; before it JSON that stands there bare."""
    name, data, bare = b"", [], []
    for line in block.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
        elif field == b"error":  # llama.cpp's way
            name, data = b"error", [value]
        elif field not in OTHER_FIELDS:
            bare.append(line)
    text = b"\n".join(bare).strip()
    found = [Event(b"", text)] if text.startswith(b"{") and text.endswith(b"}") else []
    return [*found, Event(name, b"\n".join(data))] if data else found
