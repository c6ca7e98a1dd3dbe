"""From statuses and connection errors to failures, in words that need no knowledge of the HTTP library."""

import errno

import aiohttp

from labledger.redaction import Redactor
from llenergymeasure.backends.openai.client.probe import elsewhere, plain_reason
from llenergymeasure.backends.openai.client.records import Failure, FailureKind
from llenergymeasure.backends.openai.client.server_json import error_text
from llenergymeasure.domain.requests import NO_CONNECTION

LONGEST_REFUSAL = 65_536  # bytes
CLOSED = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)


async def refusal(response: aiohttp.ClientResponse, keys: Redactor) -> Failure:
    """Return the failure of a status other than success, with the server's own message."""
    status = response.status
    try:
        body = await _first_bytes(response)
        text = error_text(body[:LONGEST_REFUSAL], keys, is_cut=len(body) >= LONGEST_REFUSAL)
    except (aiohttp.ClientError, OSError):
        text = "its text was cut short"
    if 300 <= status < 400:
        text = elsewhere(response.headers.get("Location"), keys)
    return Failure(_status_kind(status), f"status {status}: {text}", status)


def connection_failure(error: aiohttp.ClientError | OSError, keys: Redactor) -> Failure:
    """Return the failure of a connection error; an uncommon one has its type's name."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return Failure("refused", f"{NO_CONNECTION} {_address(error)} ({_reason(error)})")
    if isinstance(error, aiohttp.ClientResponseError) and "content-encoding" in error.message:
        return Failure("malformed", "the answer is compressed, unasked, in a way that cannot be read here")
    if isinstance(error, aiohttp.ClientResponseError):  # the rest of its text is what was read, cut anywhere
        return Failure("malformed", f"the answer is not valid HTTP ({keys.quoted(error.message.partition(':')[0])})")
    if isinstance(error, aiohttp.ClientPayloadError):
        return Failure("cut", "the connection was closed in midst of the answer")
    if isinstance(error, aiohttp.ServerDisconnectedError) or (isinstance(error, OSError) and error.errno in CLOSED):
        return Failure("cut", "the connection was closed before an answer")
    kind: FailureKind = "refused" if isinstance(error, aiohttp.InvalidURL) else "cut"
    return Failure(kind, keys.quoted(f"{type(error).__name__}: {error}"))


def _address(error: aiohttp.ClientConnectorError) -> str:
    return f"[{error.host}]:{error.port}" if ":" in error.host else f"{error.host}:{error.port}"


def _reason(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its host is not known"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        certificate = error.certificate_error
        return plain_reason(certificate, error.host) if isinstance(certificate, OSError) else str(certificate)
    return plain_reason(error.os_error, error.host)


async def _first_bytes(response: aiohttp.ClientResponse) -> bytes:
    """Return a refusal's text or its first bytes; the connection of a longer one is closed when it is released."""
    text = b""
    while len(text) < LONGEST_REFUSAL and (piece := await response.content.readany()):
        text += piece
    return text


def _status_kind(status: int) -> FailureKind:
    if status == 429:
        return "http_429"
    if 400 <= status < 500:
        return "http_4xx"
    return "http_5xx" if status >= 500 else "malformed"
