"""A server of language models that remembers what it was asked, and when.

    with RecordingServer(latency_s=0.1) as server:
        ...  # base_url: server.url
    server.asked  # the load's requests, in the order of their coming

Every answer is three tokens in one piece. The request for one token, which tells whether the server is there, is in
`probed`. A request for which `refuses` gives words is answered with these and the status `refusal`.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROBE = "Hello"
TOKENS = 3


@dataclass
class Asked:
    """One request, and when it came and was answered, on CLOCK_MONOTONIC."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    came_s: float
    answered_s: float | None = None


class RecordingServer:
    """A context manager; it listens on a free port of this machine while it is open."""

    def __init__(
        self,
        latency_s: float = 0.0,
        refuses: Callable[[dict[str, Any]], str | None] = lambda body: None,
        refusal: int = 422,
    ) -> None:
        self.asked: list[Asked] = []
        self.probed: list[Asked] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body go in one packet, so that no client waits for the second

            def do_GET(self) -> None:
                self._send({"object": "list", "data": []})

            def do_POST(self) -> None:
                came_s = time.monotonic()
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked = Asked(self.path, dict(self.headers), body, came_s)
                is_probe = PROBE in (body.get("prompt"), body.get("messages", [{}])[0].get("content"))
                (recorder.probed if is_probe else recorder.asked).append(asked)
                time.sleep(latency_s)
                asked.answered_s = time.monotonic()
                if (words := refuses(body)) is not None:
                    self._send({"error": {"message": words}}, refusal)
                    return
                said = {"message": {"content": "a b c"}} if "messages" in body else {"text": "a b c"}
                usage = {"prompt_tokens": 2, "completion_tokens": TOKENS}
                self._send({"choices": [{**said, "finish_reason": "length"}], "usage": usage})

            def _send(self, answer: dict[str, Any], status: int = 200) -> None:
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "RecordingServer":
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
