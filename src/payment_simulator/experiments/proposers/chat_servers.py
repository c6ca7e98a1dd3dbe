"""OpenAI's protocol as servers speak it: an answer that lacks what no policy needs is an answer."""

from typing import Any

from openai.types.chat import ChatCompletion
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.models.openai import OpenAIChatModel

from payment_simulator.experiments.proposers.protocol import is_token_count

NO_CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ""}}


class ChatServerModel(OpenAIChatModel):  # type: ignore[misc]  # untyped where the library is not installed
    """A model behind a server of OpenAI's protocol. Tokens that it does not count in whole numbers are unknown."""

    def _validate_completion(self, response: ChatCompletion) -> Any:
        return super()._validate_completion(ChatCompletion.model_construct(**_mended(response)))


def _mended(response: ChatCompletion) -> dict[str, Any]:
    """Return an answer with both counts of tokens or none, and a choice, empty where there was none.

    Raises:
        UnexpectedModelBehavior: it is the server's error, in an answer that says that all is well, or another thing.
    """
    found: dict[str, Any] = response.model_dump(warnings=False)
    choices, usage, error = found.get("choices"), found.get("usage"), found.get("error")
    if not choices and error:
        raise UnexpectedModelBehavior(str(error.get("message", error) if isinstance(error, dict) else error))
    if "choices" not in response.model_fields_set:
        raise UnexpectedModelBehavior("the answer has no choices, which every answer of this protocol has")
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")] if isinstance(usage, dict) else []
    is_counted = isinstance(usage, dict) and all(map(is_token_count, counts))
    first = choices[0] if isinstance(choices, list) and choices else None
    has_message = isinstance(first, dict) and first.get("message")
    return {
        **found,
        "id": str(found.get("id") or ""),
        "object": "chat.completion",
        "model": str(found.get("model") or ""),
        "created": 0,
        "choices": [first if has_message else NO_CHOICE],
        "usage": {**usage, "total_tokens": sum(counts)} if isinstance(usage, dict) and is_counted else None,
    }
