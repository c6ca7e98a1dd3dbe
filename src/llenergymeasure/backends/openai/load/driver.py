"""A load on a server: requests sent as a strategy wants it, until a rule stops it."""

import asyncio
import contextlib
import gc
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from llenergymeasure.backends.openai.client.http import Client
from llenergymeasure.backends.openai.client.records import ServedRequest
from llenergymeasure.backends.openai.client.request_body import RequestBody
from llenergymeasure.backends.openai.load.arrivals import ClosedLoop, OpenLoop, StopRule

REST_S = 0.1  # after a failure: a server that refuses would be asked, and refuse, thousands of times per second
COLLECT_EVERY = 50_000  # objects


@dataclass(frozen=True)
class LoadSpan:
    """The times when a load began, when the last request could be sent, and when the last answer had ended.

    `closed_s` is the end of the duration; of a load that ended before it, or has none, the end of its last answer.
    """

    opened_s: float
    closed_s: float
    drained_s: float


async def drive(
    client: Client,
    bodies: Iterable[RequestBody],
    strategy: ClosedLoop | OpenLoop,
    stop: StopRule,
    finished: Callable[[ServedRequest], None],
) -> LoadSpan:
    """Send the bodies, in their order, and hand each record to `finished` as soon as it is there.

    A warm-up is a load of its own before, through the same client, whose connections it opens. Requests that the end
    of the duration finds in flight are marked as drained, and cancelled when they take longer than `drain_s`.
    When this is cancelled, by Ctrl-C too, the requests in flight end as `cancelled` and are handed over before
    CancelledError goes on.

    Raises:
        ExceptionGroup: what `finished` has raised, or taking the next body; a request's own failure never does.
    """
    with _rare_collections():
        opened_s = time.monotonic()
        closes_s = None if stop.duration_s is None else opened_s + stop.duration_s
        load = _Load(client, itertools.islice(bodies, stop.requests), closes_s, finished)
        with contextlib.suppress(TimeoutError):  # of the drain
            async with (
                asyncio.timeout_at(None if closes_s is None else closes_s + stop.drain_s),
                asyncio.TaskGroup() as group,
            ):
                if isinstance(strategy, ClosedLoop):
                    for _ in range(strategy.concurrency):
                        group.create_task(load.keep_sending(opened_s))
                else:
                    await load.send_when_due(opened_s, strategy.due_times_s(), group)
        drained_s = time.monotonic()
    return LoadSpan(opened_s, drained_s if closes_s is None else min(closes_s, drained_s), drained_s)


@dataclass
class _Load:
    client: Client
    bodies: Iterator[RequestBody]
    closes_s: float | None
    finished: Callable[[ServedRequest], None]

    async def keep_sending(self, due_s: float) -> None:
        """Send one request after another, each due when the one before has ended."""
        while (body := self._next_body()) is not None:
            served = await self._send(body, due_s)
            if _is_cancelled():
                return
            due_s = served.end_s
            if served.failure is not None:
                due_s += REST_S
                await asyncio.sleep(REST_S)

    async def send_when_due(self, opened_s: float, due_times_s: Iterator[float], group: asyncio.TaskGroup) -> None:
        """Send each request at its time, those that are late at once."""
        for due_s in (opened_s + after_s for after_s in due_times_s):
            if self.closes_s is not None and due_s >= self.closes_s:
                await asyncio.sleep(max(0.0, self.closes_s - time.monotonic()))
                return
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            body = self._next_body()
            if body is None:
                return
            group.create_task(self._send(body, due_s))

    def _next_body(self) -> RequestBody | None:
        if self.closes_s is not None and time.monotonic() >= self.closes_s:
            return None
        return next(self.bodies, None)

    async def _send(self, body: RequestBody, due_s: float) -> ServedRequest:
        served = await self.client.send(body, due_s)
        if self.closes_s is not None and served.end_s > self.closes_s:
            served = replace(served, drained=True)
        self.finished(served)
        return served


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@contextlib.contextmanager
def _rare_collections() -> Iterator[None]:
    """Collect garbage seldom, and none older than the load: at 2,000 requests/s it would take a fifth of the time."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
