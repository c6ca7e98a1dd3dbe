"""A server's version, its model's commit and memory, as each kind of server tells them."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llenergymeasure.backends.openai.client.server_facts import NO_MEMORY, NO_REVISION, NO_VERSION, server_facts

MODELS = {"data": [{"id": "m"}]}
OF_LLAMA_CPP = {"data": [{"id": "other", "meta": {"size": 7}}, {"id": "m", "meta": {"size": 2_500_000_000}}]}
KINDS = {
    "vLLM": ({"/version": {"version": "0.11.0"}, "/v1/models": MODELS}, ("0.11.0", None, None)),
    "TGI": (
        {"/info": {"version": "3.3.4", "model_sha": "abc123"}, "/v1/models": MODELS},
        ("TGI 3.3.4", "abc123", None),
    ),
    "llama.cpp": (
        {"/props": {"build_info": "b6000-1"}, "/v1/models": OF_LLAMA_CPP},
        ("llama.cpp b6000-1", None, 2500.0),
    ),
    "SGLang": ({"/get_server_info": {"version": "0.5.1"}}, ("SGLang 0.5.1", None, None)),
    "Ollama": (
        {"/api/version": {"version": "0.12.0"}, "/api/ps": {"models": [{"name": "m", "size": 640_000_000}]}},
        ("Ollama 0.12.0", None, 640.0),
    ),
    "one that tells nothing": ({}, (None, None, None)),
    "one that tells what is none": (
        {"/version": {"version": 7}, "/v1/models": {"data": [{"id": "m", "meta": {"size": True}}]}},
        (None, None, None),
    ),
    "one of a size that no machine has": (
        {"/version": [], "/v1/models": {"data": [{"id": "m", "meta": {"size": 10**30}}]}},
        (None, None, None),
    ),
    "one whose lists are none": (
        {"/version": {"version": "1"}, "/v1/models": {"data": {"id": "m"}}},
        ("1", None, None),
    ),
}


@pytest.fixture
def serve():
    """A server with these answers by path, and 404 elsewhere: its base URL."""
    servers = []

    def serve(answers):
        class Answers(BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps(answers.get(self.path, {"detail": "Not Found"})).encode()
                self.send_response(200 if self.path in answers else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/v1"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_server_is_asked_in_its_own_words_and_what_it_does_not_tell_has_a_reason(serve, kind):
    answers, wanted = KINDS[kind]
    found = server_facts(serve(answers), "m", None)
    assert found == wanted
    reasons = zip(
        ("backend_version", "model_revision", "model_memory_mb"), (NO_VERSION, NO_REVISION, NO_MEMORY), strict=True
    )
    assert found.not_known == {"model_weights_sha256": "the server reads the weights"} | {
        name: reason for (name, reason), value in zip(reasons, wanted, strict=True) if value is None
    }


def test_a_server_that_has_gone_tells_nothing():
    assert server_facts("http://127.0.0.1:1/v1", "m", None) == (None, None, None)
