"""A server that repeats the key it was sent wherever it can, written in every way, among a terminal's commands.

It answers /v1/models, /version and the chat endpoint: a request whose prompt has `fail=n` fails in the n-th way, and
any other is answered whole. Each answer writes the key in the next of `WRITINGS`.
"""

import base64
import itertools
import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\u200b\x00"

WRITINGS = (
    lambda key: key,
    lambda key: "x" * 55 + key,
    lambda key: "x" * 190 + key,
    lambda key: urllib.parse.quote(key, safe=""),
    lambda key: "".join(f"%{ord(letter):02x}" for letter in key),
    lambda key: base64.b64encode(f"user:{key}".encode()).decode(),
    lambda key: base64.urlsafe_b64encode(f"u{key}".encode()).decode(),
    lambda key: base64.b64encode(key.encode()).decode(),
    lambda key: key.encode().hex(),
    lambda key: key[::-1],
    lambda key: " ".join(key),
    lambda key: key[3:20],
    lambda key: json.dumps(json.dumps({"key": key})),
    lambda key: (key + " ") * 5_000,
    lambda key: "x" * 300_000 + key,
)

FAILURES = (
    lambda said: (401, {"error": {"message": said}}),
    lambda said: (500, said),
    lambda said: (422, {"detail": [{"input": said}]}),
    lambda said: (200, {"error": {"message": said, "code": said}}),
    lambda said: (200, f"data: {said}\n\n"),
    lambda said: (200, f"event: error\ndata: {said}\n\n"),
    lambda said: (200, {"choices": said}),
    lambda said: (200, said),
    lambda said: (302, said),
)


class EchoingServer:
    """A context manager; `url` is its base URL."""

    def __enter__(self) -> "EchoingServer":
        turns = itertools.cycle(WRITINGS)

        class Handler(BaseHTTPRequestHandler):
            protocol_version, wbufsize, disable_nagle_algorithm = "HTTP/1.1", -1, True

            def said(self) -> str:
                key = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
                return f"{EVIL}{next(turns)(key)}{EVIL}"

            def do_GET(self) -> None:
                said = self.said()
                self.reply(200, {"version": said, "data": [{"id": said}, {"id": self.said()}]})

            def do_POST(self) -> None:
                asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
                said, number = self.said(), asked.partition("fail=")[2][:1]
                if number.isdigit():
                    self.reply(*FAILURES[int(number)](said))
                    return
                end = {"delta": {"content": " b", "tool_calls": [{"id": said}]}, "finish_reason": said}
                usage = {"prompt_tokens": 2, "completion_tokens": 2, "note": said}
                events = [{"id": said, "choices": [{"delta": {"content": "a"}}]}, {"choices": [end], "usage": usage}]
                self.reply(200, "".join(f"data: {json.dumps(each)}\n\n" for each in events) + "data: [DONE]\n\n")

            def reply(self, status: int, body: Any) -> None:
                data = (body if isinstance(body, str) else json.dumps(body)).encode(errors="replace")
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.send_header("X-Request-Id", self.headers.get("Authorization") or "")
                if status == 302:
                    self.send_header("Location", f"/{data.decode('latin-1')[-2000:]}".replace("\x00", ""))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """The client has left: say nothing."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
