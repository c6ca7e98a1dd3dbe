"""Where requests go, and what they are as they are sent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import JsonValue

from llenergymeasure.domain.requests import Request
from llenergymeasure.errors import ConfigError


@dataclass(frozen=True)
class Target:
    """A server's model, and how long to wait for it.

    `timeout_s` is for a whole request, `stall_s` for the next byte, the first one included. `limit_field` is the name
    of the limit on output tokens; `says_ignore_eos` is False for a server that refuses that field, and is told in
    another. `further` are fields that go into every request's body as they are.
    """

    base_url: str
    model: str
    endpoint: Literal["chat", "completions"] = "chat"
    timeout_s: float = 600.0
    stall_s: float = 120.0
    limit_field: str = "max_tokens"
    says_ignore_eos: bool = True
    further: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where requests go."""
        return f"{self.base_url.rstrip('/')}/{'chat/completions' if self.endpoint == 'chat' else 'completions'}"

    def call(self, request: Request) -> "Call":
        """The request as it is sent.

        Raises:
            ConfigError: it has token ids, and the chat endpoint takes text; or a conversation, which it alone takes.
        """
        body: dict[str, Any] = {
            "model": self.model,
            self.limit_field: request.max_output_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.ignore_eos and self.says_ignore_eos:  # an extension: it is not sent to servers that may not know it
            body["ignore_eos"] = True
        if request.messages is not None:
            if self.endpoint == "completions":
                raise ConfigError("the dataset has conversations, which the chat endpoint takes: use endpoint: chat")
            body["messages"] = [{"role": each.role, "content": each.content} for each in request.messages]
        elif self.endpoint == "completions":
            body["prompt"] = request.prompt if request.token_ids is None else list(request.token_ids)
        elif request.prompt is not None:
            body["messages"] = [{"role": "user", "content": request.prompt}]
        else:
            raise ConfigError("the chat endpoint takes text, and the dataset has token ids: use endpoint: completions")
        return Call(request.index, json.dumps(body | dict(self.further)).encode())


@dataclass(frozen=True, slots=True)
class Call:
    """A request's body, made before the load so that nothing is encoded inside it."""

    index: int
    body: bytes
