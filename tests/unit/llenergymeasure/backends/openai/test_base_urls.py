"""A base URL that lacks its /v1, or goes on behind it, is told from a server that is not there."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llenergymeasure.api import run_experiment
from llenergymeasure.backends.openai.client.probe import other_path, unreachable
from llenergymeasure.errors import BackendError, PreFlightError
from standins.scripted_server import LISTED


@pytest.fixture
def serve():
    """The root of a server that answers a GET of a path as the dictionary says, and all else with 404."""
    with contextlib.ExitStack() as stack:

        def serve(answers):
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self):
                    status, body = answers.get(self.path, (404, b"<html>no such page</html>"))
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

                def do_POST(self):
                    self.rfile.read(int(self.headers["Content-Length"]))
                    self.do_GET()

                def log_message(self, *_):
                    pass

            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield serve


PAGE = (200, b"<html>Chat with me</html>")


@pytest.mark.parametrize(
    ("answers", "written", "meant"),
    [
        ({"/v1/models": (200, LISTED)}, "", "/v1"),
        ({"/v1/models": (401, b"{}")}, "", "/v1"),
        ({"/v1/models": (200, LISTED), "/models": PAGE}, "", "/v1"),
        ({"/v1/models": (200, LISTED)}, "/v1/chat/completions", "/v1"),
        ({"/openai/v1/models": (200, LISTED)}, "/openai", "/openai/v1"),
    ],
    ids=["without", "with_a_key", "a_page_of_its_own", "an_endpoint", "behind_a_path"],
)
def test_where_the_models_are_is_what_to_write(serve, answers, written, meant):
    root = serve(answers)
    with pytest.raises(PreFlightError) as refused:
        run_experiment(model="m", backend="openai", openai={"base_url": root + written})
    told = f"there is no API at {root}{written}, and there is at {root}{meant}: write base_url: {root}{meant}"
    assert str(refused.value) == f"openai.base_url: {told}"


@pytest.mark.parametrize(
    ("answers", "written"),
    [
        ({}, ""),
        ({"/models": (200, LISTED)}, ""),
        ({"/v1/models": (200, b"[]")}, "/v1"),
        ({"/models": PAGE, "/v1/models": PAGE}, ""),
    ],
)
def test_a_url_that_may_be_right_is_left_alone(serve, answers, written):
    root = serve(answers)
    assert unreachable(root + written, None) is None
    assert other_path(root + written, None) is None or "/models" in answers


def test_a_server_that_lists_its_models_elsewhere_and_answers_nowhere_says_where(serve):
    """Some list models everywhere: what is missing shows when it is asked for a token."""
    root = serve({"/models": (200, LISTED), "/v1/models": (200, LISTED)})
    with pytest.raises(BackendError, match=f"status 404.*; there is no API at {root}, and there is at {root}/v1"):
        run_experiment(model="m", backend="openai", openai={"base_url": root})
