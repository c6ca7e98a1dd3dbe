"""A server of OpenAI's protocol whose answers a test writes: real HTTP, any bytes, in any pieces, at any time.

    with ScriptedServer({"plain": lambda asked: [event(" tok"), event(reason="stop"), DONE]}) as server:
        ...  # base_url: server.url("plain"); what was asked: server.asked

An answer is bytes, written as they are, one piece after the other; a number between them is a pause in seconds. It
runs in threads of the tests' own process. With `tls` it speaks that.
"""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DONE = b"data: [DONE]\n\n"
LISTED = json.dumps({"object": "list", "data": [{"id": "m", "object": "model"}]}).encode()


@dataclass(frozen=True)
class Asked:
    """A request as it came, the number of it among those of its script."""

    path: str
    body: dict[str, Any]
    number: int

    @property
    def limit(self) -> int:
        """The most output tokens that it may have."""
        return int(self.body.get("max_tokens") or self.body["max_completion_tokens"])

    @property
    def text(self) -> str:
        """The prompt, or the last turn; empty where token ids were sent."""
        prompt = self.body["messages"][-1]["content"] if "messages" in self.body else self.body["prompt"]
        return prompt if isinstance(prompt, str) else ""


@dataclass(frozen=True)
class Reply:
    """An answer with a status or headers of its own."""

    pieces: Iterable[bytes | float]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Script = Callable[[Asked], "Reply | Iterable[bytes | float]"]


def sse(message: Any, end: bytes = b"\n\n") -> bytes:
    """Return an event with this JSON."""
    return b"data: " + json.dumps(message, ensure_ascii=False).encode(errors="surrogatepass") + end


def event(content: Any = None, reason: str | None = None, *, usage: Any = None, **delta: Any) -> bytes:
    """Return the event of a chunk of a chat: `content` and more keys of its delta, `usage` where there is one."""
    said = delta if content is None else {"content": content, **delta}
    return sse(chunk([{"index": 0, "delta": said, "finish_reason": reason}], usage=usage))


def chunk(choices: list[Any], **further: Any) -> dict[str, Any]:
    """Return a chunk with these choices; keys that are None are left out."""
    known = {name: value for name, value in further.items() if value is not None}
    return {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": choices, **known}


def usage_event(usage: Any) -> bytes:
    """Return the event that OpenAI's own server sends last: no choice, and the counts."""
    return sse(chunk([], usage=usage))


def counts(prompt: int, completion: int, **further: Any) -> dict[str, Any]:
    """Return a usage whose total is the sum, unless `further` has another."""
    total = {"total_tokens": prompt + completion}
    return {"prompt_tokens": prompt, "completion_tokens": completion, **total, **further}


class ScriptedServer:
    """A context manager; it listens on a free port of this machine while it is open."""

    def __init__(self, scripts: Mapping[str, Script], tls: ssl.SSLContext | None = None) -> None:
        self.scripts = dict(scripts)
        self._tls = tls
        self.asked: dict[str, list[Asked]] = {name: [] for name in scripts}
        self._lock = threading.Lock()

    def __enter__(self) -> "ScriptedServer":
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._http.request_queue_size = 64
        if self._tls is not None:  # the handshake is of the thread that answers
            self._http.socket = self._tls.wrap_socket(
                self._http.socket, server_side=True, do_handshake_on_connect=False
            )
            self._http.handle_error = lambda *_: None
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def url(self, script: str) -> str:
        """Return the `base_url` at which this script answers."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self._http.server_port}/{script}/v1"

    def _take(self, script: str, path: str, body: dict[str, Any]) -> Asked:
        with self._lock:
            asked = Asked(path, body, len(self.asked[script]))
            self.asked[script].append(asked)
        return asked

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(LISTED)))
                self.end_headers()
                self.wfile.write(LISTED)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                _, script, path = self.path.split("/", 2)
                reply = server.scripts[script](server._take(script, path, body))
                reply = reply if isinstance(reply, Reply) else Reply(reply)
                self.send_response(reply.status)
                headers = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked", **reply.headers}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                for piece in reply.pieces:
                    if isinstance(piece, bytes):
                        self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    else:
                        time.sleep(piece)
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_: object) -> None:
                pass

        return Handler
