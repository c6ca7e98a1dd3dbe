"""One request to a server, streamed, with the time of everything that comes back."""

import asyncio
import resource
import time
from collections import Counter
from types import TracebackType
from typing import Self, cast

import aiohttp
from aiohttp.connector import Connection

from labledger.redaction import Redactor, key_problem, redactor
from labledger.tls import trusted
from llenergymeasure.backends.openai.client.failures import connection_failure, refusal
from llenergymeasure.backends.openai.client.records import Failure, FailureKind, ServedRequest
from llenergymeasure.backends.openai.client.refused_fields import is_refusal, named_fields
from llenergymeasure.backends.openai.client.request_body import RequestBody, RequestTemplate
from llenergymeasure.backends.openai.client.responses import AnswerReader
from llenergymeasure.backends.openai.client.timestamped_sockets import TimedSocket, TimedSockets
from llenergymeasure.errors import ConfigError

IDLE_CONNECTION_S = 4.0  # shorter than servers keep one (5 s is common), so that no request meets a closing connection
ENOUGH_SOCKETS = 65_536
REST_S = 0.5
"""Seconds to wait, behind [DONE], for the end of a stream: a server that ends it does so with it or at once."""

DECODED = ("identity", "", "gzip", "deflate", "br", "zstd")  # none is asked for; some gateways compress all the same


class Client:
    """Sends to one server, with as many connections as there are requests in flight; an async context manager.

    The key is sent to the server and is in no record and no message; nor are the others that `keys` hides. `resent`
    counts the requests that were sent again without fields that the server had refused, by these; `refusals` are
    the first of each. `left_open` counts the streams that the server did not end behind [DONE].

    Raises:
        ConfigError: the key has a character that HTTP cannot carry.
        RuntimeError: entered in another event loop than asyncio's own, which would not use its timed sockets.
    """

    def __init__(self, template: RequestTemplate, api_key: str | None = None, keys: Redactor | None = None) -> None:
        if api_key and (problem := key_problem(api_key)):
            raise ConfigError(problem)
        self._template = template
        self._key = api_key
        self._keys = keys or redactor(api_key)
        self._sockets = TimedSockets()
        self.resent: Counter[tuple[str, ...]] = Counter()
        self.refusals: dict[tuple[str, ...], Failure] = {}
        self.left_open = 0
        self._rest_s = REST_S

    async def __aenter__(self) -> Self:
        if not isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
            raise RuntimeError("the times of requests need asyncio's own event loop")
        _allow_many_sockets()
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}  # compressed, chunks would wait
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                ttl_dns_cache=None,
                keepalive_timeout=IDLE_CONNECTION_S,
                socket_factory=self._sockets.make,
                ssl=trusted() if self._template.base_url.startswith("https:") else True,
            ),
            response_class=_Response,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None),  # see _Watchdog
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def send(self, body: RequestBody, due_s: float) -> ServedRequest:
        """Send one request that was due at `due_s`, and give its record when it has ended, in whatever way.

        A failure does not raise: it is in the record. Neither does cancelling the task that runs this: what had come
        until then is in the record. Where the server refuses optional fields by name it is sent once more without: the
        times are of that, unless it is refused as well.
        """
        served = await self._send_once(body, due_s)
        if served.failure is None or not (names := named_fields(served.failure, body.optional)):
            return served
        again = await self._send_once(body.without(names), due_s)
        if is_refusal(again.failure):
            return served
        self.resent[names] += 1
        self.refusals.setdefault(names, served.failure)
        return again

    async def _send_once(self, body: RequestBody, due_s: float) -> ServedRequest:
        reader = AnswerReader(self._keys, body.most)
        watchdog = _Watchdog(self._template)
        try:
            failure = await self._exchange(body, reader, watchdog)
        except asyncio.CancelledError:
            failure = watchdog.effect() or Failure("cancelled", "cancelled before the answer was whole")
        except (aiohttp.ClientError, OSError) as error:
            failure = connection_failure(error, self._keys)
        finally:
            watchdog.stop()
        return ServedRequest(body.index, due_s, watchdog.sent_s, time.monotonic(), reader.answer(failure))

    async def _exchange(self, body: RequestBody, reader: AnswerReader, watchdog: "_Watchdog") -> Failure | None:
        async with self._session.post(self._template.url, data=body.data, allow_redirects=False) as response:
            sock = self._sockets.find(cast(_Response, response).transport)
            watchdog.sent_s, watchdog.last_byte_s = sock.sent_s, sock.arrived_s
            if not 200 <= response.status < 300:
                return await refusal(response, self._keys)
            if (encoding := response.headers.get("Content-Encoding", "identity").lower()) not in DECODED:
                return Failure("malformed", f"the answer is in the encoding {self._keys.quoted(encoding, 64)}")
            read = response.content.readany
            while not reader.is_over and (piece := await read()):
                watchdog.last_byte_s = sock.arrived_s
                reader.feed(sock.arrived_s, piece)
            if reader.is_over:
                watchdog.stop()
                await self._read_rest(response, reader, sock)
            reader.end(sock.arrived_s)
            return None

    async def _read_rest(self, response: aiohttp.ClientResponse, reader: AnswerReader, sock: TimedSocket) -> None:
        """Read what comes behind the end of an answer: the usage of some gateways, and the end of its stream, after
        which the connection takes the next request.

        A server that does not end its stream is waited for this once; the connection is closed.
        """
        try:
            async with asyncio.timeout(self._rest_s):
                while not reader.gives_up and (piece := await response.content.readany()):
                    reader.feed(sock.arrived_s, piece)
        except TimeoutError:
            self._rest_s = 0.0
            self.left_open += 1
            response.close()


class _Response(aiohttp.ClientResponse):
    """Remembers its transport: an answer that comes in one packet has let go of its connection before it is read."""

    transport: asyncio.Transport | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        self.transport = connection.transport
        return await super().start(connection)


class _Watchdog:
    """Cancels the current task when its request takes too long, without a timer per chunk."""

    def __init__(self, template: RequestTemplate) -> None:
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._template = template
        self.sent_s = self.last_byte_s = time.monotonic()
        self._deadline_s = self.sent_s + template.timeout_s
        self._expired: Failure | None = None
        self._look()

    def _look(self) -> None:
        now_s = time.monotonic()
        stalled_s = self.last_byte_s + self._template.stall_s
        if now_s >= self._deadline_s:
            self._expire("timeout", f"no whole answer within {self._template.timeout_s:g} s")
        elif now_s >= stalled_s:
            self._expire("stalled", f"no byte for {self._template.stall_s:g} s")
        else:
            self._timer = self._loop.call_later(min(self._deadline_s, stalled_s) - now_s, self._look)

    def _expire(self, kind: FailureKind, message: str) -> None:
        self._expired = Failure(kind, message)
        if self._task is not None:
            self._task.cancel()

    def effect(self) -> Failure | None:
        """Return the failure for which it has cancelled the task; None if it has not."""
        if self._expired is not None and self._task is not None:
            self._task.uncancel()
        return self._expired

    def stop(self) -> None:
        """End the watch: the request has ended."""
        self._timer.cancel()


def _allow_many_sockets() -> None:
    """Raise this process's limit of open files as far as it may: the usual 1,024 are fewer than the streams."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH_SOCKETS if most == resource.RLIM_INFINITY else min(most, ENOUGH_SOCKETS)
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
