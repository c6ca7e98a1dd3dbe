"""Answers with one oddity each, as servers and gateways of OpenAI's protocol were seen to give them.

Each is a script of `scripted_server`: 20 tokens, fewer where fewer are asked for, each of them the text " tok".
"""

import gzip
import json
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any

from standins.scripted_server import DONE, Asked, Reply, chunk, counts, event, sse, usage_event

TOKENS = 20
PROMPT = 40
WINDOW = 10
GAP_S = 0.001
TEXT = " tok"
WORD = " the"
THOUGHT = " let me think"
LONG_THOUGHTS = 40

Pieces = Iterator[bytes | float]
ANSWERS: dict[str, Callable[[Asked], Reply | Iterable[bytes | float]]] = {}


def answer(script: Callable[[Asked], Any]) -> Callable[[Asked], Any]:
    """Enter a script under its name."""
    ANSWERS[script.__name__] = script
    return script


def _tokens(asked: Asked) -> int:
    return min(TOKENS, asked.limit)


def _texts(number: int, **further: Any) -> Pieces:
    for _ in range(number):
        yield GAP_S
        yield event(TEXT, **further)


def _ended(usage: Any, reason: str = "length") -> Pieces:
    yield event(reason=reason)
    yield usage_event(usage)
    yield DONE


@answer
def running_usage(asked: Asked) -> Pieces:
    """vLLM with continuous_usage_stats, ik_llama.cpp, xAI, Gemini: the counts so far with each chunk."""
    for so_far in range(1, _tokens(asked) + 1):
        yield event(TEXT, usage=counts(PROMPT, so_far))
    yield from _ended(counts(PROMPT, _tokens(asked)))


@answer
def usage_of_each_chunk(asked: Asked) -> Pieces:
    """Gateways that pass deltas on: each chunk with its own tokens, and no sum at the end."""
    for _ in range(_tokens(asked)):
        yield event(TEXT, usage=counts(PROMPT, 1))
    yield event(reason="length")
    yield DONE


@answer
def usage_of_each_chunk_and_the_sum(asked: Asked) -> Pieces:
    """The same, the prompt with the first of them alone, and the sum at the end."""
    for number in range(_tokens(asked)):
        yield event(TEXT, usage=counts(0 if number else PROMPT, 1))
    yield from _ended(counts(PROMPT, _tokens(asked)))


@answer
def usage_of_uneven_chunks(asked: Asked) -> Pieces:
    """The same with some tokens a chunk, and no sum."""
    left = _tokens(asked)
    for wanted in (3, 2, 4, 1, 5, 3, 2):
        tokens = min(wanted, left)
        left -= tokens
        if tokens:
            yield event(TEXT * tokens, usage=counts(PROMPT, tokens))
    yield event(reason="length")
    yield DONE


@answer
def usage_from_one(asked: Asked) -> Pieces:
    """Anthropic's way behind a gateway: the first event counts one token, and the last all."""
    yield event("", role="assistant", usage=counts(PROMPT, 1))
    yield from _texts(_tokens(asked))
    yield event(reason="length", usage=counts(PROMPT, _tokens(asked)))
    yield DONE


@answer
def usage_empty_until_the_end(asked: Asked) -> Pieces:
    """The key is there from the first chunk on, with nothing in it."""
    yield from _texts(_tokens(asked), usage={})
    yield from _ended(counts(PROMPT, _tokens(asked)))


@answer
def usage_null_until_the_end(asked: Asked) -> Pieces:
    """OpenAI's own: the key is there from the first chunk on, and null."""
    for _ in range(_tokens(asked)):
        yield sse({**chunk([{"index": 0, "delta": {"content": TEXT}, "finish_reason": None}]), "usage": None})
    yield from _ended(counts(PROMPT, _tokens(asked)))


@answer
def usage_beside_the_reason(asked: Asked) -> Pieces:
    """Mistral: the counts come with the finish reason, and with the last text."""
    yield from _texts(_tokens(asked) - 1)
    yield event(TEXT, "length", usage=counts(PROMPT, _tokens(asked)))
    yield DONE


@answer
def usage_in_the_choice(asked: Asked) -> Pieces:
    """Moonshot: the counts stand in the choice."""
    yield from _texts(_tokens(asked))
    usage = counts(PROMPT, _tokens(asked))
    yield sse(chunk([{"index": 0, "delta": {}, "finish_reason": "length", "usage": usage}]))
    yield DONE


@answer
def usage_under_x_groq(asked: Asked) -> Pieces:
    """Groq: the counts stand under a name of its own."""
    yield from _texts(_tokens(asked))
    choice = {"index": 0, "delta": {}, "finish_reason": "length"}
    yield sse(chunk([choice], x_groq={"id": "r", "usage": counts(PROMPT, _tokens(asked), total_time=0.1)}))
    yield DONE


@answer
def usage_after_done(asked: Asked) -> Pieces:
    """A proxy that adds the counts when the stream is over."""
    yield from _texts(_tokens(asked))
    yield event(reason="length")
    yield DONE
    yield usage_event(counts(PROMPT, _tokens(asked)))


@answer
def total_zero(asked: Asked) -> Pieces:
    """A total that nobody filled in."""
    yield from _texts(_tokens(asked))
    yield from _ended(counts(PROMPT, _tokens(asked), total_tokens=0))


@answer
def parts_do_not_add(asked: Asked) -> Pieces:
    """A total of something else."""
    yield from _texts(_tokens(asked))
    yield from _ended(counts(PROMPT, _tokens(asked), total_tokens=PROMPT + _tokens(asked) + 7))


@answer
def thoughts_in_the_count(asked: Asked) -> Pieces:
    """OpenAI's reasoning models: 200 tokens are thought, not shown, and counted."""
    yield from _texts(_tokens(asked))
    details = {"completion_tokens_details": {"reasoning_tokens": 200}}
    yield from _ended(counts(PROMPT, 200 + _tokens(asked), **details), "stop")


@answer
def thoughts_alone(asked: Asked) -> Pieces:
    """Gemini behind a gateway: the limit is spent on thoughts, which the count leaves out and the total has."""
    usage = counts(PROMPT, 0, total_tokens=PROMPT + 60, completion_tokens_details={"reasoning_tokens": 60})
    yield from _ended(usage)


@answer
def thoughts_uncounted(asked: Asked) -> Pieces:
    """The count is of the answer alone, and the thoughts that were streamed are in none."""
    for _ in range(LONG_THOUGHTS):
        yield event(reasoning_content=THOUGHT)
    yield from _texts(_tokens(asked))
    yield from _ended(counts(PROMPT, _tokens(asked)), "stop")


@answer
def thoughts_twice(asked: Asked) -> Pieces:
    """OpenRouter, and servers between two names: one text under `reasoning`, `reasoning_details` and the old name."""
    for _ in range(_tokens(asked) // 2):
        yield event(
            "",
            reasoning=THOUGHT,
            reasoning_content=THOUGHT,
            reasoning_details=[{"type": "reasoning.text", "text": THOUGHT, "index": 0}],
        )
    yield from _texts(_tokens(asked) - _tokens(asked) // 2)
    yield event(reason="stop")
    yield DONE


@answer
def thoughts_in_details(asked: Asked) -> Pieces:
    """OpenRouter: thoughts under `reasoning_details` alone."""
    for _ in range(_tokens(asked) // 2):
        yield event(reasoning_details=[{"type": "reasoning.text", "text": THOUGHT, "index": 0}])
    yield from _texts(_tokens(asked) - _tokens(asked) // 2)
    yield from _ended(counts(PROMPT, _tokens(asked)))


@answer
def refusal(asked: Asked) -> Pieces:
    """The model refuses: its text is under `refusal`."""
    for _ in range(_tokens(asked)):
        yield event(refusal=" no")
    yield from _ended(counts(PROMPT, _tokens(asked)), "stop")


@answer
def cached_apart(asked: Asked) -> Pieces:
    """Anthropic's way behind a gateway: `prompt_tokens` leaves out what came from the cache, and the total has it."""
    yield from _texts(_tokens(asked))
    total = 8 + 992 + _tokens(asked)
    details = {"prompt_tokens_details": {"cached_tokens": 992}}
    yield from _ended(counts(8, _tokens(asked), total_tokens=total, **details))


@answer
def whole_text_so_far(asked: Asked) -> Pieces:
    """DashScope without incremental_output: each chunk repeats all that came before."""
    for number in range(1, _tokens(asked) + 1):
        yield event(TEXT * number)
    yield from _ended(counts(PROMPT, _tokens(asked)))


@answer
def whole_text_so_far_of_itself(asked: Asked) -> Pieces:
    """The same of an answer that ends of itself, of words that are a token to most tokenizers."""
    for number in range(1, _tokens(asked) + 1):
        yield event(WORD * number)
    yield from _ended(counts(PROMPT, _tokens(asked)), "stop")


@answer
def comments_and_line_ends(asked: Asked) -> Pieces:
    """OpenRouter's and proxies' streams: comments, CRLF, no blank after the colon, JSON over several lines."""
    yield b"\xef\xbb\xbf: OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\r\n\r\n"
    for number in range(_tokens(asked)):
        said = chunk([{"index": 0, "delta": {"content": TEXT}, "finish_reason": None}])
        if number % 3 == 0:
            yield sse(said, b"\r\n\r\n")
        elif number % 3 == 1:
            yield b"event: message\nid: 7\nretry: 3\ndata:" + json.dumps(said).encode() + b"\n\n"
        else:
            yield b"".join(b"data: %b\n" % line.encode() for line in json.dumps(said, indent=1).split("\n")) + b"\n"
        yield b": keep-alive\n\n"
    yield from _ended(counts(PROMPT, _tokens(asked)))


@answer
def azure(asked: Asked) -> Pieces:
    """Azure: no choice but what its filter found, then a role, null contents, and two reasons (OpenRouter too)."""
    yield sse(chunk([], prompt_filter_results=[{"prompt_index": 0, "content_filter_results": {}}]))
    yield event("", role="assistant")
    yield sse(chunk([{"index": 0, "delta": {"content": None}, "finish_reason": None}]))
    yield 20 * GAP_S
    yield from _texts(_tokens(asked))
    yield event(reason="length")
    yield event(reason="length", usage=counts(PROMPT, _tokens(asked)))
    yield DONE


@answer
def no_reason(asked: Asked) -> Pieces:
    """[DONE] is the end, and nobody says why."""
    yield from _texts(_tokens(asked))
    yield usage_event(counts(PROMPT, _tokens(asked)))
    yield DONE


@answer
def cut_after_an_empty_reason(asked: Asked) -> Pieces:
    """A reason that is an empty text in each chunk, and every second answer ends early, without a word."""
    is_cut = asked.number % 2 == 0 and asked.limit > 1
    for so_far in range(1, (_tokens(asked) // 4 if is_cut else _tokens(asked)) + 1):
        yield event(TEXT, "", usage=counts(PROMPT, so_far))
    if not is_cut:
        yield event(reason="stop", usage=counts(PROMPT, _tokens(asked)))
        yield DONE


@answer
def error_after_text(asked: Asked) -> Pieces:
    """Gateways: every second request fails in its midst, under status 200, and ends as if nothing were."""
    fails = asked.number % 2 == 0 and asked.limit > 1
    yield from _texts(_tokens(asked) // 2 if fails else _tokens(asked))
    if fails:
        yield sse({**chunk([]), "error": {"code": 502, "message": "Worker local total request limit reached"}})
    yield from _ended(counts(PROMPT, _tokens(asked)))


@answer
def longer_than_asked(asked: Asked) -> Pieces:
    """Ollama, llama-cpp-python: the limit is not heeded."""
    yield from _texts(30)
    yield from _ended(counts(PROMPT, 30), "stop")


@answer
def prompt_cut(asked: Asked) -> Pieces:
    """Ollama: the prompt is cut to half of the window, and the counts are of what is left."""
    yield from _texts(_tokens(asked))
    yield from _ended(counts(WINDOW, _tokens(asked)))


@answer
def no_usage_but_logprobs(asked: Asked) -> Pieces:
    """Two tokens a chunk, which their probabilities list, and no counts."""
    for _ in range(_tokens(asked) // 2):
        listed = {"content": [{"token": TEXT, "logprob": -1.0}] * 2}
        yield sse(chunk([{"index": 0, "delta": {"content": TEXT * 2}, "logprobs": listed, "finish_reason": None}]))
    if _tokens(asked) % 2:
        yield event(TEXT)
    yield event(reason="length")
    yield DONE


@answer
def no_usage(asked: Asked) -> Pieces:
    """LM Studio, llama-cpp-python, TGI of old: no counts."""
    yield from _texts(_tokens(asked))
    yield event(reason="length")
    yield DONE


@answer
def impossible_counts(asked: Asked) -> Pieces:
    """Counts that are no counts, of every kind that JSON has."""
    odd = ("20", -20, 10**30, True, 20.5, None, [20], {"n": 20})
    yield from _texts(_tokens(asked))
    count = odd[asked.number % len(odd)]
    yield from _ended({"prompt_tokens": count, "completion_tokens": count, "total_tokens": count})


@answer
def compressed(asked: Asked) -> Reply:
    """A proxy that compresses what it was asked to leave as it is."""
    pieces = (*_texts(_tokens(asked)), *_ended(counts(PROMPT, _tokens(asked))))
    whole = gzip.compress(b"".join(piece for piece in pieces if isinstance(piece, bytes)))
    return Reply([whole], headers={"Content-Encoding": "gzip"})


def zero_in(numbers: Container[int]) -> Callable[[Asked], Pieces]:
    """Return a script whose answers of these numbers have a count of no tokens."""

    def answered(asked: Asked) -> Pieces:
        yield from _texts(_tokens(asked))
        yield from _ended(counts(PROMPT, 0 if asked.number in numbers else _tokens(asked)))

    return answered


def _refuses(asked: Asked, *names: str) -> Reply | Pieces:
    """An answer, or the refusal of whatever is in the body under these names."""
    found = [name for name in names if name in asked.body]
    if not found:
        return running_usage(asked)
    error = {"error": {"message": f"Unrecognized request argument supplied: {found[0]}", "code": None}}
    return Reply([json.dumps(error).encode()], 400, {"Content-Type": "application/json"})


@answer
def refuses_options(asked: Asked) -> Reply | Pieces:
    """Azure of old: an argument that it does not know is an error."""
    return _refuses(asked, "stream_options")


@answer
def refuses_neutral_values(asked: Asked) -> Reply | Pieces:
    """OpenAI's reasoning models, Moonshot's: no sampling is to be asked for, though it be the neutral one."""
    return _refuses(asked, "top_p", "frequency_penalty", "presence_penalty", "n")


@answer
def refuses_always(asked: Asked) -> Reply:
    """An error that has nothing to do with what was asked for beyond need."""
    error = {"error": {"message": "the context has 7 tokens"}}
    return Reply([json.dumps(error).encode()], 400, {"Content-Type": "application/json"})
