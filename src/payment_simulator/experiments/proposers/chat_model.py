"""Answers of OpenAI's protocol as servers write them: counts of tokens that are none, and no message."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labledger.untrusted_text import clean

if TYPE_CHECKING:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers import Provider

MOST_TOKENS = 1_000_000_000
"""A number above it counts no tokens of one request: no context holds so many, and no database need."""
SHOWN = 40
NOT_COUNTED = "the server gives no counts of tokens"


@dataclass(frozen=True)
class TokenCounts:
    """The tokens of an answer, None where they are unknown, and the `reason`."""

    prompt: int | None
    completion: int | None
    reason: str | None


def token_counts(prompt: object, completion: object) -> TokenCounts:
    """Return the counts that a server gives; one that cannot be a count is None. Two zeros count nothing."""
    if (prompt is None and completion is None) or (prompt, completion) == (0, 0):
        return TokenCounts(None, None, NOT_COUNTED)
    named = {"prompt": prompt, "completion": completion}
    problems = [f"{name}_tokens {_problem(value)}" for name, value in named.items() if not _is_count(value)]
    known = [value if _is_count(value) and isinstance(value, int) else None for value in named.values()]
    return TokenCounts(known[0], known[1], f"the server's {', '.join(problems)}" if problems else None)


def chat_model(name: str, provider: "Provider[Any]") -> "OpenAIChatModel":
    """Return a model of OpenAI's protocol: answers without a message are empty, names and dates may be
    missing, and `raw_usage` has the counts.

    pydantic-ai refuses a whole answer for one count that is no number, or for a message that is missing.
    """
    from openai.types import chat
    from pydantic_ai.exceptions import UnexpectedModelBehavior
    from pydantic_ai.models.openai import OpenAIChatModel

    class LenientChatModel(OpenAIChatModel):  # type: ignore[misc]  # its library may be missing
        raw_usage: tuple[object, object] = (None, None)

        def _validate_completion(self, response: chat.ChatCompletion) -> Any:
            usage: object = response.usage
            self.raw_usage = tuple(_member(usage, key) for key in ("prompt_tokens", "completion_tokens"))  # type: ignore[assignment]
            changed: dict[str, Any] = {"usage": None, "object": "chat.completion", "created": 0}
            changed |= {name: str(getattr(response, name, None) or "") for name in ("id", "model")}
            if (error := getattr(response, "error", None)) and not getattr(response, "choices", None):
                raise UnexpectedModelBehavior(str(error.get("message", error) if isinstance(error, dict) else error))
            if "choices" in response.model_fields_set and not _has_message(response.choices):
                message = chat.ChatCompletionMessage(role="assistant", content="")
                changed["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
            return super()._validate_completion(response.model_copy(update=changed))

    return LenientChatModel(name, provider=provider)


def _has_message(choices: object) -> bool:
    return isinstance(choices, list) and bool(choices) and _member(choices[0], "message") is not None


def _member(whole: object, name: str) -> object:
    return whole.get(name) if isinstance(whole, dict) else getattr(whole, name, None)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS


def _problem(value: object) -> str:
    return "is not given" if value is None else f"is {clean(repr(value)[: SHOWN + 1], SHOWN)}, which counts no tokens"
