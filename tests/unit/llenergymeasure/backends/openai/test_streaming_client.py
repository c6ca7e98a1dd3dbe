"""Requests to a server in another process: the times and counts that it knows, and every way of failing."""

import asyncio
import contextlib
import hashlib
import json
import os
import pickle
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import time

import numpy as np
import pytest

from llenergymeasure.backends.openai.client.http import Client
from llenergymeasure.backends.openai.client.records import Failure, ServerCounts
from llenergymeasure.backends.openai.client.request_body import RequestTemplate
from llenergymeasure.backends.openai.client.responses import AnswerReader
from llenergymeasure.backends.openai.client.timestamped_sockets import TimedSocket, TimedSockets
from llenergymeasure.domain.requests import Request
from llenergymeasure.errors import ConfigError
from standins.streaming_server import StreamingServer, written_s

KEY = "sk-test-4b1d0c77aa"
MS = 1e-3


@pytest.fixture(scope="module")
def server():
    with StreamingServer() as server:
        yield server


@pytest.fixture
def send(server):
    """Send requests, answered to a plan, at once; their records."""

    def send(*, at_once=1, key=None, template=None, busy_s=0.0, **plan):
        template = template or RequestTemplate(
            server.url, "stand-in", timeout_s=20.0, stall_s=10.0, extra_body={"standin": plan}
        )
        body = template.encode(Request(3, "Two words", None, 8))

        async def run():
            async with Client(template, key) as client:
                busy = asyncio.create_task(hold_the_loop(busy_s))
                served = await asyncio.gather(*(client.send(body, time.monotonic()) for _ in range(at_once)))
                await busy
                return served

        served = asyncio.run(run())
        return served if at_once > 1 else served[0]

    return send


async def hold_the_loop(seconds):
    """Keep the loop from everything else, again and again, as garbage collection or much work does."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        until_s = time.monotonic() + 0.02
        while time.monotonic() < until_s:
            pass
        await asyncio.sleep(0.005)


def clock_errors_s(served):
    """Return how much later than the server wrote it each chunk has its time."""
    written = [written_s(text)[0] for text in served.answer.chunk_texts]
    return [read - wrote for read, wrote in zip(served.answer.chunk_times_s, written, strict=True)]


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_a_servers_known_times_and_counts_come_back_within_a_millisecond(server, send, endpoint):
    plan = {"ttft_s": 0.1, "itl_s": 0.02, "tokens": 10, "jitter_s": 0.01, "seed": 7}
    served = send(
        at_once=20, template=RequestTemplate(server.url, "stand-in", endpoint=endpoint, extra_body={"standin": plan})
    )
    ttft_errors_s, itl_errors_s = [], []
    for each in served:
        assert each.failure is None
        assert each.answer.counts.output_tokens == len(each.answer.chunk_times_s) == 10
        written = [written_s(text)[0] for text in each.answer.chunk_texts]
        ttft_errors_s.append(each.ttft_s - (written[0] - each.sent_s))
        itl_errors_s.extend(np.abs(np.diff(each.answer.chunk_times_s) - np.diff(written)))
    assert abs(statistics.median(ttft_errors_s)) < MS
    assert statistics.median(itl_errors_s) < MS


def test_a_planned_ttft_and_itl_come_back_as_planned(send):
    served = send(at_once=10, ttft_s=0.1, itl_s=0.02, tokens=10)
    for each in served:
        after_s = np.subtract(each.answer.chunk_times_s, each.sent_s)
        assert len(after_s) == 10
        assert min(after_s - (0.1 + 0.02 * np.arange(10))) >= -MS  # a busy server may be late, and never early


def test_a_busy_loop_does_not_move_the_times(send):
    served = send(busy_s=0.6, ttft_s=0.05, itl_s=0.05, tokens=10)
    assert served.failure is None
    assert statistics.median(clock_errors_s(served)) < MS


def test_where_the_kernel_does_not_stamp_bytes_have_arrived_when_they_are_read(send, monkeypatch):
    monkeypatch.setattr(TimedSocket, "stamp_arrivals", lambda self: None)
    served = send(ttft_s=0.05, itl_s=0.02, tokens=5)
    assert served.failure is None
    assert all(0 <= error_s < 1 for error_s in clock_errors_s(served))


@pytest.mark.parametrize("set_by_s", [3600, -3600])
def test_a_wall_clock_that_is_set_between_arrival_and_reading_leaves_the_times_in_order(monkeypatch, set_by_s):
    wall_ns = time.time_ns
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:
        sock = stack.enter_context(TimedSockets().make((socket.AF_INET, socket.SOCK_STREAM, 0)))
        sock.setblocking(True)
        sock.connect(listener.getsockname())
        peer = stack.enter_context(listener.accept()[0])
        times_s = [time.monotonic()]
        for clock in (wall_ns, lambda: wall_ns() + set_by_s * 1_000_000_000):
            sock.send(b"?")
            times_s.append(sock.sent_s)
            monkeypatch.setattr("time.time_ns", clock)
            for _ in range(2):
                peer.send(b"!")
                sock.recv(1)
                times_s.append(sock.arrived_s)
    times_s.append(time.monotonic())
    assert times_s == sorted(times_s)


TLS_CLIENT = """
import asyncio, sys
from llenergymeasure.backends.openai.client.http import Client
from llenergymeasure.backends.openai.client.request_body import RequestTemplate
from llenergymeasure.domain.requests import Request

async def run():
    template = RequestTemplate(sys.argv[1], "m")
    async with Client(template) as client:
        served = await client.send(template.encode(Request(0, "Hi", None, 4)), 0.0)
    if served.failure is not None:
        sys.exit(f"{served.failure.kind}: {served.failure.message}")
    print(served.answer.chunk_times_s[0] - float(served.answer.chunk_texts[0]))

asyncio.run(run())
"""


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_over_tls_the_times_are_kept_and_an_unknown_certificate_is_refused(tmp_path):
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*make.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def answer(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"}")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
            said = {"delta": {"content": f"{time.monotonic():.9f}"}, "finish_reason": "stop"}
            writer.write(f"data: {json.dumps({'choices': [said]})}\n\n".encode())
            writer.close()

    async def ask(port, **environment):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", TLS_CLIENT, f"https://127.0.0.1:{port}/v1"),
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return [part.decode() for part in await child.communicate()]

    async def run():
        async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            return await ask(port, SSL_CERT_FILE=str(certificate)), await ask(port)

    (error_s, complaint), (nothing, refusal) = asyncio.run(run())
    assert complaint == nothing == ""
    assert 0 <= float(error_s) < 0.1
    assert refusal.startswith("refused: no connection to 127.0.0.1:")
    assert "(TLS fails: the server's certificate is signed by itself; " in refusal


@pytest.mark.parametrize("counts", ["usage", "token_ids", "logprobs"])
def test_the_tokens_of_each_chunk_come_back(send, counts):
    served = send(tokens=7, tokens_a_chunk=3, counts=counts)
    assert served.answer.chunk_tokens == (3, 3, 1)
    assert served.answer.counts.output_tokens == 7


def test_a_server_without_usage_leaves_it_none(send):
    answer = send(usage=False).answer
    assert (answer.counts, answer.failure) == (ServerCounts(), None)


def test_events_that_packets_cut_are_whole_again(send):
    stream = 'data: {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\n'
    served = send(events=[*stream[:-2], "\n", "\ndata: [DO", "NE]\n\n"], itl_s=0.0005)
    assert (served.answer.chunk_texts, served.failure) == (("Hi",), None)


def test_an_answer_in_one_piece_has_a_time_and_is_no_stream(send):
    whole = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
    served = send(events=[json.dumps(whole)], content_type="application/json", ttft_s=0.02)
    assert (served.answer.chunk_texts, served.answer.streamed, served.failure) == (("Hi",), False, None)
    assert served.ttft_s >= 0.02


def test_connections_are_used_again(server):
    template = RequestTemplate(server.url, "stand-in")
    body = template.encode(Request(0, "Hi", None, 4))

    async def run():
        async with Client(template) as client:
            made = []
            make, client._sockets.make = client._sockets.make, lambda address: made.append(1) or make(address)
            for _ in range(5):
                assert (await client.send(body, 0.0)).failure is None
            return made

    assert len(asyncio.run(run())) <= 1


SAID = 'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n'
FAILURES = [
    ("http_429", {"status": 429, "events": ['{"error": {"message": "slow down"}}']}, "status 429: slow down"),
    ("http_4xx", {"status": 404, "events": ['{"detail": "no such model"}']}, "status 404: no such model"),
    ("http_4xx", {"status": 400, "events": ["x" * 9999]}, "status 400: xxx"),
    ("http_5xx", {"status": 503, "events": ["<html>busy</html>"]}, "status 503: <html>busy</html>"),
    ("http_5xx", {"status": 500, "events": ["{"], "ending": "reset"}, "status 500"),
    ("malformed", {"status": 307, "headers": {"Location": "/v2"}, "events": []}, "points to /v2"),
    ("cut", {"tokens": 9, "stop_after": 3, "ending": "close"}, "the connection was closed in midst of the answer"),
    ("cut", {"tokens": 9, "stop_after": 3, "ending": "reset"}, "the connection was closed in midst of the answer"),
    ("cut", {"tokens": 9, "stop_after": 3, "ending": "end"}, "before it was finished"),
    ("cut", {"ending": "vanish"}, "the connection was closed before an answer"),
    ("malformed", {"events": [SAID, "data: nonsense\n\n"]}, "nonsense"),
    ("malformed", {"events": ["<html>It works</html>"]}, "It works"),
    ("server_error", {"events": [SAID, 'data: {"error": {"message": "out of memory"}}\n\n']}, "out of memory"),
]


@pytest.mark.parametrize(("kind", "plan", "words"), FAILURES)
def test_a_failed_request_is_a_record_with_its_kind_and_the_servers_words(send, kind, plan, words):
    served = send(**plan)
    assert served.failure.kind == kind
    assert words in served.failure.message
    assert len(served.failure.message) < 500
    assert (served.index, served.answer.counts) == (3, ServerCounts())
    assert served.due_s <= served.sent_s <= served.end_s


@pytest.mark.parametrize(
    ("head", "kind", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\ndata: ", "malformed", "more than 16 MiB"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"choices": "', "malformed", "more than 16 MiB"),
        (b'HTTP/1.1 500 Oh\r\n\r\n{"error": "', "http_5xx", 'status 500: {"error": "yyy'),
    ],
    ids=["event", "json", "refusal"],
)
def test_an_answer_without_end_is_left_and_its_connection_closed(head, kind, words):
    sent = 0

    async def answer(reader, writer):
        nonlocal sent
        await reader.readuntil(b"}")
        writer.write(head)
        with contextlib.suppress(ConnectionError):
            while sent < 100_000_000:
                writer.write(b"y" * 65_536)
                sent += 65_536
                await writer.drain()
        writer.close()

    async def run():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
            template = RequestTemplate(f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}/v1", "m", timeout_s=20.0)
            async with Client(template) as client:
                served = await client.send(template.encode(Request(0, "Hi", None, 4)), 0.0)
                await asyncio.sleep(0.1)
                return served

    served = asyncio.run(run())
    assert served.failure.kind == kind
    assert words in served.failure.message
    assert sent < (40_000_000 if kind == "malformed" else 20_000_000)


def test_the_text_of_a_cut_stream_is_kept(send):
    served = send(tokens=9, stop_after=3, ending="reset", itl_s=0.01)
    assert len(served.answer.chunk_times_s) == 3


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_server_that_is_not_there_is_refused(send, host):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    failure = send(template=RequestTemplate(f"http://{host}:{port}/v1", "m")).failure
    assert failure.kind == "refused"
    assert re.fullmatch(rf"no connection to {re.escape(host)}:{port} \([A-Z][a-z ]+\)", failure.message)


def test_a_host_that_is_not_known_is_refused(send):
    failure = send(template=RequestTemplate("http://no-such-host.invalid:8000/v1", "m")).failure
    assert failure == Failure("refused", "no connection to no-such-host.invalid:8000 (its host is not known)")


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "malformed", "the answer is not valid HTTP ("),
        (b"HTTP/1.1 200 OK\r\nX: " + KEY.encode() * 600 + b"\r\n\r\n", "malformed", "the answer is not valid HTTP ("),
        (b"HTTP/1.1 200 OK\r\nX: " + KEY.encode(), "cut", "the connection was closed before an answer"),
    ],
    ids=["another_protocol", "long_header", "half_a_header"],
)
def test_an_answer_that_is_not_http_is_reported_without_its_bytes(answer, kind, words):
    async def serve(reader, writer):
        await reader.readuntil(b"}")
        writer.write(answer)
        writer.close()

    async def run():
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as other:
            template = RequestTemplate(f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}/v1", "m", timeout_s=10.0)
            async with Client(template, KEY) as client:
                return await client.send(template.encode(Request(0, "Hi", None, 4)), 0.0)

    failure = asyncio.run(run()).failure
    assert failure.kind == kind
    assert failure.message.startswith(words)
    assert KEY[:7] not in failure.message


@pytest.mark.parametrize(("plan", "chunks"), [({"ending": "mute"}, 0), ({"stop_after": 3, "ending": "hang"}, 3)])
@pytest.mark.parametrize(("kind", "limits"), [("stalled", {"stall_s": 0.2}), ("timeout", {"timeout_s": 0.2})])
def test_a_server_that_falls_silent_is_left(server, send, plan, chunks, kind, limits):
    served = send(template=RequestTemplate(server.url, "m", extra_body={"standin": plan}, **limits))
    assert served.failure.kind == kind
    assert "0.2 s" in served.failure.message
    assert len(served.answer.chunk_times_s) == chunks
    assert served.end_s - served.due_s >= 0.2


def test_a_slow_stream_that_never_falls_silent_is_no_stall(server, send):
    plan = {"tokens": 10, "itl_s": 0.1}
    assert send(template=RequestTemplate(server.url, "m", stall_s=0.5, extra_body={"standin": plan})).failure is None


def test_a_whole_answer_is_whole_though_the_server_forgets_to_end_it(server, send):
    served = send(template=RequestTemplate(server.url, "m", stall_s=0.2, extra_body={"standin": {"ending": "hang"}}))
    assert served.failure is None


def test_cancelling_gives_a_record_of_what_had_come(server, monkeypatch):
    template = RequestTemplate(server.url, "m", extra_body={"standin": {"stop_after": 3, "ending": "hang"}})

    class Watched(AnswerReader):
        def feed(self, at_s, piece):
            super().feed(at_s, piece)
            if len(self.answer(None).chunk_times_s) == 3:
                task.cancel()

    monkeypatch.setattr("llenergymeasure.backends.openai.client.http.AnswerReader", Watched)

    async def run():
        nonlocal task
        async with Client(template) as client:
            task = asyncio.create_task(client.send(template.encode(Request(0, "Hi", None, 4)), 0.0))
            return await task

    task = None
    served = asyncio.run(run())
    assert (served.failure.kind, len(served.answer.chunk_times_s)) == ("cancelled", 3)


def test_the_key_reaches_the_server_and_stands_nowhere_else(send, caplog, recwarn):
    caplog.set_level(0)
    refusal = {"error": {"message": f"Incorrect API key: {KEY}"}}
    seen = [
        send(key=KEY, status=401, events=[json.dumps(refusal)]),
        send(key=KEY, events=["data: " + json.dumps(refusal) + "\n\n"]),
        send(key=KEY, events=[f"data: {KEY}\n\n"]),
        send(key=KEY, events=[KEY]),
        send(key=KEY),
        send(key=KEY, template=RequestTemplate("http://127.0.0.1:1/v1", "m")),
    ]
    assert [each.failure is None for each in seen] == [False, False, False, False, True, False]
    assert "(the key)" in seen[0].failure.message
    everything = pickle.dumps(seen) + repr(seen).encode() + caplog.text.encode()
    assert KEY.encode() not in everything + " ".join(str(each.message) for each in recwarn).encode()
    assert send(key=KEY, wants_sha256=hashlib.sha256(KEY.encode()).hexdigest()).failure is None
    assert send(key="another", wants_sha256=hashlib.sha256(KEY.encode()).hexdigest()).failure.kind == "http_4xx"


ECHOES = {
    "refusal": lambda words: {"status": 401, "events": [json.dumps({"error": {"message": words}})]},
    "refusal_in_text": lambda words: {"status": 401, "events": [words]},
    "refusal_in_another_shape": lambda words: {"status": 422, "events": [json.dumps({"error": [{"input": words}]})]},
    "redirection": lambda words: {"status": 302, "headers": {"Location": words}, "events": []},
    "error_event": lambda words: {"events": [f"data: {json.dumps({'error': {'message': words}})}\n\n"]},
    "error_event_in_text": lambda words: {"events": [f"event: error\ndata: {words}\n\n"]},
    "malformed_event": lambda words: {"events": [f"data: {words}\n\n"]},
    "malformed_json": lambda words: {"events": [f"data: {json.dumps({'choices': words})}\n\n"]},
    "no_event": lambda words: {"events": [words]},
}


@pytest.mark.parametrize("key", [KEY, 'sk-"quoted\\"-4b1d0c77', f" {KEY} "], ids=["plain", "quotes", "spaces"])
@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_no_part_of_a_key_that_the_end_of_a_message_divides_is_shown(send, echo, key):
    sent = key.strip()
    for before in (*range(160, 206, 3), 4090, 65_530):  # a message's end, that of an answer's start, that of a refusal
        if echo is ECHOES["redirection"] and before > 4000:
            continue  # more than a header may have
        served = send(key=key, **echo(f"{sent} " * (before // 25) + "." * (before % 25) + f" {sent} " * 3))
        assert served.failure is not None
        assert sent[:5] not in served.failure.message
        assert "(the key)" in served.failure.message
        assert len(served.failure.message) < 300


def test_a_key_that_http_cannot_carry_is_refused_before_anything_is_sent():
    with pytest.raises(ConfigError, match="line break") as raised:
        Client(RequestTemplate("http://127.0.0.1:1/v1", "m"), KEY + "\n")
    assert KEY not in str(raised.value)


def test_the_body_has_the_fields_that_the_endpoint_takes():
    chat = RequestTemplate("http://x/v1/", "m", extra_body={"temperature": 0})
    asked = json.loads(chat.encode(Request(0, "Hi", None, 4)).data)
    assert asked["messages"] == [{"role": "user", "content": "Hi"}]
    assert (asked["max_tokens"], asked["temperature"], asked["stream_options"]) == (4, 0, {"include_usage": True})
    assert "ignore_eos" not in asked
    completions = RequestTemplate("http://x/v1", "m", endpoint="completions")
    asked = json.loads(completions.encode(Request(0, None, (5, 6), 4, ignore_eos=True)).data)
    assert (asked["prompt"], asked["ignore_eos"]) == ([5, 6], True)
    assert (chat.url, completions.url) == ("http://x/v1/chat/completions", "http://x/v1/completions")
    with pytest.raises(ConfigError, match="endpoint: completions"):
        chat.encode(Request(0, None, (5, 6), 4))
