"""What a server is asked before it is measured: whether it answers, which models it has, and for one token."""

import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from llenergymeasure.backends.openai.records import ServedRequest

PATIENCE_S = 10.0
MOST_NAMES = 5
LONGEST_ANSWER = 1_000_000


class Reply(NamedTuple):
    """A server's answer to a GET: its status, and its JSON (None where it has none)."""

    status: int
    body: Any


def get(url: str, api_key: str | None, patience_s: float = PATIENCE_S) -> Reply:
    """Ask, without a proxy.

    Raises:
        OSError: nothing answers, or not with HTTP; the text is for the user.
    """
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {api_key}"} if api_key else {})  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=patience_s) as response:
            return Reply(response.status, _json(response.read(LONGEST_ANSWER)))
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, _json(error.read(LONGEST_ANSWER)))
    except urllib.error.URLError as error:
        raise OSError(_words(error.reason)) from error
    except (OSError, ValueError, EOFError) as error:
        raise OSError(_words(error)) from error
    except Exception as error:  # http.client's own
        raise OSError(f"it does not speak HTTP ({type(error).__name__})") from error


def unreachable(base_url: str, api_key: str | None) -> str | None:
    """Why a server that should be running cannot be used; None where it answers, in whatever way."""
    try:
        reply = get(f"{base_url}/models", api_key)
    except OSError as error:
        return f"nothing answers at {base_url} ({error}); start the server, or have it started with launch"
    return why_refused(reply.status, api_key)


def why_refused(status: int, api_key: str | None) -> str | None:
    """What to do about a status that is about the key; None of another."""
    if status not in (401, 403):
        return None
    if api_key is None:
        return f"the server wants a key (status {status}); name the variable that holds it in openai.api_key_env"
    return f"the server refuses the key (status {status}); set the variable that openai.api_key_env names again"


def model_names(base_url: str, api_key: str | None) -> list[str]:
    """The models that the server lists; none where it does not."""
    try:
        body = get(f"{base_url}/models", api_key).body
    except OSError:
        return []
    listed = body.get("data") if isinstance(body, Mapping) else None
    names = [each.get("id") for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []
    return [name for name in names if isinstance(name, str)]


def server_version(base_url: str, api_key: str | None) -> str | None:
    """What the server says of its version at /version, as vLLM and its kin do; None where it does not."""
    parts = urlsplit(base_url)
    try:
        body = get(f"{parts.scheme}://{parts.netloc}/version", api_key).body
    except OSError:
        return None
    version = body.get("version") if isinstance(body, Mapping) else None
    return version if isinstance(version, str) else None


def why_no_token(served: ServedRequest, model: str, base_url: str, api_key: str | None) -> str:
    """What a server's refusal of one token means, with what to do."""
    failure = served.failure
    message = failure.message if failure else "it sent nothing"
    status = int(message.split()[1].rstrip(":")) if message.startswith("status ") else 0
    if why := why_refused(status, api_key):
        return f"{why}: {message}"
    said = f"{base_url} does not give one token of {model!r}: {message}"
    names = model_names(base_url, api_key)
    if status in (400, 404, 422) and names and model not in names:
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        return f"{said}; it has {', '.join(names[:MOST_NAMES])}{more}: name one in openai.model"
    return said


def _words(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return f"no answer within {PATIENCE_S:g} s"
    if isinstance(reason, socket.gaierror):
        return "its host is not known"
    if isinstance(reason, ssl.SSLError):
        return f"TLS fails: {reason.reason or reason}"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason) or type(reason).__name__


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
