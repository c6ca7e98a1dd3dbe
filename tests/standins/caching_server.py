"""A server of language models with a prefix cache, and without a model: `python caching_server.py PORT`.

Every word is a token. Blocks of 16 tokens that an earlier prompt began with are cached, as by vLLM, and reported as
`cached_tokens`. The fingerprint of its answers is its pid; each start adds that, as a line, to the file STARTS, if
that is given as a second argument.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BLOCK = 16
known: set[tuple[str, ...]] = set()


def cached_tokens(words: list[str]) -> int:
    """Return how many tokens are known, and know all."""
    blocks = [tuple(words[:end]) for end in range(BLOCK, len(words) + 1, BLOCK)]
    found = sum(block in known for block in blocks) * BLOCK
    known.update(blocks)
    return found


class Handler(BaseHTTPRequestHandler):
    """OpenAI's completions, of texts and of tokens, and its list of models."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send("application/json", json.dumps({"object": "list", "data": [{"id": "model", "object": "model"}]}))

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt: Any = asked.get("prompt") or " ".join(turn["content"] for turn in asked.get("messages", []))
        words = prompt.split() if isinstance(prompt, str) else list(map(str, prompt))
        cached, count = cached_tokens(words), int(asked["max_tokens"])
        details = {"prompt_tokens": len(words), "completion_tokens": count, "total_tokens": len(words) + count}
        usage = {**details, "prompt_tokens_details": {"cached_tokens": cached}}
        text = "/chat/" not in self.path
        pieces = [{"text": "word "} if text else {"delta": {"content": "word "}} for _ in range(count)]
        ends = [None] * (count - 1) + ["length"]
        chunks = [
            {"choices": [{"index": 0, "finish_reason": end, **piece}]} for piece, end in zip(pieces, ends, strict=True)
        ]
        about = {"id": "1", "model": "model", "system_fingerprint": str(os.getpid())}
        events = [*({**about, **chunk} for chunk in chunks), {**about, "choices": [], "usage": usage}]
        lines = [f"data: {json.dumps(event)}\n\n" for event in events]
        self._send("text/event-stream", "".join([*lines, "data: [DONE]\n\n"]))

    def _send(self, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


if __name__ == "__main__":
    if len(sys.argv) > 2:
        with open(sys.argv[2], "a", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
