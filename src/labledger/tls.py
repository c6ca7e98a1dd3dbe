"""TLS to a server: which certificates are trusted, and what a failure means and asks for."""

import contextlib
import os
import socket
import ssl
from pathlib import Path

from labledger.regular_files import kind_of
from labledger.untrusted_text import SHOWN, clean

TRUST_VARIABLE = "SSL_CERT_FILE"
NOT_YET_VALID, EXPIRED, SELF_SIGNED = 9, 10, 18
OTHER_HOST = (62, 64)
"""Codes of OpenSSL (X509_V_ERR_...) for what is wrong with a certificate; 64 is of an IP address. Others say that its
authority is not known."""

NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
"""OpenSSL's reasons for an answer that is none of TLS."""


def trusted() -> ssl.SSLContext:
    """Return what certificates are checked by: this machine's authorities, or those in `SSL_CERT_FILE`.

    A server's own certificate there is enough, whoever has signed it. What is no file holds none: a pipe is not opened.
    """
    path = os.environ.get(TRUST_VARIABLE)
    is_readable = not path or not Path(path).exists() or Path(path).is_file()
    context = ssl.create_default_context() if is_readable else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def tls_reason(error: ssl.SSLError, host: str | None = None, port: int | None = None) -> str:
    """Return why TLS to a host fails, and what to do.

    With a `port` the server is asked again where its certificate is not trusted: what else is wrong with it shows only
    to who trusts it.
    """
    if not isinstance(error, ssl.SSLCertVerificationError):
        if error.reason in NO_TLS:
            return "TLS fails: what answers does not speak it; write http:// in base_url"
        return f"TLS fails: {clean((error.reason or str(error)).lower().replace('_', ' '), SHOWN)}"
    wrong = [_fault(error.verify_code, host)]
    if host is not None and port is not None and error.verify_code not in (NOT_YET_VALID, EXPIRED, *OTHER_HOST):
        further = _fault_if_trusted(host, port)
        wrong += [] if further is None else [_fault(further, host)]
    faults, remedies = zip(*wrong, strict=True)
    return f"TLS fails: the server's certificate {', and it '.join(faults)}; {'; '.join(remedies)}"


def speaks_tls(host: str, port: int, timeout_s: float) -> bool:
    """Return True if something at this address completes a handshake of TLS; nothing is sent to it beside that."""
    return _certificate(host, port, timeout_s) is not None


def _fault(code: int, host: str | None) -> tuple[str, str]:
    """Return what is wrong with a certificate, and what to do."""
    if code == EXPIRED:
        return "has expired", "renew it on the server, or correct this machine's clock"
    if code == NOT_YET_VALID:
        return "is not valid yet", "correct the clock, here or where it was made"
    if code in OTHER_HOST:
        remedy = "name in base_url the host that it is for, or give the server one that is for this"
        return f"is for another host than {host or 'this one'}", remedy
    if code == SELF_SIGNED:
        return "is signed by itself", _how_to_trust()
    return "is of an authority that this machine does not know", _how_to_trust()


def _how_to_trust() -> str:
    """Return how to trust a certificate; where `SSL_CERT_FILE` is set already, what is the matter with it."""
    named = os.environ.get(TRUST_VARIABLE)
    if not named:
        return (
            f"to trust it, set {TRUST_VARIABLE} to a PEM file that holds it or, where another has signed it, that of "
            "its authority (docs/servers.md, TLS)"
        )
    path = clean(named, SHOWN)
    if not Path(named).is_file():
        found = kind_of(os.path.realpath(named)) if Path(named).exists() else "not there"
        return f"{TRUST_VARIABLE} is {path}, which is {found}: name the PEM file that holds it"
    return f"{TRUST_VARIABLE} is {path}, which does not hold it or that of its authority: name a PEM file that does"


def _fault_if_trusted(host: str, port: int, timeout_s: float = 3.0) -> int | None:
    """Return OpenSSL's code for what would be wrong with the server's certificate if it was trusted; None: nothing."""
    certificate = _certificate(host, port, timeout_s)
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    with contextlib.suppress(OSError):
        context.load_verify_locations(cadata=certificate)
        try:
            _handshake(context, host, port, timeout_s)
        except ssl.SSLCertVerificationError as error:
            return error.verify_code
    return None


def _certificate(host: str, port: int, timeout_s: float) -> bytes | None:
    """Return the server's certificate, trusted or not; None where TLS is not spoken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(OSError):
        return _handshake(context, host, port, timeout_s)
    return None


def _handshake(context: ssl.SSLContext, host: str, port: int, timeout_s: float) -> bytes | None:
    with (
        socket.create_connection((host, port), timeout_s) as sock,
        context.wrap_socket(sock, server_hostname=host) as secured,
    ):
        return secured.getpeercert(binary_form=True)
