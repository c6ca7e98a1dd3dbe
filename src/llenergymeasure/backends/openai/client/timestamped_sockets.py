"""Sockets that know when they sent and when the bytes that they give had arrived.

An event loop that serves a thousand streams comes to each of them in its turn, tens of milliseconds after its bytes
when all have some at once, as the streams of one batched server do. Linux stamps what arrives at that moment; the
stamp comes with the bytes, and neither the loop's turn nor a collection of garbage is in the times.
"""

import socket
import struct
import time
from typing import Any

SO_TIMESTAMPNS = 35  # Linux's; not in the socket module of Python 3.11
STAMP = struct.Struct("@qq")
STAMP_SPACE = socket.CMSG_SPACE(STAMP.size)


class TimedSocket(socket.socket):
    """A TCP socket for asyncio, which sends and receives through these methods.

    `sent_s` is when bytes were last given to the kernel, `arrived_s` when the last of those that were last received
    had arrived; both on CLOCK_MONOTONIC. Where the kernel does not stamp, they have arrived when they are read.
    """

    sent_s = arrived_s = 0.0

    def stamp_arrivals(self) -> None:
        """Ask the kernel for stamps."""
        try:
            self.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        except OSError:  # not Linux
            return

    def send(self, *arguments: Any) -> int:
        """Send, and note when."""
        self.sent_s = time.monotonic()
        return super().send(*arguments)

    def sendmsg(self, *arguments: Any) -> int:
        """Send, and note when."""
        self.sent_s = time.monotonic()
        return super().sendmsg(*arguments)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive, and note when it had arrived."""
        data, ancillary, _, _ = self.recvmsg(size, STAMP_SPACE, flags)
        self._note(ancillary)
        return data

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """Receive, and note when it had arrived (TLS comes this way)."""
        count, ancillary, _, _ = self.recvmsg_into([memoryview(buffer)[: size or None]], STAMP_SPACE, flags)
        self._note(ancillary)
        return count

    def _note(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        age_ns = 0
        for level, kind, stamp in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = STAMP.unpack(stamp)
                age_ns = time.time_ns() - (seconds * 1_000_000_000 + nanoseconds)
        # The stamp is on the wall clock, which may have been set meanwhile: nothing arrives later than now, before what
        # came before it, or before what it answers was sent.
        now_s = time.monotonic()
        self.arrived_s = max(self.sent_s, self.arrived_s, min(now_s, now_s - age_ns / 1e9))


class TimedSockets:
    """Makes the sockets of a connector, and finds the one of a connection again by its file number."""

    def __init__(self) -> None:
        self._by_number: dict[int, TimedSocket] = {}

    def make(self, address: tuple[Any, ...]) -> TimedSocket:
        """Return a new socket for this address, as `getaddrinfo` gives it."""
        family, kind, protocol, *_ = address
        made = TimedSocket(family, kind, protocol)
        made.setblocking(False)
        made.stamp_arrivals()
        self._by_number[made.fileno()] = made
        return made

    def find(self, transport: Any) -> TimedSocket:
        """Return the socket that this transport uses."""
        return self._by_number[transport.get_extra_info("socket").fileno()]
