"""The time of each token of an answer, from the times of its chunks of text and the tokens that each brought."""

from bisect import bisect_right
from itertools import pairwise
from typing import NamedTuple

from llenergymeasure.backends.openai.client.records import Answer, ServedRequest, Usage
from llenergymeasure.domain.requests import Untimed

FEW = 0.02
"""The share of tokens that may have come beside others, wherever, without moving a mean time per token by more."""

RECOUNTED = 0.25
"""The share by which a text that is cut into tokens again may have more of them than it was made of."""


MOST_SHARED = 0.25
"""The share of tokens that may have come in one packet with the one before, and the gaps of the others still tell."""

OWN_STEP = 0.5
"""The share of the median time between two chunks after which an end is one more token's."""


class TokenTimes(NamedTuple):
    """A time in seconds for each token; `first` came with the first text, all of them where nobody has counted it.

    `exact`: each later one has its own; `untimed` is the reason where not.
    """

    times_s: tuple[float, ...]
    first: int
    exact: bool
    untimed: Untimed | None = None


class _Placed(NamedTuple):
    """The tokens of each chunk, those of the first where they are known, and why they have no time each."""

    counts: list[int]
    first: int | None
    untimed: Untimed | None


def token_times(served: ServedRequest, usage: Usage, *, is_recount: bool = False) -> TokenTimes:
    """Return the times of the tokens of a whole answer.

    Tokens that were counted as reasoning and not shown came before the first text. Where the server counted the tokens
    of each chunk they have their chunk's time, and so has one per chunk; an end-of-sequence token, which has no text,
    has the time of the finish reason, if that came as late as a token does. Otherwise tokens are taken to come in equal
    numbers with each chunk, and how many came with the first is unknown, unless hardly any can have come with another.
    Those of chunks in one packet have one time. `is_recount`: the tokenizer has counted the text, which is no exact
    count; chunks that are nearly as many are tokens.
    """
    answer, end_s = served.answer, answer_end_s(served)
    times_s, output = answer.chunk_times_s, usage.output_tokens
    if not times_s or not answer.streamed:
        return TokenTimes((end_s,) * output, output, False, "one_piece" if times_s else "no_text")
    hidden = min(usage.hidden_tokens, output)
    shown = output - hidden
    counts, first, untimed = (_recounted if is_recount else _placed)(answer, shown, _listed(answer, hidden), end_s)
    at_s = tuple(at_s for at_s, count in zip(times_s, counts, strict=True) for _ in range(count))
    at_s += (end_s,) * (shown - len(at_s))
    if untimed is None and shown - len(set(at_s)) > MOST_SHARED * shown:
        untimed = "one_packet"
    if first is None or end_s == times_s[0]:
        first = shown
    else:
        first = min(first + sum(counts[1 : bisect_right(times_s, times_s[0])]), shown)
    return TokenTimes((times_s[0],) * hidden + at_s, max(hidden + first, 1), untimed is None, untimed)


def _listed(answer: Answer, hidden: int) -> list[int] | None:
    """Return the tokens of each chunk without those before the first text; None where the server did not count all."""
    first, *later = answer.chunk_tokens
    if not first or None in later:
        return None
    return [first - hidden if first > hidden else first, *(count or 0 for count in later)]


def _placed(answer: Answer, tokens: int, listed: list[int] | None, end_s: float) -> _Placed:
    """Place the tokens in the chunks; those that are left came with the end."""
    chunks = len(answer.chunk_times_s)
    missing = tokens - chunks
    if answer.has_several_choices:
        return _Placed(_evenly(tokens, chunks), None, "several_choices")
    if listed is not None and 0 <= tokens - sum(listed) <= answer.empty_chunks + 1:
        return _placed_as_listed(answer, tokens, listed, end_s)
    if listed is not None and abs(tokens - sum(listed)) > FEW * tokens:
        return _Placed(_evenly(tokens, chunks), None, "disputed")
    first = None if (answer.chunk_tokens[0] or 0) > tokens else answer.chunk_tokens[0]
    ends = int(answer.finish_reason == "stop")
    if (first or 1) == 1 and (missing == 0 or (missing == ends and _ends_with_a_token(answer, end_s))):
        return _Placed([1] * chunks, 1, None)
    evenly = _evenly(tokens, chunks)
    if missing < 0:
        return _Placed(evenly, evenly[0], "cut_anew")
    why: Untimed = "without_text" if 0 < missing <= answer.empty_chunks + ends and answer.empty_chunks else "bundled"
    if missing <= FEW * tokens:
        return _Placed(evenly, first or 1, why)
    if first:
        return _Placed(evenly, first, why)
    return _Placed(evenly, None, "uncounted" if why == "bundled" else why)


def _placed_as_listed(answer: Answer, tokens: int, listed: list[int], end_s: float) -> _Placed:
    left = tokens - sum(listed)
    has_end = left == 0 or _ends_with_a_token(answer, end_s)
    first = listed[0] if has_end or left <= FEW * tokens else None
    if left <= 1 and has_end and max(listed) == 1:
        return _Placed(listed, first, None)
    return _Placed(listed, first, "without_text" if answer.empty_chunks else "bundled")


def _ends_with_a_token(answer: Answer, end_s: float) -> bool:
    """Return True if the end came after the last text about as long as texts come after each other."""
    gaps_s = sorted(after_s - before_s for before_s, after_s in pairwise(answer.chunk_times_s) if after_s > before_s)
    return bool(gaps_s) and end_s - answer.chunk_times_s[-1] >= OWN_STEP * gaps_s[len(gaps_s) // 2]


def _recounted(answer: Answer, tokens: int, listed: list[int] | None, end_s: float) -> _Placed:
    placed, chunks = _placed(answer, tokens, listed, end_s), len(answer.chunk_times_s)
    if placed.untimed in ("uncounted", "cut_anew", "disputed") and abs(tokens - chunks) <= RECOUNTED * chunks:
        return _Placed(placed.counts, 1, "recounted")
    return placed


def _evenly(tokens: int, chunks: int) -> list[int]:
    edges = [-(-place * tokens // chunks) for place in range(chunks + 1)]
    return [after - before for before, after in pairwise(edges)]


def answer_end_s(served: ServedRequest) -> float:
    """Return when the answer was whole: with the reason for its end, or else with its last text."""
    answer = served.answer
    moments_s = [*answer.chunk_times_s[-1:], *([] if answer.finished_s is None else [answer.finished_s])]
    return max(moments_s, default=served.end_s)
