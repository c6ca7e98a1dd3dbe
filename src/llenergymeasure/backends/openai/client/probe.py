"""Probes of a server before it is measured: is it healthy, which models it has, does it give one token."""

import contextlib
import http.client
import io
import os
import select
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlsplit

from labledger.redaction import Redactor, key_problem, redactor
from labledger.tls import speaks_tls, tls_reason, trusted
from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.backends.openai.client.records import ServedRequest
from llenergymeasure.backends.openai.client.server_json import read_json
from llenergymeasure.config.servers import address_of
from llenergymeasure.domain.requests import NOTHING_ANSWERS
from llenergymeasure.errors import BackendError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

TIMEOUT_S = 10.0
OTHER_TIMEOUT_S = 3.0
NO_HTTPS = 400
"""The status with which a server refuses a request without TLS, if it answers one at all."""

MOST_NAMES = 5
LONGEST_ANSWER = 1_000_000


class NoAnswerError(OSError):
    """Nothing answers, or not with HTTP. `is_told`: the text says what to do."""

    def __init__(self, text: str, *, is_told: bool = False) -> None:
        super().__init__(text)
        self.is_told = is_told


class Reply(NamedTuple):
    """A server's answer to a GET: its status, its JSON (None where it has none), and where a redirection points."""

    status: int
    body: Any
    location: str | None = None


def get(url: str, api_key: str | None, timeout_s: float = TIMEOUT_S) -> Reply:
    """Ask, without a proxy; a redirection is not followed, for the key is for this host alone.

    All of it, the last byte included, has `timeout_s`; but for the look-up of the host, which cannot be interrupted.

    Raises:
        NoAnswerError: nothing answers, or not with HTTP; the text is for the user.
    """
    if api_key and (problem := key_problem(api_key)):
        raise NoAnswerError(problem)
    until_s = time.monotonic() + timeout_s
    try:
        with contextlib.closing(_connected(url, until_s)) as sock:
            return _asked(sock, url, api_key, until_s)
    except TimeoutError as error:
        raise NoAnswerError(f"no answer within {timeout_s:g} s") from error
    except ssl.SSLError as error:
        raise NoAnswerError(tls_reason(error, *address_of(url)), is_told=True) from error
    except OSError as error:
        raise NoAnswerError(plain_reason(error)) from error
    except http.client.HTTPException as error:
        raise NoAnswerError(f"it does not speak HTTP ({type(error).__name__})") from error
    except ValueError as error:  # its text may quote what was to be sent
        raise NoAnswerError(f"it cannot be asked ({type(error).__name__})") from None


def _connected(url: str, until_s: float) -> socket.socket:
    """Return a socket to the first of the host's addresses that takes it; each has its part of the time left."""
    host, port = address_of(url)
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure = OSError("its host has no address")
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_left_s(until_s) / (len(addresses) - number))
            sock.connect(address)
            sock.settimeout(_left_s(until_s))
            return _secured(sock, host) if url.startswith("https:") else sock
        except OSError as error:
            sock.close()
            failure = error
    raise failure


def _secured(sock: socket.socket, host: str) -> socket.socket:
    return trusted().wrap_socket(sock, server_hostname=host)


def _asked(sock: socket.socket, url: str, api_key: str | None, until_s: float) -> Reply:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.sock = sock
    key = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    sock.settimeout(_left_s(until_s))
    connection.request("GET", parts.path or "/", headers={"Host": parts.netloc, "Connection": "close", **key})
    with http.client.HTTPResponse(cast(socket.socket, _TimedReader(sock, until_s)), method="GET") as response:
        response.begin()
        body = _json(response.read(LONGEST_ANSWER))
        return Reply(response.status, body, response.headers.get("Location"))


class _TimedReader(io.RawIOBase):
    """A socket's bytes, for as long as there is time: a socket's own limit is for each of them anew."""

    def __init__(self, sock: socket.socket, until_s: float) -> None:
        self._sock = sock
        self._until_s = until_s

    def makefile(self, _: str) -> io.BufferedReader:
        """Return a buffered reader, as http.client asks of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read the bytes that there are, once there are some, within the time left."""
        self._sock.settimeout(_left_s(self._until_s))
        return self._sock.recv_into(buffer)


def _left_s(until_s: float) -> float:
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def unreachable(base_url: str, api_key: str | None) -> str | None:
    """Return why a server that should be running cannot be used; None where it answers with no redirection."""
    try:
        reply = get(f"{base_url}/models", api_key)
    except NoAnswerError as error:
        if other := _other_scheme(base_url):
            return other
        if error.is_told:
            return f"{base_url}: {error}"
        return f"{NOTHING_ANSWERS} {base_url} ({error}); start the server, or have it started with launch"
    if 300 <= reply.status < 400:
        return f"status {reply.status}: {elsewhere(reply.location, redactor(api_key))}"
    if reply.status == NO_HTTPS and (other := _other_scheme(base_url)):
        return other
    return why_refused(reply.status, api_key) or (None if _lists_models(reply) else other_path(base_url, api_key))


def other_path(base_url: str, api_key: str | None) -> str | None:
    """Return what to write in place of a base URL that is not the API's, while its `/v1` is; None where that is not."""
    beginning, found, _ = f"{base_url}/".partition("/v1/")
    candidate = f"{beginning.rstrip('/')}/v1"
    if found and candidate == base_url:
        return None
    try:
        reply = get(f"{candidate}/models", api_key, OTHER_TIMEOUT_S)
    except OSError:
        return None
    if not _lists_models(reply) and reply.status not in (401, 403):
        return None
    return f"there is no API at {base_url}, and there is at {candidate}: write base_url: {candidate}"


def _lists_models(reply: Reply) -> bool:
    return reply.status == 200 and isinstance(reply.body, Mapping) and "data" in reply.body


def _other_scheme(base_url: str) -> str | None:
    """Return what to write in place of `http` where TLS is spoken or the other way round; None where neither helps."""
    scheme, _, rest = base_url.partition("://")
    if scheme == "http":
        speaks = speaks_tls(*address_of(base_url), OTHER_TIMEOUT_S)
        return f"what answers at {base_url} speaks TLS: write base_url: https://{rest}" if speaks else None
    try:
        get(f"http://{rest.partition('/')[0]}", None, OTHER_TIMEOUT_S)
    except OSError:
        return None
    return f"what answers at {base_url} does not speak TLS: write base_url: http://{rest}"


def elsewhere(location: str | None, keys: Redactor) -> str:
    """Return what to do about a redirection."""
    return f"it points to {keys.quoted(str(location))}: name that in base_url"


def why_refused(status: int | None, api_key: str | None) -> str | None:
    """Return what to do about a status that concerns the key; None of another."""
    if status not in (401, 403):
        return None
    if api_key is None:
        return f"the server wants a key (status {status}); name the variable that holds it in openai.api_key_env"
    return f"the server refuses the key (status {status}); set the variable that openai.api_key_env names again"


def model_names(base_url: str, api_key: str | None) -> list[str]:
    """Return the models that the server lists; none where it does not."""
    try:
        body = get(f"{base_url}/models", api_key).body
    except OSError:
        return []
    listed = body.get("data") if isinstance(body, Mapping) else None
    names = [each.get("id") for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []
    return [redactor(api_key).quoted(name) for name in names if isinstance(name, str)]


def why_no_token(served: ServedRequest, model: str, base_url: str, api_key: str | None) -> str:
    """Return the reason why a server gave no token, with what to do."""
    failure = served.failure
    message = failure.message if failure else "it sent nothing"
    status = failure.status if failure else None
    if why := why_refused(status, api_key):
        return f"{why}: {message}"
    problem = f"{base_url} does not give one token of {model!r}: {message}"
    if status in (404, 405) and (other := other_path(base_url, api_key)):
        return f"{problem}; {other}"
    names = model_names(base_url, api_key)
    if status in (400, 404, 422) and names and model not in names:
        return f"{problem}; it has {_some_of(names)}: name one in openai.model"
    return problem


def unlisted_remarks(model: str, base_url: str, api_key: str | None) -> list[str]:
    """Return a warning where the server lists models and `model` is none of them: many answer to any name."""
    names = model_names(base_url, api_key)
    asked = redactor(api_key).quoted(model)
    if not names or {asked, f"{asked}:latest"} & {*names}:  # Ollama's name of a model without a tag
        return []
    return [
        f"The server lists {_some_of(names)}, and not {asked}, which it is asked for: what answers may be another "
        "model; name one in openai.model."
    ]


def _some_of(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{', '.join(names[:MOST_NAMES])}{more}"


def plain_reason(error: OSError, host: str | None = None) -> str:
    """Return why there is no connection to a host, without the names that libraries give it."""
    if isinstance(error, socket.gaierror):
        return "its host is not known"
    if isinstance(error, ssl.SSLError):
        return tls_reason(error, host)
    if error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _json(body: bytes) -> Any:
    try:
        return read_json(body)
    except ValueError:
        return None


CONNECT_TIMEOUT_S = 2.0
ANSWERS = (200, 401, 403)  # one that asks for a key answers


class HealthCheck:
    """Asks the server at `base_url` whether it is ready."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._is_secure = parts.scheme == "https"
        self._host, self._port = address_of(base_url)
        self._path = f"{parts.path.rstrip('/')}/models"
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.address = f"{host}:{self._port}"
        self.url = f"{parts.scheme}://{self.address}"

    def refuse_others(self) -> None:
        """Make sure that the address is free.

        Raises:
            BackendError: something listens there, or there is no such address.
        """
        try:
            with socket.create_connection((self._host, self._port), CONNECT_TIMEOUT_S):
                pass
        except socket.gaierror as error:
            raise BackendError(f"openai.base_url: {self._host}: {error.strerror}") from error
        except OSError:
            return
        raise BackendError(
            f"something already listens at {self.address}: attach to it (remove launch), stop it, or name another port"
            " in openai.base_url"
        )

    def problem(self, timeout_s: float, interrupt: int) -> str | None:
        """Ask whether it is healthy or, where it knows no such question, for its models: None where it is ready, else
        what came instead.

        The list of models alone does not tell: a server may fail to make it and yet serve. Returns early when something
        comes in at the descriptor `interrupt`.

        Raises:
            BackendError: its certificate is not trusted, which no waiting changes.
        """
        try:
            health = self._status("/health", timeout_s, interrupt)
            if health == 200 or (health is not None and health >= 500):
                return None if health == 200 else f"status {health} of /health"
            status = health and self._status(self._path, timeout_s, interrupt)
        except ssl.SSLCertVerificationError as error:
            raise BackendError(f"{self.url}: {tls_reason(error, self._host, self._port)}") from error
        except OSError as error:
            return plain_reason(error)
        except http.client.HTTPException as error:
            return clean(str(error), SHOWN) or type(error).__name__
        if status is None:
            return "no answer"
        return None if status in ANSWERS else f"status {status} of {self._path}"

    def _status(self, path: str, timeout_s: float, interrupt: int) -> int | None:
        """Return the status of the answer to a GET; None where none comes."""
        make = http.client.HTTPSConnection if self._is_secure else http.client.HTTPConnection
        with contextlib.closing(make(self._host, self._port, timeout=timeout_s)) as connection:
            connection.request("GET", path, headers={"Connection": "close"})
            if not _comes(connection.sock, interrupt, timeout_s):
                return None
            return int(connection.getresponse().status)


def _comes(answer: socket.socket, interrupt: int, timeout_s: float) -> bool:
    """Return True if the answer comes before the time is over or the interruption is there."""
    poll = select.poll()
    for descriptor in (answer.fileno(), interrupt):
        poll.register(descriptor, select.POLLIN)
    return any(descriptor == answer.fileno() for descriptor, _ in poll.poll(timeout_s * 1000))
