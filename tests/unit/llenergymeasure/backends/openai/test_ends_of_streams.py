"""[DONE] ends an answer, whatever the server does with its connection afterwards."""

import asyncio
import itertools
import time

import pytest

from llenergymeasure.backends.openai.client.http import Client
from llenergymeasure.backends.openai.client.request_body import RequestTemplate
from llenergymeasure.backends.openai.load.token_times import answer_end_s
from llenergymeasure.domain.requests import Request
from standins.scripted_server import DONE, counts, event, sse, usage_event

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWER = event(" tok") + event(reason="stop") + usage_event(counts(2, 2)) + DONE
ERROR = event(" tok") + sse({"error": {"message": "out of memory"}})
LIMIT_S = 60.0
"""Seconds that a request may stall or take: a test that waited for one would fail for its own limit."""


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def ask(answers, requests=3):
    """Send `requests`, one by one, to a server that writes what `answers` yields of each; a number is a pause.

    Returns their records, how many connections were opened, how many streams left open, and the seconds for all.
    """
    opened = 0
    numbers = itertools.count()

    async def serve(reader, writer):
        nonlocal opened
        opened += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
                for piece in answers(next(numbers)):
                    if isinstance(piece, bytes):
                        writer.write(piece)
                        await writer.drain()
                    else:
                        await asyncio.sleep(piece)
        except (OSError, EOFError):
            writer.close()

    async def run():
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            template = RequestTemplate(url, "m", timeout_s=LIMIT_S, stall_s=LIMIT_S)
            bodies = [template.encode(Request(number, "Hi", None, 4)) for number in range(requests)]
            began_s = time.monotonic()
            async with Client(template) as client:
                served = [await client.send(body, time.monotonic()) for body in bodies]
                return served, opened, client.left_open, time.monotonic() - began_s

    return asyncio.run(asyncio.wait_for(run(), LIMIT_S / 2))


def goes_on_sending():
    for _ in itertools.count():
        yield chunk(b": ping\n\n")
        yield 0.01


@pytest.mark.parametrize("then", [lambda: iter([LIMIT_S]), goes_on_sending], ids=["left open", "goes on sending"])
@pytest.mark.parametrize(("answer", "failure"), [(ANSWER, None), (ERROR, "server_error")])
def test_a_stream_that_goes_on_behind_its_end_is_left_and_its_connection_is_not_used_again(
    monkeypatch, then, answer, failure
):
    monkeypatch.setattr("llenergymeasure.backends.openai.client.http.REST_S", 0.1)
    served, opened, left_open, took_s = ask(lambda _: itertools.chain([HEAD, chunk(answer)], then()))
    assert [each.failure and each.failure.kind for each in served] == [failure] * 3
    assert (opened, left_open) == (3, 3)
    assert took_s < LIMIT_S / 4  # the end of the first is waited for, no other's
    if answer is ANSWER:
        assert {each.answer.counts.output_tokens for each in served} == {2}
        assert all(answer_end_s(each) == each.answer.finished_s for each in served)


def test_a_stream_whose_end_comes_in_a_packet_of_its_own_keeps_its_connection():
    served, opened, left_open, _ = ask(lambda _: [HEAD, chunk(ANSWER), 0.02, b"0\r\n\r\n"])
    assert [each.failure for each in served] == [None] * 3
    assert (opened, left_open) == (1, 0)


def test_counts_that_a_gateway_sends_behind_the_end_are_read_in_a_packet_of_their_own_too():
    text = event(" tok") + event(reason="stop") + DONE
    served, opened, _, _ = ask(lambda _: [HEAD, chunk(text), 0.02, chunk(usage_event(counts(2, 7))), b"0\r\n\r\n"])
    assert [each.answer.counts.output_tokens for each in served] == [7] * 3
    assert opened == 1


def test_what_comes_on_a_connection_behind_an_answer_is_no_part_of_the_next():
    stale = HEAD + chunk(event(" old") + event(reason="stop")) + b"0\r\n\r\n"
    served, opened, _, _ = ask(
        lambda number: [HEAD, chunk(event(f" {number}") + event(reason="stop") + DONE), b"0\r\n\r\n" + stale]
    )
    assert [each.answer.chunk_texts for each in served] == [(" 0",), (" 1",), (" 2",)]
    assert opened == 3
