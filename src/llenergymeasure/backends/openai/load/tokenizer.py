"""Token counts by the model's own tokenizer, for servers that count none."""

from pathlib import Path
from typing import Any

from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.backends.openai.client.records import ServedRequest, Usage
from llenergymeasure.config.paths import local_folder
from llenergymeasure.domain.requests import Message, Request
from llenergymeasure.errors import BackendError

MAX_RECOUNT_ERROR = 0.2
"""The share by which a count is off, at most, when a text is cut into tokens again."""


def load_tokenizer(model: str) -> Any:
    """Return the tokenizer of a folder, a hub id or a GGUF file.

    Raises:
        BackendError: it cannot be loaded.
    """
    from transformers import AutoTokenizer

    folder = local_folder(model)
    try:
        if model.endswith(".gguf"):
            path = Path(model)
            return AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name, local_files_only=True)
        return AutoTokenizer.from_pretrained(str(folder or model), local_files_only=folder is not None)
    except Exception as error:  # transformers raises whatever its parts raise
        first = next(iter(str(error).strip().splitlines()), "")
        raise BackendError(f"{type(error).__name__}: {clean(first, SHOWN)}") from error


def counted_usage(tokenizer: Any, request: Request, served: ServedRequest, *, in_chat: bool) -> Usage:
    """Return the tokens of a request and its answer, counted here; the end-of-sequence token is one of the output's.

    A text may be cut into other tokens than it was made of. So what the server has listed chunk by chunk comes first,
    then the limit, of an answer that ended with it: but not where it is far off, for a server also says `length` at the
    end of its context.
    """
    answer, limit = served.answer, request.max_output_tokens
    ended = int(answer.finish_reason == "stop")
    listed = [count for count in answer.chunk_tokens if count is not None]
    output = len(tokenizer("".join(answer.chunk_texts), add_special_tokens=False)["input_ids"]) + ended
    if listed and len(listed) == len(answer.chunk_tokens):
        output = sum(listed) + ended
    elif answer.finish_reason == "length" and abs(output - limit) <= MAX_RECOUNT_ERROR * limit:
        output = limit
    return Usage(_input_tokens(tokenizer, request, in_chat=in_chat), output)


def _input_tokens(tokenizer: Any, request: Request, *, in_chat: bool) -> int:
    if request.token_ids is not None:
        return len(request.token_ids)
    if in_chat and getattr(tokenizer, "chat_template", None):
        turns = request.messages or (Message("user", request.prompt or ""),)
        messages = [{"role": each.role, "content": each.content} for each in turns]
        return len(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"])
    texts = [each.content for each in request.messages or ()] or [request.prompt or ""]
    return len(tokenizer("\n".join(texts))["input_ids"])
