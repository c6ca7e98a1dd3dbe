"""The facts that a server tells of itself and of its model, each in the words of its own kind."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from labledger.redaction import redactor
from llenergymeasure.backends.openai.client.probe import get

MB = 1e6
MOST_BYTES = 1e15
"""More than any machine has: a number above it is no model's size."""

VERSIONS = (
    ("/version", "version", ""),
    ("/info", "version", "TGI "),
    ("/props", "build_info", "llama.cpp "),
    ("/get_server_info", "version", "SGLang "),
    ("/api/version", "version", "Ollama "),
)
"""The place of a server's version, the key in its answer, and the server that has it there: the first is vLLM's."""

NO_VERSION = f"the server tells no version at {', '.join(path for path, *_ in VERSIONS)}"
NO_MEMORY = "the server does not tell what its model takes (llama.cpp does at /models, Ollama at /api/ps)"
NO_REVISION = "the server does not tell its model's commit (TGI does at /info)"


class ServerFacts(NamedTuple):
    """The server's version, the commit of its model, and the MB (10^6 bytes) that the model takes; None is unknown."""

    version: str | None = None
    revision: str | None = None
    model_memory_mb: float | None = None

    @property
    def not_known(self) -> dict[str, str]:
        """The reason of each that is None, and of its weights' digest, by the field of the result or environment."""
        facts = {
            "backend_version": (self.version, NO_VERSION),
            "model_revision": (self.revision, NO_REVISION),
            "model_memory_mb": (self.model_memory_mb, NO_MEMORY),
            "model_weights_sha256": (None, "the server reads the weights"),
        }
        return {name: reason for name, (value, reason) in facts.items() if value is None}


def server_facts(base_url: str, model: str, api_key: str | None) -> ServerFacts:
    """Ask a server for its version and its model's facts, as the kinds of server that are known tell them."""
    keys, parts = redactor(api_key), urlsplit(base_url)
    root = f"{parts.scheme}://{parts.netloc}"
    version, path = None, ""
    body: Mapping[str, Any] = {}
    try:
        for path, key, name in VERSIONS:
            body = _mapping(get(root + path, api_key).body)
            if isinstance(found := body.get(key), str) and found:
                version = name + keys.quoted(found)
                break
        revision = body.get("model_sha") if path == "/info" else None
        if path == "/api/version":
            size = _entry(get(f"{root}/api/ps", api_key).body, "models", "name", model).get("size")
        else:
            size = _mapping(_entry(get(f"{base_url}/models", api_key).body, "data", "id", model).get("meta")).get(
                "size"
            )
    except OSError:  # it does not answer in time, or not any more
        return ServerFacts(version)
    commit = keys.quoted(revision) if isinstance(revision, str) and revision else None
    return ServerFacts(version, commit, _mb(size))


def _mb(size: Any) -> float | None:
    """Return a size in bytes in MB; None of what is no model's size."""
    is_number = isinstance(size, int | float) and not isinstance(size, bool)
    return size / MB if is_number and 0 < size < MOST_BYTES else None


def _entry(body: Any, listed: str, named: str, model: str) -> Mapping[str, Any]:
    """Return the entry of a model in a list, or the only one."""
    found = _mapping(body).get(listed)
    entries = [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []
    same = [each for each in entries if each.get(named) == model]
    return next(iter(same or entries[:1])) if same or len(entries) == 1 else {}


def _mapping(body: Any) -> Mapping[str, Any]:
    return body if isinstance(body, Mapping) else {}
