"""Token counts by the model's own tokenizer: where a server counts none, and beside its own."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labledger.extras import install_command, missing
from labledger.untrusted_text import SHOWN, clean, first_line
from llenergymeasure.backends.chat_template import ChatTemplate, TemplateError
from llenergymeasure.backends.hub_cache import cached_file
from llenergymeasure.backends.openai.load.token_evidence import REPLACEMENT, Recount
from llenergymeasure.backends.pytorch.model_files import unusable_files
from llenergymeasure.config.paths import local_folder
from llenergymeasure.domain.requests import Message, Request
from llenergymeasure.errors import BackendError, ConfigError

MOST_CHARACTERS = 256 * 1024
"""The beginning of a longer answer is counted: a tokenizer takes a second for a million characters, and hears no Ctrl-C
meanwhile."""


def load_tokenizer(model: str) -> Any:
    """Return the tokenizer of a folder, a hub id or a GGUF file.

    Raises:
        BackendError: it cannot be loaded.
    """
    folder = local_folder(model)
    if folder is not None and folder.is_dir() and (problem := next(unusable_files(folder), None)):
        raise BackendError(problem)
    from transformers import AutoTokenizer

    try:
        if model.endswith(".gguf"):
            path = Path(model)
            return AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name, local_files_only=True)
        return AutoTokenizer.from_pretrained(str(folder or model), local_files_only=folder is not None)
    except Exception as error:  # transformers raises whatever its parts raise
        raise BackendError(f"{type(error).__name__}: {first_line(error)}") from error


def recount(
    tokenizer: Any, request: Request, text: str, *, in_chat: bool, template: ChatTemplate | None = None
) -> Recount:
    """Return the tokens of a request and of its answer's text, counted here; the prompt's with what a server puts
    around it only with the tokenizer's `template`.

    What any template leaves of a conversation is the text of its user: a template may drop the reasoning of earlier
    answers, and the blanks around a turn. A server may compose its characters (NFC) first, and may read the name of a
    special token as text.
    """
    turns = [each.content for each in request.messages or () if each.role == "user"] or [request.prompt or ""]
    ways = [_ways_to_count(tokenizer, turn.strip() if in_chat else turn) for turn in turns]
    least, most = sum(map(min, ways)), sum(map(max, ways))
    if request.token_ids is not None:
        least = most = len(request.token_ids)
    whole = _input_tokens(tokenizer, template, request, in_chat=in_chat) if template else None
    part = text[:MOST_CHARACTERS]
    strays = part.count(REPLACEMENT)  # of which each is taken for a token
    counted = _count(tokenizer, part.replace(REPLACEMENT, "") if strays else part) + strays
    return Recount(counted, whole, least, most, is_whole=len(part) == len(text))


def _ways_to_count(tokenizer: Any, text: str) -> list[int]:
    """Return the tokens of a text in each way in which a server may read it."""
    counts = [_count(tokenizer, text)]
    if not unicodedata.is_normalized("NFC", text):
        counts.append(_count(tokenizer, unicodedata.normalize("NFC", text)))
    if any(name in text for name in _special_names(tokenizer)):
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
        counts.append(len(ids))
    return counts


def _special_names(tokenizer: Any) -> Iterator[str]:
    added: dict[int, Any] = getattr(tokenizer, "added_tokens_decoder", {})
    return (token.content for token in added.values() if token.special)


def _count(tokenizer: Any, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) if text else 0


def _input_tokens(tokenizer: Any, template: ChatTemplate, request: Request, *, in_chat: bool) -> int | None:
    if request.token_ids is not None:
        return len(request.token_ids)
    if in_chat and getattr(tokenizer, "chat_template", None):
        try:
            return len(template.token_ids(request.messages or (Message("user", request.prompt or ""),)))
        except TemplateError:  # it refuses roles and turns as it likes
            return None
    texts = [each.content for each in request.messages or ()] or [request.prompt or ""]
    return len(tokenizer("\n".join(texts), verbose=False)["input_ids"])


def tokenizer_place(model: str) -> str:
    """Return where the tokenizer of a model lies on this machine, to load it without the network.

    Raises:
        BackendError: transformers is not installed, or the model is not here.
    """
    if missing("transformers"):
        raise BackendError(f"transformers is not installed; run {install_command('pytorch')}")
    if model.endswith(".gguf") and Path(model).expanduser().is_file():
        return str(Path(model).expanduser())
    if (folder := local_folder(model)) is not None:
        if folder.is_dir():
            return str(folder)
    elif (path := _cached(model)) is not None:
        return str(path.parent)
    raise BackendError(f"{clean(model, SHOWN)} is neither a folder here nor in the hub's cache")


def _cached(model: str) -> Path | None:
    """Return a file of the tokenizer of a hub model in the local cache; None where there is none."""
    names = ("tokenizer_config.json", "tokenizer.json", "config.json")
    return next(filter(None, (cached_file(model, name) for name in names)), None)


def has_tokenizer(model: str) -> bool:
    """Return True if the tokenizer of a model lies on this machine."""
    try:
        return bool(tokenizer_place(model))
    except BackendError:
        return False


def required_tokenizer(model: str) -> Any:
    """Return the tokenizer of a model, of whose tokens prompts are made.

    Raises:
        ConfigError: transformers is not installed.
        BackendError: it cannot be loaded.
    """
    why = "synthetic prompts are made of its tokens"
    if missing("transformers"):
        raise ConfigError(
            f"the tokenizer of {model} is needed ({why}), and transformers is not installed; run "
            f"{install_command('pytorch')}"
        )
    try:
        return load_tokenizer(model)
    except BackendError as error:
        raise BackendError(
            f"the tokenizer of {model} is needed ({why}) and cannot be loaded: {error}; set model to its "
            "folder or hub id, and openai.model to the server's name for it"
        ) from error


def prompt_tokens(tokenizer: Any) -> tuple[int, ...]:
    """Return the ids that a random prompt may be made of: all but special ones."""
    special = set(tokenizer.all_special_ids)
    return tuple(token for token in range(len(tokenizer)) if token not in special)
