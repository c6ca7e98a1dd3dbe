"""All that is known of the tokens of one answer: what the server counted, what came, and what was asked for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from llenergymeasure.backends.openai.client.records import Answer, ServerCounts, TextKind
from llenergymeasure.domain.requests import Request

RUN = re.compile(r"\s+|(..?)\1+", re.DOTALL)
"""Blanks, and one or two characters that repeat, of which a vocabulary has long tokens."""

FEWEST_SO_FAR = 5
"""Chunks that go on from each other before they are taken to repeat the text so far."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""Stands in a text for bytes that are none."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The facts about the tokens of one request, beside its text.

    `chunks` and `characters` are of its non-empty text, `later_bytes` beyond the first of each character: tokens
    with which no chunk came, as they waited for the rest of one. `plain_characters` with each run as one where a
    count is below the chunks, `replacements` those that stand for bytes that are no text; `empty_chunks` came
    without text, and a token may have come with each. `listed_tokens` is the sum of those that the server listed
    for every chunk, None where it did not; `asked_tokens` the limit on the output, reached exactly where
    `ignores_eos`; `ids_sent` the number of token ids of the prompt, None of text; `has_prompt` is False of an empty
    one. `stop_tokens` is how many a stop string may have taken with it. `hides_reasoning`: the request asked for
    thoughts to be left out of the answer.
    """

    counts: ServerCounts
    chunks: int
    empty_chunks: int
    characters: int
    later_bytes: int
    plain_characters: int
    replacements: int
    listed_tokens: int | None
    first_chunk_tokens: int | None
    finish_reason: str | None
    text_kinds: frozenset[TextKind]
    asked_tokens: int
    ignores_eos: bool
    ids_sent: int | None
    has_prompt: bool
    in_chat: bool
    stop_tokens: int
    hides_reasoning: bool

    @property
    def ended(self) -> int:
        """1 where an end-of-sequence token ended the output, which no text shows."""
        return 1 if self.finish_reason == "stop" else 0

    @property
    def events(self) -> int:
        """Chunks with and without text."""
        return self.chunks + self.empty_chunks

    @property
    def reasoning(self) -> int:
        """Reasoning tokens that the server lists."""
        return self.counts.reasoning_tokens or 0

    @property
    def rejected(self) -> int:
        """Tokens of a rejected prediction that the server lists."""
        return self.counts.rejected_tokens or 0


@dataclass(frozen=True, slots=True)
class Recount:
    """The counts of the model's tokenizer: of the text of the output, of the prompt as a server reads it (None where it
    was not asked for, or cannot be told), and of the prompt's own text alone: the least that any template leaves, and
    the most as which it may be read without one (None: the same).

    Where the text is not `is_whole`, those of its output are of its beginning.
    """

    output_tokens: int
    input_tokens: int | None
    least_input_tokens: int
    most_input_tokens: int | None = None
    is_whole: bool = True


def evidence(
    answer: Answer, request: Request, *, in_chat: bool, stop_tokens: int = 0, hides_reasoning: bool = False
) -> Evidence:
    """Return the evidence of a whole answer to a request; its counts are plausible ones."""
    listed = [count for count in answer.chunk_tokens if count is not None]
    known = bool(listed) and len(listed) == len(answer.chunk_texts)
    text, counts = answer_text(answer), answer.counts
    return Evidence(
        counts=counts,
        chunks=len(answer.chunk_texts),
        empty_chunks=answer.empty_chunks,
        characters=len(text),
        later_bytes=0 if text.isascii() else len(text.encode(errors="replace")) - len(text),
        plain_characters=_plain_characters(text) if _has_count_below(counts, listed, answer) else len(text),
        replacements=text.count(REPLACEMENT),
        listed_tokens=sum(listed) if known else None,
        first_chunk_tokens=answer.chunk_tokens[0] if answer.streamed and answer.chunk_tokens else None,
        finish_reason=answer.finish_reason,
        text_kinds=answer.text_kinds,
        asked_tokens=request.max_output_tokens,
        ignores_eos=request.ignore_eos,
        ids_sent=None if request.token_ids is None else len(request.token_ids),
        has_prompt=bool(request.prompt or request.token_ids or request.messages),
        in_chat=in_chat,
        stop_tokens=stop_tokens,
        hides_reasoning=hides_reasoning,
    )


def _has_count_below(counts: ServerCounts, listed: list[int], answer: Answer) -> bool:
    """Return True if a count of the output may be below the chunks; for others, no text is looked at twice."""
    total = counts.total_tokens and counts.total_tokens - (counts.input_tokens or 0)
    given = [each for each in (counts.output_tokens, counts.other_output_tokens, total) if each is not None]
    return min(given, default=sum(listed)) < len(answer.chunk_texts)


def _plain_characters(text: str) -> int:
    return len(RUN.sub(lambda run: run[1] or " ", text))


def answer_text(answer: Answer) -> str:
    """Return the text of an answer; of one whose chunks each repeat all text so far and go on, that of the last."""
    return _joined(answer.chunk_texts)


def shown_answer(answer: Answer) -> str:
    """Return the same without reasoning, refusals and calls."""
    return _joined(answer.chunk_answers or answer.chunk_texts)


def _joined(texts: Sequence[str]) -> str:
    if len(texts) >= FEWEST_SO_FAR and all(
        len(after) > len(before) and after.startswith(before) for before, after in pairwise(texts)
    ):
        return texts[-1]
    return "".join(texts)


def most_stop_tokens(sent: Mapping[str, object]) -> int:
    """Return how many tokens an answer may have lost to a stop string of a request's fields: no string has more of them
    than bytes, and one more may begin within its last."""
    given = [value for name, value in sent.items() if name.startswith("stop")]
    each = [item for value in given for item in (value if isinstance(value, list | tuple) else [value])]
    return max((len(item.encode(errors="replace")) + 1 if isinstance(item, str) else 1 for item in each), default=0)
