"""The probe of a server before it is measured: one GET, to that host alone, that ends in time."""

import contextlib
import json
import socket
import threading
import time

import pytest

from llenergymeasure.api import run_experiment
from llenergymeasure.backends.openai.client.probe import get, model_names, unreachable
from llenergymeasure.backends.openai.client.server_facts import server_facts
from llenergymeasure.errors import PreFlightError

KEY = "sk-test-4b1d0c77aa"
OK = b"HTTP/1.1 200 OK\r\n"
TIMEOUT_S = 0.6


@pytest.fixture
def listen():
    """A server that answers each connection with these pieces, so far apart: its URL, and what it was asked."""
    with contextlib.ExitStack() as stack:

        def listen(*pieces, apart_s=0.0):
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            asked, ended = [], threading.Event()
            serving = threading.Thread(target=serve, args=(listener, pieces, apart_s, asked, ended))
            serving.start()
            stack.callback(serving.join)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            stack.callback(ended.set)
            return f"http://127.0.0.1:{listener.getsockname()[1]}/v1", asked

        yield listen


def serve(listener, pieces, apart_s, asked, ended):
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                asked.append(connection.recv(65_536))
                for piece in pieces:
                    connection.sendall(piece)
                    ended.wait(apart_s)


def redirecting(status, location):
    """A redirection."""
    return b"HTTP/1.1 %d Elsewhere\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % (status, location.encode())


def test_a_get_sends_the_key_and_gives_status_and_json(listen):
    url, asked = listen(b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n\r\n", b'{"detail": ', b'"none"}')
    assert get(f"{url}/models", KEY) == (404, {"detail": "none"}, None)
    (request,) = asked
    assert request.startswith(b"GET /v1/models HTTP/1.1\r\n")
    assert f"Authorization: Bearer {KEY}\r\n".encode() in request


@pytest.mark.parametrize("body", [b"no JSON", b"[" * 100_000, b'"\\ud800', b"\xff"])
def test_what_is_no_json_is_none(listen, body):
    url, _ = listen(OK + b"\r\n" + body)
    assert get(url, None) == (200, None, None)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirection_is_reported_and_the_key_goes_to_no_other_host(listen, monkeypatch, status):
    other, asked = listen(OK + b"\r\n{}")
    url, _ = listen(redirecting(status, f"{other}/models?by={KEY}"))
    monkeypatch.setenv("THE_KEY", KEY)
    with pytest.raises(PreFlightError) as caught:
        run_experiment(model="m", backend="openai", openai={"base_url": url, "api_key_env": "THE_KEY"})
    told = f"status {status}: it points to {other}/models?by=(the key): name that in base_url"
    assert str(caught.value) == f"openai.base_url: {told}"
    assert asked == []


SLOW = [(OK + b"X-Slow: ", *[b"x"] * 40), (OK + b"\r\n", *[b"x"] * 40), (*[b"HTTP/1.1 100 Continue\r\n\r\n"] * 40,), ()]


@pytest.mark.parametrize("pieces", SLOW, ids=["head", "body", "continue", "nothing"])
def test_a_server_that_drips_is_left_in_time(listen, pieces):
    url, _ = listen(*pieces or [b""], apart_s=0.1 if pieces else 5.0)
    began_s = time.monotonic()
    with pytest.raises(OSError, match=r"no answer within 0\.6 s"):
        get(url, None, timeout_s=TIMEOUT_S)
    assert TIMEOUT_S - 0.01 <= time.monotonic() - began_s < 2.0


def test_a_server_that_takes_no_connection_is_left_in_time():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(address)
            began_s = time.monotonic()
            with pytest.raises(OSError, match=r"no answer within 0\.6 s"):
                get(f"http://127.0.0.1:{address[1]}/v1", None, timeout_s=TIMEOUT_S)
    assert time.monotonic() - began_s < 2.0


def test_an_endless_answer_is_not_read_to_its_end(listen):
    url, _ = listen(OK + b"\r\n", *[b" " * 100_000] * 200)
    assert get(url, None).status == 200


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([b"SSH-2.0-OpenSSH_9.6\r\n"], "it does not speak HTTP"),
        ([b""], "Remote end closed connection without response"),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"], "it does not speak HTTP"),
    ],
)
def test_what_does_not_speak_http_is_reported(listen, pieces, reason):
    url, _ = listen(*pieces)
    assert reason in unreachable(url, None)


def test_a_host_that_is_not_known_is_reported():
    assert "its host is not known" in unreachable("http://no-such-host.invalid/v1", None)


def test_a_key_that_http_cannot_carry_is_not_quoted():
    with pytest.raises(OSError, match="holds a line break") as caught:
        get("http://127.0.0.1:1/v1", KEY + "\n")
    assert KEY not in str(caught.value)


def test_a_version_is_as_a_result_can_hold_it(listen):
    said = json.dumps({"version": f"1.2\x1b {KEY}" + "." * 5000})
    url, _ = listen(OK + b"\r\n" + said.encode())
    assert server_facts(url, "m", KEY).version == "1.2\ufffd (the key)" + "." * (199 - 14) + "…"


def test_the_models_that_a_server_lists_are_named_without_the_key_and_printable(listen):
    said = json.dumps(
        {"data": [{"id": f"m\x1b[2J {KEY}"}, {"id": "x" * 5000}, {"id": 5}, {"id": "\ud83d"}, "no model"]}
    )
    url, _ = listen(OK + b"\r\n" + said.encode())
    assert model_names(url, KEY) == ["m\ufffd[2J (the key)", "x" * 199 + "…", "\ufffd"]
