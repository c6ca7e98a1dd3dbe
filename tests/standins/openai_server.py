"""A model's server where there is none: OpenAI's chat completions over real HTTP, with answers that a test writes.

    with ModelServer(say("no JSON"), fail(500), propose({"type": "Fifo"})) as server:
        ...  # base_url: server.url; what was asked: server.requests

Each request gets the next answer, the last one again and again. Anthropic's messages and Google's generateContent are
spoken too, at their own paths, so that each client is tried against a server.
"""

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REPORTED_MODEL = "stand-in-2026-01-01"


@dataclass(frozen=True)
class Reply:
    """The answer to a request. `text` is the model's own; a `body` stands for the whole answer as it is."""

    text: str | None = None
    tokens: tuple[int, int] | None = (100, 20)
    finish_reason: str = "stop"
    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    stalls: str | None = None
    delay_s: float = 0.0


def say(text: str, **options: Any) -> Reply:
    """The model says this; `tokens` None leaves them uncounted."""
    return Reply(text, **options)


def propose(policy: Any, reasoning: str = "It costs less.", **options: Any) -> Reply:
    """The model proposes this policy."""
    return say(json.dumps({"policy": policy, "reasoning": reasoning}), **options)


def fail(status: int, message: str = "the server's own words", *, code: str | None = None, **headers: str) -> Reply:
    """The server fails, as OpenAI's does; `retry_after="1"` is the header of that name."""
    error = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, body=json.dumps(error).encode(), headers=named)


def stall(after: str = "body") -> Reply:
    """Nothing more comes: after half the body, or (`headers`) before anything."""
    return Reply("never seen whole", stalls=after)


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at_s: float


class ModelServer:
    """A context manager; it listens on a free port of this machine while it is open."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def __enter__(self) -> "ModelServer":
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def root(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def url(self) -> str:
        """The `base_url` of an OpenAI client."""
        return f"{self.root}/v1"

    def _next(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                asked = json.loads(self.rfile.read(length))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = server._next(Request(self.path, headers, asked, time.monotonic()))
                server._closing.wait(reply.delay_s)
                body = reply.body if reply.body is not None else _body(self.path, asked, reply)
                if reply.stalls == "headers":
                    server._closing.wait()
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if reply.stalls else body)
                if reply.stalls:
                    self.wfile.flush()
                    server._closing.wait()
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _body(path: str, asked: dict[str, Any], reply: Reply) -> bytes:
    if path == "/v1/chat/completions" and asked["model"] and asked["messages"]:
        return json.dumps(_openai(reply)).encode()
    if path.startswith("/v1/messages"):
        return json.dumps(_anthropic(reply)).encode()
    if path.endswith(":generateContent"):
        return json.dumps(_google(reply)).encode()
    raise ValueError(f"no such endpoint: {path}")


def _openai(reply: Reply) -> dict[str, Any]:
    message = {"role": "assistant", "content": reply.text, "refusal": None}
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": REPORTED_MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish_reason, "logprobs": None}],
    }
    if reply.tokens is None:
        return answer
    asked, said = reply.tokens
    return {**answer, "usage": {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}}


def _anthropic(reply: Reply) -> dict[str, Any]:
    asked, said = reply.tokens or (0, 0)
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": REPORTED_MODEL,
        "content": [{"type": "text", "text": reply.text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": asked, "output_tokens": said},
    }


def _google(reply: Reply) -> dict[str, Any]:
    asked, said = reply.tokens or (0, 0)
    content = {"role": "model", "parts": [{"text": reply.text}]}
    counted = {"promptTokenCount": asked, "candidatesTokenCount": said, "totalTokenCount": asked + said}
    return {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": counted,
        "modelVersion": REPORTED_MODEL,
        "responseId": "r1",
    }
