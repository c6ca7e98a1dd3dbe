"""Whether a server answers at its address; by plain HTTP, with no proxy, no key and no redirection."""

import contextlib
import http.client
import select
import socket
from urllib.parse import urlsplit

from llenergymeasure.errors import BackendError

CONNECT_PATIENCE_S = 2.0
ANSWERS = (200, 401, 403)  # one that asks for a key answers


class HealthCheck:
    """Of the server at `base_url`."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._is_secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._is_secure else 80)
        self._path = f"{parts.path.rstrip('/')}/models"
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.address = f"{host}:{self._port}"
        self.url = f"{parts.scheme}://{self.address}{self._path}"

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
        """Ask for the list of models: None where it answers, else what came instead.

        Returns early when something comes in at the descriptor `interrupt`.
        """
        make = http.client.HTTPSConnection if self._is_secure else http.client.HTTPConnection
        with contextlib.closing(make(self._host, self._port, timeout=patience_s)) as connection:
            try:
                connection.request("GET", self._path, headers={"Connection": "close"})
                if not _comes(connection.sock, interrupt, patience_s):
                    return "no answer"
                status = connection.getresponse().status
            except (OSError, http.client.HTTPException) as error:
                return str(error) or type(error).__name__
        return None if status in ANSWERS else f"status {status}"


def _comes(answer: socket.socket, interrupt: int, patience_s: float) -> bool:
    """Whether the answer comes before the time is over or the interruption is there."""
    poll = select.poll()
    for descriptor in (answer.fileno(), interrupt):
        poll.register(descriptor, select.POLLIN)
    return any(descriptor == answer.fileno() for descriptor, _ in poll.poll(patience_s * 1000))
