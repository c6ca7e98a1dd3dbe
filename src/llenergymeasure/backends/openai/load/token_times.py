"""How many tokens a request had, and when each of them came."""

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.backends.openai.client.records import ServedRequest, Usage
from llenergymeasure.config.paths import local_folder
from llenergymeasure.domain.requests import Message, Request, RequestRecord
from llenergymeasure.errors import BackendError

MAX_RECOUNT_ERROR = 0.2
"""By so much of it at the most the tokens of a text are off when it is cut into tokens again."""


class TokenTimes(NamedTuple):
    """A time for each token, `first` of which came with the first text; `exact` where each later one has its own."""

    times_s: tuple[float, ...]
    first: int
    exact: bool


def token_times(served: ServedRequest, usage: Usage) -> TokenTimes:
    """When the tokens of a whole answer came.

    Tokens that were counted as reasoning and not shown came before the first text. Where the server counted the tokens
    of each chunk they have their chunk's time, and so has one a chunk; an end-of-sequence token, which has no text, has
    the time of the finish reason. Otherwise tokens are taken to come in equal numbers with each chunk.
    """
    answer, end_s = served.answer, answer_end_s(served)
    times_s = answer.chunk_times_s
    if not times_s or not answer.streamed:
        return TokenTimes((end_s,) * usage.output_tokens, usage.output_tokens, False)
    hidden = min(usage.hidden_tokens, usage.output_tokens)
    shown = usage.output_tokens - hidden
    counts, exact = _tokens_a_chunk(served, shown)
    placed = tuple(at_s for at_s, count in zip(times_s, counts, strict=True) for _ in range(count))
    placed = (times_s[0],) * hidden + placed + (end_s,) * (shown - len(placed))
    return TokenTimes(placed, max(hidden + counts[0], 1), exact)


def _tokens_a_chunk(served: ServedRequest, tokens: int) -> tuple[list[int], bool]:
    """How many tokens came with each chunk, and whether that was one each; those that are left came with the end."""
    answer = served.answer
    chunks, ends = len(answer.chunk_times_s), int(answer.finish_reason == "stop")
    if 0 <= tokens - chunks <= ends:
        return [1] * chunks, True
    told = [count for count in answer.chunk_tokens if count is not None]
    if len(told) == chunks and 0 <= tokens - sum(told) <= 1:
        return told, False
    edges = [-(-place * tokens // chunks) for place in range(chunks + 1)]
    return [after - before for before, after in pairwise(edges)], False


def answer_end_s(served: ServedRequest) -> float:
    """When the answer was whole: with the reason for its end, or else with its last text."""
    answer = served.answer
    moments_s = [*answer.chunk_times_s[-1:], *([] if answer.finished_s is None else [answer.finished_s])]
    return max(moments_s, default=served.end_s)


def request_record(served: ServedRequest, usage: Usage) -> RequestRecord:
    """The record of a request whose answer is whole; `usage` is the server's or the tokenizer's."""
    placed = token_times(served, usage)
    return RequestRecord(
        index=served.index,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        start_s=served.sent_s,
        token_times_s=placed.times_s,
        finish_reason=served.answer.finish_reason or "not given",
        ended_s=answer_end_s(served),
        times_are_exact=placed.exact,
        first_tokens=placed.first,
        first_seen=bool(served.answer.chunk_times_s) and served.answer.streamed,
        lateness_s=served.lateness_s,
        counted_by="tokenizer" if served.answer.usage is None else "server",
    )


def load_tokenizer(model: str) -> Any:
    """The tokenizer of a folder, a hub id or a GGUF file.

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
    """What can be counted where the server sent no usage; the end-of-sequence token is one of the output's.

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
    return Usage(_asked(tokenizer, request, in_chat=in_chat), output)


def _asked(tokenizer: Any, request: Request, *, in_chat: bool) -> int:
    if request.token_ids is not None:
        return len(request.token_ids)
    if in_chat and getattr(tokenizer, "chat_template", None):
        turns = request.messages or (Message("user", request.prompt or ""),)
        messages = [{"role": each.role, "content": each.content} for each in turns]
        return len(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"])
    texts = [each.content for each in request.messages or ()] or [request.prompt or ""]
    return len(tokenizer("\n".join(texts))["input_ids"])
