"""The sections about a server: its address, its launch, and its load."""

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, PlainSerializer, model_validator

from labledger.percentages import percent_text, share_of
from labledger.secret_rules import is_random
from llenergymeasure.config.section import Name, Positive, PositiveFloat, Section

Preset = Literal["vllm", "sglang", "tensorrt", "llamacpp", "transformers"]

KEEPS_ITS_OWN_PRECISION = {
    "tensorrt": "trtllm-serve has no flag for it: it is that of the model",
    "llamacpp": "it is that of the GGUF file",
}
"""The presets whose server takes no precision, and why."""

OWN_BODY_KEYS = frozenset(
    {
        "model",
        "messages",
        "prompt",
        "max_tokens",
        "max_completion_tokens",
        "stream",
        "n",
        "best_of",
        "ignore_eos",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "repetition_penalty",
        "seed",
    }
)
"""Fields of a request's body that have a field of their own or that the measurement depends on."""


NO_PASSWORD = re.compile(r"(?:[A-Za-z]+:/*+)?[\w.-]*(?::\d{0,5})?(?:/[\w./-]*)?")
"""The parts of a wrong URL that may be repeated: host, port and path, and nothing that may be a user's."""


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fits = False
    if not fits or re.search(r"[\s\x00-\x1f]", text):
        shown = f"{text!r} " if NO_PASSWORD.fullmatch(text) and not is_random(text) else ""
        raise ValueError(f"{shown}is not the URL of a server; write http://host:port/v1")
    if parts.username or parts.password:
        raise ValueError("holds a user name or password, which results would keep; name a key with api_key_env")
    if parts.query or parts.fragment:
        raise ValueError("goes on after the path; write http://host:port/v1")
    return text.rstrip("/")


def address_of(url: str) -> tuple[str, int]:
    """Return host and port of a server's URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _no_key(name: str) -> str:
    if is_random(name):
        raise ValueError("holds what looks like the key itself; name the variable that holds it")
    return name


class OpenaiConfig(Section):
    """A server that speaks OpenAI's protocol, and which part of it is spoken."""

    base_url: Annotated[str, AfterValidator(_url)] = Field(
        "http://127.0.0.1:8000/v1", description="Where it answers, with the /v1 that most servers have."
    )
    model: Name | None = Field(None, description="The model's name on the server. Default: `model`.")
    api_key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), AfterValidator(_no_key)] | None = Field(
        None, description="The environment variable that holds the key; the key itself is written nowhere."
    )
    endpoint: Literal["chat", "completions"] = Field(
        "chat", description="chat/completions, where the server sets the prompt into its template, or completions."
    )
    limit_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="What the server calls the limit on output tokens."
    )
    timeout_s: PositiveFloat = Field(600.0, description="Seconds that one request may take.")
    stall_s: PositiveFloat = Field(120.0, description="Seconds to wait for the next byte, the first one included.")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return address_of(self.base_url)


def launch_in_full(data: Any) -> Any:
    """Return a `launch` that is a command or a preset's name as the section that it stands for."""
    return {"command": data} if isinstance(data, list) else {"preset": data} if isinstance(data, str) else data


class LaunchConfig(Section):
    """The server's command: as a list, or a preset's with flags of your own. It is started, and stopped at the end."""

    command: list[Name] | None = Field(
        None, min_length=1, description="Run without a shell; {model}, {host} and {port} are filled in."
    )
    preset: Preset | None = None
    flags: dict[Name, JsonValue] = Field(
        default_factory=dict, description="More flags of a preset's command: {max-model-len: 4096}."
    )
    ready_timeout_s: PositiveFloat = Field(600.0, description="Seconds to wait until it answers.")

    @model_validator(mode="before")
    @classmethod
    def _a_list_is_a_command(cls, data: Any) -> Any:
        return launch_in_full(data)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.command is None) == (self.preset is None):
            raise ValueError("name either a command, as a list, or a preset: launch: {preset: vllm}")
        return self

    @property
    def without_effect(self) -> dict[str, str]:
        """A command has its flags in it."""
        return {} if self.command is None else {"flags": "on a command: write them into its list"}


def _percent(written: object) -> float:
    """Return 5.0 of 5, "5" or "5%"."""
    return round(share_of(written) * 100, 9)


def _two_loads(written: object) -> object:
    if not isinstance(written, list | tuple) or len(written) != 2:
        raise ValueError("is not the least load and the most, as [1, 64]")
    return written


Percent = Annotated[
    float,
    BeforeValidator(_percent),
    PlainSerializer(lambda percent: percent_text(percent / 100)),  # it reads as the same again
]


class LoadSearch(Section):
    """The search for the highest load that meets a goal: by halving on fresh runs, each a step of a study."""

    metric: Literal["request_rate", "concurrency"] = Field("request_rate", description="The load that is looked for.")
    goal: Name = Field(description='Conditions on columns of the flat table: "ttft_ms_p99 <= 500 and ...".')
    between: Annotated[tuple[PositiveFloat, PositiveFloat], BeforeValidator(_two_loads)] = Field(
        description="The least load and the most: [1, 64]."
    )
    tolerance: Annotated[Percent, Field(ge=0.1, le=100)] = Field(
        5.0, description="Percent by which the next load that misses may be above the one that meets: 5%."
    )

    @model_validator(mode="after")
    def _from_less_to_more(self) -> Self:
        low, high = self.between
        if not low < high:
            raise ValueError(f"between: {low:g} is not below {high:g}; write the least load first, as [1, 64]")
        if self.metric == "concurrency" and not (low.is_integer() and high.is_integer()):
            raise ValueError(f"between: {low:g} and {high:g} are not both numbers of requests in flight, as [1, 64]")
        return self


class LoadConfig(Section):
    """The load: `concurrency` requests at a time (closed loop), `request_rate` per second (open loop), or a search."""

    concurrency: Positive = Field(1, description="Requests in flight; each that ends makes room for the next.")
    request_rate: PositiveFloat | None = Field(None, description="Requests per second on average, whatever comes back.")
    arrival: Literal["poisson", "constant"] = Field("poisson", description="How a request_rate arrives.")
    duration_s: PositiveFloat | None = Field(
        None, description="Send no request after so many seconds; what is in flight then is no part of the window."
    )
    drain_s: PositiveFloat = Field(30.0, description="How long requests in flight may take after duration_s.")
    search: LoadSearch | None = Field(None, description="Look for the highest load that meets a goal, in a study.")

    @property
    def without_effect(self) -> dict[str, str]:
        """A rate opens the loop; arrivals are an open loop's, a drain is a duration's, and a search sets the load."""
        closed = self.in_flight is not None
        loop = {"arrival": "without request_rate"} if closed else {"concurrency": "with request_rate: an open loop"}
        if self.search is not None:
            loop |= dict.fromkeys(("concurrency", "request_rate"), "with search, which sets the load")
        return loop if self.duration_s is not None else {**loop, "drain_s": "without duration_s"}

    @property
    def in_flight(self) -> int | None:
        """The requests in flight of a closed loop, the most of a search; None of an open one."""
        if self.search is not None:
            return int(self.search.between[1]) if self.search.metric == "concurrency" else None
        return self.concurrency if self.request_rate is None else None
