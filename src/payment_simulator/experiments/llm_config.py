"""The configuration of the model that proposes policies, and the price of its tokens."""

from decimal import Decimal
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from labledger.sections import Section

PROVIDERS = ("anthropic", "openai", "google")


class Price(Section):
    """The price of a model's tokens, in units of a currency per million."""

    input_per_million: Annotated[
        float,
        Field(ge=0, le=1e9, strict=True, description="Money. Of a million tokens that are asked.", examples=[1.25]),
    ]
    output_per_million: Annotated[
        float, Field(ge=0, le=1e9, strict=True, description="Money. Of a million tokens of answers.", examples=[10.0])
    ]
    currency: Annotated[str, Field(pattern=r"^[A-Za-z]{1,10}$", description="Of the price.")] = "USD"

    def of(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        """Return the price of tokens, exact."""
        rates = (Decimal(repr(each)) for each in (self.input_per_million, self.output_per_million))
        counts = (prompt_tokens, completion_tokens)
        return sum((rate * count for rate, count in zip(rates, counts, strict=True)), Decimal(0)) / 1_000_000

    def words(self, prompt_tokens: int, completion_tokens: int) -> str:
        """Return the price of tokens as it is shown."""
        return f"{self.of(prompt_tokens, completion_tokens):,.4f} {self.currency}"


class Llm(Section):
    """The model that proposes. Its key comes from the environment, and is kept nowhere."""

    model: Annotated[str, Field(description="provider:name.", examples=["openai:gpt-5"])]
    base_url: Annotated[
        str | None, Field(description="Of an OpenAI-compatible server.", examples=["http://localhost:8000/v1"])
    ] = None
    temperature: Annotated[
        float | None,
        Field(
            ge=0,
            le=2,
            strict=True,
            description="Number. How much it varies; default: the server's own.",
            examples=[0.7],
        ),
    ] = None
    reasoning_effort: Annotated[
        Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None,
        Field(description="How much an OpenAI model thinks; default: the server's own.", examples=["high"]),
    ] = None
    reasoning_summary: Annotated[
        Literal["auto", "concise", "detailed"] | None,
        Field(description="A comment of other programs' files, that nothing reads.", examples=["auto"]),
    ] = None
    max_retries: Annotated[int, Field(ge=0, le=20, strict=True, description="Tries. After a first that failed.")] = 3
    timeout_seconds: Annotated[float, Field(gt=0, le=3600, strict=True, description="Seconds. Of one answer.")] = 120.0
    max_total_tokens: Annotated[
        int | None,
        Field(
            ge=1,
            strict=True,
            description="Tokens. The budget of a run, which `run --resume --set` may change.",
            examples=[500_000],
        ),
    ] = None
    price: Annotated[Price | None, Field(description="Of its tokens, to be told beside their number.")] = None
    system_prompt: Annotated[
        str | None, Field(description="In place of our own.", examples=["You manage a bank's liquidity."])
    ] = None
    system_prompt_file: Annotated[
        str | None, Field(description="A file with the text of `system_prompt`.", examples=["prompt.txt"])
    ] = None

    @model_validator(mode="after")
    def _model_has_a_provider(self) -> Self:
        provider, _, name = self.model.partition(":")
        if provider not in PROVIDERS or not name:
            raise ValueError(f"model: {self.model!r} is not provider:name; the providers are {', '.join(PROVIDERS)}")
        return self

    @model_validator(mode="after")
    def _effort_is_of_openai(self) -> Self:
        if self.reasoning_effort is not None and not self.model.startswith("openai:"):
            raise ValueError("reasoning_effort: is of OpenAI's protocol, whose model is written as openai:NAME")
        return self

    @model_validator(mode="after")
    def _one_system_prompt(self) -> Self:
        if self.system_prompt is not None and self.system_prompt_file is not None:
            raise ValueError("system_prompt_file: and system_prompt cannot both be given")
        return self

    @model_validator(mode="after")
    def _base_url_is_an_address_alone(self) -> Self:
        if self.base_url is not None and not self.model.startswith("openai:"):
            raise ValueError("base_url: is of an OpenAI-compatible server, whose model is written as openai:NAME")
        if self.base_url is not None and any(mark in self.base_url for mark in "@?#"):
            raise ValueError("base_url: should have no user, key or query: a key comes from the environment alone")
        if self.base_url is not None and not _is_address(self.base_url):
            raise ValueError("base_url: is not an address; write it as http://localhost:8000/v1")
        return self


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        return is_web and url.isascii() and url.isprintable() and " " not in url
    except ValueError:  # a port that is no number, brackets that are not closed
        return False
