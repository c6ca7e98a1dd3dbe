"""Loads: when requests are sent, when no more are, and what becomes of those in flight."""

import asyncio
import functools
import itertools
import signal
import socket
import statistics
import subprocess
import sys

import pytest

from llenergymeasure.backends.openai.client.http import Client
from llenergymeasure.backends.openai.client.records import Answer, ServedRequest
from llenergymeasure.backends.openai.client.request_body import RequestBody, RequestTemplate
from llenergymeasure.backends.openai.load.arrivals import ClosedLoop, OpenLoop, StopRule
from llenergymeasure.backends.openai.load.driver import REST_S, drive
from llenergymeasure.domain.requests import Request
from standins.streaming_server import StreamingServer

pytestmark = pytest.mark.usefixtures("small_heap")

NOTHING = Answer((), (), (), "stop", None, True, None)


@pytest.fixture(scope="module")
def server():
    with StreamingServer() as server:
        yield server


@pytest.fixture
def load(server):
    """Drive a load whose requests are answered to a plan: the records, in the order of their ends, and the span."""

    def load(strategy, stop, *, root=None, **plan):
        template = RequestTemplate(root or server.url, "stand-in", extra_body={"standin": plan})
        bodies = (template.encode(Request(index, "Hi", None, 8)) for index in itertools.count())
        served = []

        async def run():
            async with Client(template) as client:
                return await drive(client, bodies, strategy, stop, served.append)

        return served, asyncio.run(run())

    return load


def in_flight(served):
    """Return how many requests were in flight after each sending and each end."""
    steps = [(each.sent_s, 1) for each in served] + [(each.end_s, -1) for each in served]
    return list(itertools.accumulate(step for _, step in sorted(steps)))


class FakeClient:
    """Answers after a while on a clock of its own; counts those in flight, and notes each sending and each end."""

    def __init__(self, latency_s):
        self.latency_s = latency_s
        self.now = self.most = 0
        self.steps = []

    async def send(self, body, due_s):
        loop = asyncio.get_running_loop()
        self.now += 1
        self.most = max(self.most, self.now)
        self.steps.append("sent")
        sent_s = loop.time()
        await asyncio.sleep(self.latency_s(body.index))
        self.now -= 1
        self.steps.append("ended")
        return ServedRequest(body.index, due_s, sent_s, loop.time(), NOTHING)


def test_a_closed_loop_keeps_its_concurrency_and_never_exceeds_it():
    client, served = FakeClient(lambda index: 0.001 * (index % 7)), []
    bodies = (RequestBody(index, b"") for index in range(300))
    asyncio.run(drive(client, bodies, ClosedLoop(8), StopRule(requests=200), served.append))
    assert client.most == 8
    assert sorted(each.index for each in served) == list(range(200))
    before_the_last = in_flight(served)[8:-16]
    assert min(before_the_last) >= 7


def test_a_closed_loop_refills_at_once_and_before_anything_else_ends(load):
    client = FakeClient(lambda index: 0.001 * (index % 3))
    bodies = (RequestBody(index, b"") for index in range(50))
    asyncio.run(drive(client, bodies, ClosedLoop(5), StopRule(), lambda each: None))
    assert client.steps == ["sent"] * 5 + ["ended", "sent"] * 45 + ["ended"] * 5
    served, _ = load(ClosedLoop(5), StopRule(requests=50), ttft_s=0.01, tokens=2)
    assert max(in_flight(served)) == 5
    ends = {each.end_s for each in served}
    assert sum(each.due_s in ends and each.lateness_s >= 0 for each in served) == 45


def test_constant_arrivals_are_evenly_spaced():
    assert list(itertools.islice(OpenLoop(200.0, "constant").due_times_s(), 4)) == [0.0, 0.005, 0.01, 0.015]


def test_poisson_arrivals_have_the_rate_the_spread_and_the_seed():
    due_s = list(itertools.islice(OpenLoop(50.0, seed=3).due_times_s(), 20_000))
    gaps_s = [after - before for before, after in itertools.pairwise([0.0, *due_s])]
    assert statistics.mean(gaps_s) == pytest.approx(1 / 50, rel=0.03)
    assert statistics.stdev(gaps_s) == pytest.approx(1 / 50, rel=0.05)
    assert min(gaps_s) >= 0
    assert due_s == list(itertools.islice(OpenLoop(50.0, seed=3).due_times_s(), 20_000))
    assert due_s[:9] != list(itertools.islice(OpenLoop(50.0, seed=4).due_times_s(), 9))


@pytest.mark.parametrize("arrival", ["poisson", "constant"])
def test_an_open_loop_sends_on_time_however_slow_the_server_is(load, arrival):
    strategy = OpenLoop(200.0, arrival, seed=1)
    served, span = load(strategy, StopRule(requests=60), ttft_s=0.5, tokens=1)
    planned = list(itertools.islice(strategy.due_times_s(), 60))
    due_s = sorted(each.due_s - span.opened_s for each in served)
    assert due_s == pytest.approx(planned, abs=1e-6)
    assert max(in_flight(served)) > 30
    assert all(each.sent_s >= each.due_s for each in served)
    assert statistics.median(each.lateness_s for each in served) < 0.25  # it has waited for no answer


def test_a_load_ends_after_its_number_of_requests_or_when_there_are_no_more(load):
    served, span = load(ClosedLoop(3), StopRule(requests=7))
    assert len(served) == 7
    assert not any(each.drained for each in served)
    assert span.closed_s == span.drained_s >= max(each.end_s for each in served)
    client, served = FakeClient(lambda index: 0), []
    for strategy in (ClosedLoop(2), OpenLoop(1e6)):
        asyncio.run(
            drive(client, [RequestBody(0, b""), RequestBody(1, b"")], strategy, StopRule(requests=5), served.append)
        )
    assert len(served) == 4


@pytest.mark.parametrize("strategy", [ClosedLoop(4), OpenLoop(40.0, "constant")])
def test_after_the_duration_nothing_is_sent_and_what_is_in_flight_is_drained_and_marked(load, strategy):
    served, span = load(strategy, StopRule(duration_s=0.35), ttft_s=0.1, tokens=1)
    assert span.closed_s - span.opened_s == pytest.approx(0.35)
    assert span.drained_s >= span.closed_s
    assert all(each.due_s < span.closed_s for each in served)
    assert [each.drained for each in served] == [each.end_s > span.closed_s for each in served]
    assert any(each.drained for each in served)
    assert all(each.failure is None for each in served)


def test_a_drain_has_a_limit_and_what_exceeds_it_is_cancelled(load):
    served, span = load(ClosedLoop(3), StopRule(duration_s=0.1, drain_s=0.1), ttft_s=60.0)
    assert [(each.failure.kind, each.drained) for each in served] == [("cancelled", True)] * 3
    assert span.drained_s - span.opened_s < 10


def test_the_first_of_two_stop_rules_stops(load):
    served, span = load(ClosedLoop(2), StopRule(requests=4, duration_s=60.0))
    assert len(served) == 4
    assert span.closed_s == span.drained_s < span.opened_s + 60.0


def test_a_server_that_refuses_is_not_hammered(load):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    served, span = load(ClosedLoop(2), StopRule(duration_s=0.5), root=f"http://127.0.0.1:{port}/v1")
    assert {each.failure.kind for each in served} == {"refused"}
    assert len(served) <= 2 * (1 + (span.drained_s - span.opened_s) / REST_S)


def test_cancelling_a_load_hands_over_what_was_finished_and_what_was_in_flight(server):
    template = RequestTemplate(server.url, "m", extra_body={"standin": {"ttft_s": 0.02, "tokens": 1}})
    endless = RequestTemplate(server.url, "m", extra_body={"standin": {"ttft_s": 60.0}})
    request = Request(0, "Hi", None, 8)
    bodies = itertools.chain([template.encode(request)] * 20, itertools.repeat(endless.encode(request)))
    served = []

    async def run():
        def finished(each):
            served.append(each)
            if len(served) == 20:
                task.cancel()

        async with Client(template) as client:
            task = asyncio.create_task(drive(client, bodies, ClosedLoop(4), StopRule(), finished))
            await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    kinds = [each.failure and each.failure.kind for each in served]
    assert kinds[:20] == [None] * 20
    assert kinds[20:] == ["cancelled"] * (len(kinds) - 20)
    assert 3 <= len(kinds) - 20 <= 4


INTERRUPTED = """
import asyncio, itertools, sys
from llenergymeasure.backends.openai.load.arrivals import ClosedLoop, StopRule
from llenergymeasure.backends.openai.client.http import Client, RequestTemplate
from llenergymeasure.backends.openai.load.driver import drive
from llenergymeasure.domain.requests import Request

template = RequestTemplate(sys.argv[1], "m", extra_body={"standin": {"itl_s": 0.01}})
served = []

def finished(each):
    served.append(each)
    if len(served) == 10:
        print("ten", flush=True)

async def run():
    bodies = itertools.repeat(template.encode(Request(0, "Hi", None, 8)))
    async with Client(template) as client:
        await drive(client, bodies, ClosedLoop(4), StopRule(), finished)

try:
    asyncio.run(run())
except KeyboardInterrupt:
    print(sum(each.failure is None for each in served), sum(each.failure is not None for each in served))
"""


def test_ctrl_c_keeps_what_was_finished(server):
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, server.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in a shell's background has SIGINT ignored, and its children would too.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler),
    )
    assert child.stdout.readline() == "ten\n"
    child.send_signal(signal.SIGINT)
    out, errors = child.communicate(timeout=20)
    finished, cancelled = map(int, out.split())
    assert finished >= 10
    assert cancelled <= 4
    assert errors == ""


def test_a_thousand_streams_are_in_flight_at_once(load):
    served, _ = load(ClosedLoop(1000), StopRule(requests=1000), ttft_s=3.0, itl_s=0.1, tokens=5)
    assert len(served) == 1000
    assert {each.failure for each in served} == {None}
    assert max(in_flight(served)) == 1000
    assert all(each.answer.counts.output_tokens == len(each.answer.chunk_texts) for each in served)
