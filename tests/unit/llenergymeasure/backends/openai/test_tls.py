"""Servers that speak TLS: trusted, not trusted with the reason and the way out, and addressed by the wrong scheme."""

import contextlib
import os
import shutil
import socket
import threading

import pytest

from certificates import Certificates
from llenergymeasure.api import run_experiment
from llenergymeasure.backends.openai.client.http import Client
from llenergymeasure.backends.openai.client.probe import HealthCheck, unreachable
from llenergymeasure.backends.openai.client.request_body import RequestTemplate
from llenergymeasure.domain.requests import Request
from llenergymeasure.errors import BackendError, PreFlightError
from standins.scripted_server import DONE, ScriptedServer, counts, event, usage_event

pytestmark = [
    pytest.mark.usefixtures("small_heap"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates"),
]

ANSWER = [event(" tok"), event(" tok"), event(reason="stop"), usage_event(counts(5, 3)), DONE]
REASONS = {
    "itself": "certificate is signed by itself; to trust it, set SSL_CERT_FILE to a PEM file that holds it",
    "authority": "is of an authority that this machine does not know; to trust it, set SSL_CERT_FILE",
    "expired": "does not know, and it has expired; to trust it",
    "future": "the server's certificate is not valid yet; correct the clock",
    "other host": "the server's certificate is for another host than 127.0.0.1; name in base_url the host",
    "itself, other host": "certificate is signed by itself, and it is for another host than 127.0.0.1; to trust it",
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def serve(certificates):
    """The base URL of a server with this certificate (None: without TLS)."""
    with contextlib.ExitStack() as stack:

        def serve(name: str | None) -> str:
            tls = None if name is None else certificates.context(name)
            return stack.enter_context(ScriptedServer({"it": lambda asked: ANSWER}, tls)).url("it")

        yield serve


@pytest.fixture(autouse=True)
def own_authorities(monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)


def measure(url):
    return run_experiment(
        model="m",
        backend="openai",
        openai={"base_url": url},
        num_prompts=2,
        max_output_tokens=8,
        warmup={"iterations": 0},
        energy={"source": "none"},
    )


@pytest.mark.parametrize(
    ("served", "trusted"), [("itself", "itself"), ("authority", "root"), ("authority", "authority")]
)
def test_a_server_whose_certificate_is_named_in_ssl_cert_file_is_measured(
    serve, certificates, monkeypatch, served, trusted
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.path(trusted)))
    result = measure(serve(served))
    assert (result.output_tokens, result.request_failures) == (6, {})


@pytest.mark.parametrize("name", REASONS)
def test_a_certificate_that_is_not_trusted_is_refused_with_the_reason_and_the_way_out(
    serve, certificates, monkeypatch, name
):
    if name in ("future", "other host"):  # what is wrong with it is then not its authority
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.path("root")))
    url = serve(name)
    with pytest.raises(PreFlightError) as refused:
        measure(url)
    told = str(refused.value)
    assert told.startswith(f"openai.base_url: {url}: TLS fails: ")
    assert REASONS[name] in told
    assert "start the server" not in told
    with pytest.raises(BackendError, match="TLS fails: the server's certificate"):  # one that is launched
        HealthCheck(url).problem(5.0, 0)


def test_a_request_that_meets_another_certificate_than_the_probe_says_why(serve):
    import asyncio

    async def send():
        template = RequestTemplate(serve("itself"), "m")
        async with Client(template) as client:
            return await client.send(template.encode(Request(0, "Hi", None, 4)), 0.0)

    failure = asyncio.run(send()).failure
    assert failure.kind == "refused"
    assert REASONS["itself"] in failure.message


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("gone.pem", "which is not there: name the PEM file"),
        ("root", "does not hold it"),
        ("folder", "which is a directory: name"),
        ("pipe", "which is a named pipe: name"),
    ],
)
def test_what_is_the_matter_with_ssl_cert_file_is_said(serve, certificates, monkeypatch, tmp_path, named, words):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    os.mkdir("folder")
    named = str(certificates.path(named)) if named == "root" else named
    monkeypatch.setenv("SSL_CERT_FILE", named)
    told = unreachable(serve("itself"), None)
    assert f"SSL_CERT_FILE is {named}, " in told
    assert words in told


def test_a_server_without_tls_is_told_from_one_with_a_wrong_certificate(serve):
    url = serve(None)
    secure = url.replace("http:", "https:")
    assert unreachable(secure, None) == f"what answers at {secure} does not speak TLS: write base_url: {url}"


def test_a_server_with_tls_that_is_addressed_without_is_told(serve):
    url = serve("itself")
    plain = url.replace("https:", "http:")
    assert unreachable(plain, None) == f"what answers at {plain} speaks TLS: write base_url: {url}"


def test_a_gateway_that_answers_400_to_a_request_without_tls_is_told(certificates):
    """As nginx does, on the port of its TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            for _ in range(2):
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    if connection.recv(1, socket.MSG_PEEK) == b"G":
                        connection.recv(4096)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                    else:
                        certificates.context("itself").wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=answer)
        thread.start()
        told = unreachable(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", None)
        thread.join()
    assert "speaks TLS: write base_url: https://127.0.0.1:" in told
