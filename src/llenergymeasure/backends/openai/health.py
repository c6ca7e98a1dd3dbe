"""Whether a server answers at its address; by plain HTTP, with no proxy, no key and no redirection."""

import contextlib
import http.client
import select
import socket
from urllib.parse import urlsplit

from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.backends.openai.probing import plain_reason
from llenergymeasure.config.servers import address_of
from llenergymeasure.errors import BackendError

CONNECT_PATIENCE_S = 2.0
ANSWERS = (200, 401, 403)  # one that asks for a key answers


class HealthCheck:
    """Of the server at `base_url`."""

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
            with socket.create_connection((self._host, self._port), CONNECT_PATIENCE_S):
                pass
        except socket.gaierror as error:
            raise BackendError(f"openai.base_url: {self._host}: {error.strerror}") from error
        except OSError:
            return
        raise BackendError(
            f"something already listens at {self.address}: attach to it (remove launch), stop it, or name another port"
            " in openai.base_url"
        )

    def problem(self, patience_s: float, interrupt: int) -> str | None:
        """Ask whether it is healthy or, where it knows no such question, for its models: None where it is ready, else
        what came instead.

        The list of models alone does not tell: a server may fail to make it and yet serve. Returns early when something
        comes in at the descriptor `interrupt`.
        """
        try:
            health = self._status("/health", patience_s, interrupt)
            if health == 200 or (health is not None and health >= 500):
                return None if health == 200 else f"status {health} of /health"
            status = health and self._status(self._path, patience_s, interrupt)
        except OSError as error:
            return plain_reason(error)
        except http.client.HTTPException as error:
            return clean(str(error), SHOWN) or type(error).__name__
        if status is None:
            return "no answer"
        return None if status in ANSWERS else f"status {status} of {self._path}"

    def _status(self, path: str, patience_s: float, interrupt: int) -> int | None:
        """Of the answer to a GET; None where it does not come."""
        make = http.client.HTTPSConnection if self._is_secure else http.client.HTTPConnection
        with contextlib.closing(make(self._host, self._port, timeout=patience_s)) as connection:
            connection.request("GET", path, headers={"Connection": "close"})
            if not _comes(connection.sock, interrupt, patience_s):
                return None
            return int(connection.getresponse().status)


def _comes(answer: socket.socket, interrupt: int, patience_s: float) -> bool:
    """Whether the answer comes before the time is over or the interruption is there."""
    poll = select.poll()
    for descriptor in (answer.fileno(), interrupt):
        poll.register(descriptor, select.POLLIN)
    return any(descriptor == answer.fileno() for descriptor, _ in poll.poll(patience_s * 1000))
