"""Request bodies: what every request to a server has in common, and each one encoded."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from pydantic import JsonValue

from llenergymeasure.backends.openai.client.count_bounds import ANY_REQUEST, MostTokens, most_tokens
from llenergymeasure.domain.requests import Request
from llenergymeasure.errors import ConfigError


@dataclass(frozen=True)
class RequestTemplate:
    """The common part of all requests to a server: its URL, its model, how long to wait, and fields of its body.

    `timeout_s` is for a whole request, `stall_s` for the next byte, the first one included. `limit_field` is the name
    of the limit on output tokens; `sends_ignore_eos` is False for a server that refuses that field, and takes
    another. `extra_body` are fields that go into every request's body as they are; `optional` are others, without which
    a server may be asked that refuses them.
    """

    base_url: str
    model: str
    endpoint: Literal["chat", "completions"] = "chat"
    timeout_s: float = 600.0
    stall_s: float = 120.0
    limit_field: str = "max_tokens"
    sends_ignore_eos: bool = True
    extra_body: Mapping[str, JsonValue] = field(default_factory=dict)
    optional: Mapping[str, JsonValue] = field(default_factory=lambda: {"stream_options": {"include_usage": True}})

    @property
    def url(self) -> str:
        """The URL of the endpoint."""
        return f"{self.base_url.rstrip('/')}/{'chat/completions' if self.endpoint == 'chat' else 'completions'}"

    def encode(self, request: Request) -> "RequestBody":
        """Return the body of a request, as JSON.

        Raises:
            ConfigError: it has token ids, and the chat endpoint takes text; or a conversation, which it alone takes.
        """
        body: dict[str, Any] = {
            "model": self.model,
            self.limit_field: request.max_output_tokens,
            "stream": True,
            **self.optional,
        }
        if request.ignore_eos and self.sends_ignore_eos:  # an extension: it is not sent to servers that may not know it
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
        data = json.dumps(body | dict(self.extra_body)).encode()
        return RequestBody(request.index, data, tuple(self.optional), most_tokens(request))

    def without(self, names: Collection[str]) -> Self:
        """Return the template without these optional fields."""
        return replace(self, optional={name: value for name, value in self.optional.items() if name not in names})


@dataclass(frozen=True, slots=True)
class RequestBody:
    """The body of request `index`, encoded before the load so that no time of it is spent on that.

    `optional` names those of its fields that it may be sent without; a count of more than `most` tokens is none.
    """

    index: int
    data: bytes
    optional: tuple[str, ...] = ()
    most: MostTokens = ANY_REQUEST

    def without(self, names: Collection[str]) -> "RequestBody":
        """Return the body without these optional fields."""
        fields = {name: value for name, value in json.loads(self.data).items() if name not in names}
        left = tuple(name for name in self.optional if name not in names)
        return RequestBody(self.index, json.dumps(fields).encode(), left, self.most)
