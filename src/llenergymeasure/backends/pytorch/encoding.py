"""From a request to the token ids that the model is given."""

from collections.abc import Sequence
from typing import Any

from llenergymeasure.backends.chat_template import ChatTemplate, TemplateError
from llenergymeasure.domain.requests import Request
from llenergymeasure.errors import ConfigError

NO_CHAT_TEMPLATE = (
    "the model's tokenizer has no chat template, and conversations (or chat_template: always) need one; take the "
    "model's instruct or chat version, or send plain prompts"
)


def load_tokenizer(**origin: Any) -> Any:
    """Return the tokenizer of a model; `origin` are the arguments of transformers' `from_pretrained`.

    It looks into config.json for its kind. A dtype that is there, and none that torch has, is nothing to it.

    Raises:
        Exception: transformers cannot load it, in its own words.
    """
    import torch
    from transformers import AutoConfig, AutoTokenizer

    try:
        model_config = AutoConfig.from_pretrained(**origin, dtype=torch.float32)
    except (OSError, ValueError):  # it is looked at more leniently there
        model_config = None
    return AutoTokenizer.from_pretrained(**origin, config=model_config)


def token_ids(tokenizer: Any, template: ChatTemplate, request: Request) -> tuple[int, ...]:
    """The request's tokens, special ones included; `template` is the tokenizer's.

    Raises:
        ConfigError: it has none, or it is a conversation that the tokenizer has no template for, or one that its
            template refuses.
    """
    if request.token_ids is not None:
        return request.token_ids
    ids = tuple(_rendered(tokenizer, template, request) if request.messages else tokenizer(request.prompt)["input_ids"])
    if not ids:
        raise ConfigError(f"prompt {request.index + 1} has no tokens in this model's vocabulary; remove it")
    return ids


def _rendered(tokenizer: Any, template: ChatTemplate, request: Request) -> list[int]:
    if tokenizer.chat_template is None:
        raise ConfigError(NO_CHAT_TEMPLATE)
    try:
        return template.token_ids(request.messages or ())
    except TemplateError as error:
        raise ConfigError(f"prompt {request.index + 1} is refused by the model's chat template: {error}") from error


def vocabulary_problem(tokenizer: Any, embedded: int) -> str | None:
    """Return why a tokenizer is not that of a model that has embeddings for so many tokens; None if it may be.

    Tokens that were added to it, a pad token above all, may lie beyond: no text becomes one that does not name it.
    """
    added: dict[str, int] = getattr(tokenizer, "get_added_vocab", dict)()  # to one of mistral-common nothing is added
    last = max((number for token, number in tokenizer.get_vocab().items() if token not in added), default=0)
    if last < embedded:
        return None
    return (
        f"its tokenizer has ids up to {last}, and the model has embeddings for 0 to {embedded - 1}: they are not of "
        "one model; take the tokenizer that the weights were saved with"
    )


def stray_token_problem(index: int, ids: Sequence[int], embedded: int) -> str | None:
    """Return why request `index` (from 0) cannot be computed by a model that embeds so many tokens; None if it can."""
    stray = max(ids)
    if stray < embedded:
        return None
    return (
        f"prompt {index + 1} has the token {stray}, and the model has embeddings for 0 to {embedded - 1}; take the "
        "tokenizer that the weights were saved with, or remove the prompt"
    )
