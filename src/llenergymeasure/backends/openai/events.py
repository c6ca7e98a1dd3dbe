"""Server-sent events out of the bytes of a stream, wherever the network has cut them."""

from typing import NamedTuple


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
        """The events that end in this piece."""
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
        """An event that the stream's end has cut off before its blank line."""
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
