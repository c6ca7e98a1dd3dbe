"""From a request to the token ids that the model is given."""

from typing import Any

from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.domain.requests import Message, Request
from llenergymeasure.errors import ConfigError

NO_CHAT_TEMPLATE = (
    "the model's tokenizer has no chat template, and conversations (or chat_template: always) need one; take the "
    "model's instruct or chat version, or send plain prompts"
)


def token_ids(tokenizer: Any, request: Request) -> tuple[int, ...]:
    """The request's tokens, special ones included.

    Raises:
        ConfigError: it has none, or it is a conversation that the tokenizer has no template for, or one that its
            template refuses.
    """
    if request.token_ids is not None:
        return request.token_ids
    ids = tuple(_rendered(tokenizer, request) if request.messages else tokenizer(request.prompt)["input_ids"])
    if not ids:
        raise ConfigError(f"prompt {request.index + 1} has no tokens in this model's vocabulary; remove it")
    return ids


def _rendered(tokenizer: Any, request: Request) -> list[int]:
    """The conversation as the model was taught to read it, up to where its answer begins.

    The template writes the special tokens itself: the tokenizer adds none.
    """
    if tokenizer.chat_template is None:
        raise ConfigError(NO_CHAT_TEMPLATE)
    try:
        ids: list[int] = tokenizer.apply_chat_template(
            [_turn(each) for each in request.messages or ()], add_generation_prompt=True, return_dict=False
        )
    except Exception as error:  # a template raises what its author chose
        words = clean((str(error).strip() or type(error).__name__).splitlines()[0], SHOWN)
        raise ConfigError(f"prompt {request.index + 1} is refused by the model's chat template: {words}") from error
    return ids


def _turn(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}
