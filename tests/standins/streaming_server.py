"""A server of language models without a model: OpenAI's two streaming endpoints over real HTTP, timed by a test.

    with StreamingServer() as server:
        ...  # base_url: server.url; each request says under `standin` in its body how it is answered: see `Plan`

Of a list of plans it is the one whose number stands in the prompt, as `plan=2`, else the first. It runs in a process of
its own (`python streaming_server.py` prints its port and serves until its input ends, `python streaming_server.py 8000`
serves there until it is killed). Every
piece of text that it streams begins with the time of its writing, in seconds on CLOCK_MONOTONIC, which a client on the
same machine reads from the same clock: `written_s(text)`. A chunk of n tokens is that number and n - 1 full stops.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import random
import re
import resource
import select
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Plan:
    """The answer to one request.

    The first chunk is written `ttft_s` after the request was read, the others every `itl_s`, each up to `jitter_s`
    later (drawn with `seed`); all are due on one time table, so that a late one delays no other. `events` take the
    place of the whole stream: verbatim pieces, written one by one, `itl_s` apart. `ending`: `end` ends the answer as
    HTTP wants it, `close` and `reset` end the connection in its midst, `hang` leaves it open, `vanish` resets it
    before any answer, `mute` leaves it open before any answer, `exit` ends the whole server.
    """

    ttft_s: float = 0.0
    itl_s: float = 0.0
    tokens: int = 8
    tokens_a_chunk: int = 1
    jitter_s: float = 0.0
    seed: int = 0
    reasoning_chunks: int = 0
    usage: bool = True
    counts: str | None = None  # of each chunk's tokens: "usage" so far, "token_ids" or "logprobs"
    stop_after: int | None = None  # chunks; then `ending`
    ending: str = "end"
    events: list[str] | None = None
    status: int = 200
    content_type: str = "text/event-stream; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    wants_sha256: str | None = None  # its SHA-256; status 401 without it


def written_s(text: str) -> list[float]:
    """Return when the server wrote each chunk of this text."""
    return [float(number) for number in re.findall(r"\d+\.\d{9}", text)]


class StreamingServer:
    """A context manager; it listens on a free port of this machine while it is open."""

    def __enter__(self) -> "StreamingServer":
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.root = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        self.url = f"{self.root}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid


LISTED = json.dumps({"object": "list", "data": [{"id": "stand-in", "object": "model"}]}).encode()
MODELS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(LISTED), LISTED)
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def _chosen(plans: Any, asked: dict[str, Any]) -> dict[str, Any]:
    if isinstance(plans, dict):
        return plans
    found = re.search(r"plan=(\d+)", json.dumps([asked.get("messages"), asked.get("prompt")]))
    return plans[int(found.group(1)) if found else 0]


class FineSelector(selectors.EpollSelector):
    """Waits to the microsecond: epoll alone would round every timer up to the next millisecond."""

    def select(self, timeout: float | None = None) -> list:
        if timeout is not None and timeout > 0:
            select.select([self.fileno()], [], [], timeout)
            timeout = 0
        return super().select(timeout)


class Connection(asyncio.Protocol):
    """One client's connection, kept open from request to request."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # no write waits

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank_line, body = self._received.partition(b"\r\n\r\n")
        if not blank_line:
            return
        found = re.search(rb"(?i)content-length: *(\d+)", head)
        if found is None:
            self._received = body
            self._transport.write(MODELS if b"/models " in head.partition(b"\r\n")[0] else NOT_FOUND)
            return
        length = int(found.group(1))
        if len(body) < length:
            return
        self._received = body[length:]
        asked = json.loads(body[:length])
        plan = Plan(**_chosen(asked.get("standin", {}), asked))
        sent = re.search(rb"(?i)authorization: bearer ([^\r]*)", head)
        if plan.wants_sha256 not in (None, hashlib.sha256(sent[1] if sent else b"").hexdigest()):
            plan = Plan(status=401, events=["no key"])
        chat = b"/chat/" in head.partition(b"\r\n")[0]
        self._answer = Answer(plan, asked, chat)
        self._began_s = self._loop.time()
        if plan.ending == "exit":
            os._exit(1)
        if plan.ending == "vanish":
            self._transport.abort()
        elif plan.ending != "mute":
            self._begin()

    def _begin(self) -> None:
        plan = self._answer.plan
        fields = {"Content-Type": plan.content_type, "Transfer-Encoding": "chunked", **plan.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._transport.write(f"HTTP/1.1 {plan.status} Stand-in\r\n{head}\r\n".encode("latin-1"))
        self._steps = self._answer.steps()
        self._next()

    def _next(self) -> None:
        after_s, self._write = next(self._steps)
        self._timer = self._loop.call_at(self._began_s + after_s, self._step)

    def _step(self) -> None:
        piece = self._write()
        if piece is not None:
            self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self._next()
            return
        ending = self._answer.plan.ending
        if ending == "end":
            self._transport.write(b"0\r\n\r\n")
        elif ending == "close":
            self._transport.close()
        elif ending == "reset":
            self._transport.abort()


class Answer:
    """Writes the answer to one request, each part at its time."""

    def __init__(self, plan: Plan, asked: dict[str, Any], chat: bool) -> None:
        self.plan = plan
        self._chat = chat
        self._wants_usage = bool(asked.get("stream_options", {}).get("include_usage")) and plan.usage
        words = json.dumps(asked.get("messages", asked.get("prompt"))).split()
        self._prompt_tokens = len(words)
        kind = "chat.completion.chunk" if chat else "text_completion"
        self._envelope = {"id": "cmpl-1", "object": kind, "created": 1_700_000_000, "model": asked["model"]}

    def steps(self) -> Iterator[tuple[float, Any]]:
        """Each step's time after the request, and what makes its bytes when that time has come; None at the end."""
        plan = self.plan
        if plan.events is not None:
            for number, piece in enumerate(plan.events):
                yield plan.ttft_s + number * plan.itl_s, piece.encode
            yield plan.ttft_s + len(plan.events) * plan.itl_s, lambda: None
            return
        draw = random.Random(plan.seed)  # noqa: S311
        if self._chat:
            yield 0.0, lambda: self._event({"role": "assistant", "content": ""})
        after_s, left, number = plan.ttft_s, plan.tokens, 0
        while left > 0 and number != plan.stop_after:
            tokens = min(left, plan.tokens_a_chunk)
            left -= tokens
            due_s = plan.ttft_s + number * plan.itl_s + draw.uniform(0, plan.jitter_s)
            after_s = max(after_s, due_s)
            yield after_s, self._chunk(number, tokens, plan.tokens - left)
            number += 1
        if left == 0:
            yield after_s, self._last
        yield after_s, lambda: None

    def _chunk(self, number: int, tokens: int, so_far: int) -> Any:
        """The bytes around the text are made before their time, so that the clock is read just before the write."""
        name = "reasoning_content" if number < self.plan.reasoning_chunks else "content"
        further = {}
        if self.plan.counts == "usage":
            further = {"usage": self._usage(so_far)}
        choice = {}
        if self.plan.counts == "token_ids":
            choice = {"token_ids": list(range(tokens))}
        elif self.plan.counts == "logprobs":
            tops = [{"token": ".", "logprob": -1.0}] * tokens
            choice = {"logprobs": {"content": tops} if self._chat else {"tokens": ["."] * tokens}}
        before, after = self._event({name: "\0"}, choice, **further).split(b"\\u0000")
        dots = b" ." * (tokens - 1)
        return lambda: b"%b%.9f%b %b" % (before, time.monotonic(), dots, after)

    def _last(self) -> bytes:
        last = self._event({}, {"finish_reason": "length"})
        if self._wants_usage:
            last += _sse({**self._envelope, "choices": [], "usage": self._usage(self.plan.tokens)})
        return last + b"data: [DONE]\n\n"

    def _usage(self, output: int) -> dict[str, int]:
        asked = self._prompt_tokens
        return {"prompt_tokens": asked, "completion_tokens": output, "total_tokens": asked + output}

    def _event(self, delta: dict[str, str], choice: dict[str, Any] | None = None, **further: Any) -> bytes:
        said = {"delta": delta} if self._chat else {"text": delta.get("content", "")}
        return _sse(
            {**self._envelope, "choices": [{"index": 0, **said, "finish_reason": None, **(choice or {})}], **further}
        )


def _sse(event: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


async def serve() -> None:
    """Listen, say where, and go on until the input ends."""
    loop = asyncio.get_running_loop()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 0), backlog=4096)
    server = await loop.create_server(lambda: Connection(loop), sock=listener)
    print(listener.getsockname()[1], flush=True)  # noqa: T201
    closed = asyncio.Event()
    if not sys.argv[1:]:
        loop.add_reader(sys.stdin.fileno(), lambda: os.read(0, 4096) or closed.set())
    await closed.wait()
    server.close()


if __name__ == "__main__":
    with (
        contextlib.suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(FineSelector())) as runner,
    ):
        runner.run(serve())
