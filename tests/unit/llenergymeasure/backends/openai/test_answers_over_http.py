"""Answers as HTTP carries them: statuses of success other than 200, and bodies that are compressed unasked."""

import asyncio
import json
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llenergymeasure.backends.openai.client.http import Client
from llenergymeasure.backends.openai.client.request_body import RequestTemplate
from llenergymeasure.domain.requests import Request

EVENTS = [
    *({"choices": [{"delta": {"content": f"w{number} "}, "finish_reason": None}]} for number in range(3)),
    {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 5, "completion_tokens": 3}},
]


@pytest.fixture
def ask():
    """Send a request to a server that answers with this status and this encoding."""

    def ask(status=200, encoding=None):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                if encoding:
                    self.send_header("Content-Encoding", encoding)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                packed = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
                for number, event in enumerate(EVENTS, 1):
                    data = f"data: {json.dumps(event)}\n\n".encode()
                    if encoding:
                        how = zlib.Z_SYNC_FLUSH if number < len(EVENTS) else zlib.Z_FINISH
                        data = packed.compress(data) + packed.flush(how)
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            return asyncio.run(send(f"http://127.0.0.1:{server.server_port}/v1"))
        finally:
            server.shutdown()
            server.server_close()

    return ask


async def send(url):
    template = RequestTemplate(url, "m")
    async with Client(template) as client:
        return (await client.send(template.encode(Request(0, "Hi", None, 4)), time.monotonic())).answer


@pytest.mark.parametrize("status", [201, 202, 206])
def test_an_answer_under_any_status_of_success_is_an_answer(ask, status):
    answer = ask(status)
    assert (answer.failure, answer.chunk_texts, answer.counts.output_tokens) == (None, ("w0 ", "w1 ", "w2 "), 3)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_answer_that_is_compressed_unasked_is_read(ask, encoding):
    answer = ask(encoding=encoding)
    assert (answer.failure, answer.chunk_texts, answer.counts.output_tokens) == (None, ("w0 ", "w1 ", "w2 "), 3)


def test_an_answer_in_an_encoding_that_nobody_knows_is_told_with_its_name(ask):
    failure = ask(encoding="rot13").failure
    assert (failure.kind, failure.message) == ("malformed", "the answer is in the encoding rot13")
