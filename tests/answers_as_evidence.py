"""Answers as the evidence that the audit of token counts has of them."""

import itertools

from llenergymeasure.backends.openai.client.records import Answer, ServerCounts
from llenergymeasure.backends.openai.load.plausible_counts import plausible
from llenergymeasure.backends.openai.load.token_counts import audited
from llenergymeasure.backends.openai.load.token_evidence import Recount, evidence
from llenergymeasure.domain.requests import Request

LONG_WORD = " responsibility"
PROSE = (
    "The quick brown fox jumps over the lazy dog, and then it sleeps until the evening of the next day. Energy per "
    "token is a ratio; its denominator is counted by the server, and checked by whoever reads it afterwards. "
)


def cut(text, *lengths):
    """The text in chunks of these lengths in turn."""
    texts, each = [], itertools.cycle(lengths)
    while text:
        length = next(each)
        texts, text = [*texts, text[:length]], text[length:]
    return texts


def seen(
    output=20,
    chunks=20,
    *,
    text=" tok",
    texts=None,
    prompt=10,
    asked=4000,
    ends="stop",
    ignore_eos=False,
    ids=None,
    listed=None,
    kinds=("content",),
    in_chat=True,
    stops=0,
    empty=0,
    hides=False,
    **counts,
):
    """The evidence of an answer in equal chunks, unless `texts` are given."""
    texts = tuple(texts if texts is not None else [text] * chunks)
    answer = Answer(
        chunk_times_s=tuple(0.01 * number for number in range(len(texts))),
        chunk_texts=texts,
        chunk_tokens=tuple(listed if listed is not None else [None] * len(texts)),
        finish_reason=ends,
        finished_s=1.0,
        streamed=True,
        failure=None,
        counts=ServerCounts(input_tokens=prompt, output_tokens=output, **counts),
        text_kinds=frozenset(kinds),
        empty_chunks=empty,
    )
    request = Request(0, None if ids else "Hello", tuple(range(ids)) if ids else None, asked, ignore_eos)
    return evidence(plausible(answer, request), request, in_chat=in_chat, stop_tokens=stops, hides_reasoning=hides)


def recount(output, prompt=10, least=5):
    return Recount(output, prompt, least)


def found(given_evidence, by_tokenizer=None):
    return set(audited(given_evidence, by_tokenizer).findings)
