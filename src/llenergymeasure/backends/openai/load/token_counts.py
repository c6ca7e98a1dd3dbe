"""Token counts of one request, audited: pure functions from all that is known of it to the counts that are believed.

A rule and its tolerance are in one place each; `docs/trust.md` has them in words. A good server is never accused: text
that is cut into tokens again comes to 1.03 to 1.21 times the true count, a gateway may cut text into other chunks, an
end-of-sequence token may be counted or not, and a chat template may add any number of tokens to a prompt.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf

from llenergymeasure.backends.openai.load.finish_reasons import AT_LENGTH, WITHHELD
from llenergymeasure.backends.openai.load.prompt_counts import (
    RECOUNT_SHARE,
    RECOUNT_TOKENS,
    Counted,
    Parts,
    prompt_counts,
    tolerance_of,
    whole_parts,
)
from llenergymeasure.backends.openai.load.token_evidence import Evidence, Recount
from llenergymeasure.domain.choices import TokenCountSource
from llenergymeasure.domain.token_audit import JudgedBy, TokenFinding

UNSHOWN_TOKENS = 16
"""A server's count may be above the tokenizer's by this many: those that frame an answer, special ones that are left
out of its text, and blanks that are cut away."""

REPLACEMENT_TOKENS = 2
"""Beside that, for each character that stands for bytes that are no text: one token may have brought up to three of
them, and one of them is up to three tokens when it is cut again."""

LIMIT_FACTOR = 2
"""An answer that ended at its limit with the tokens that were asked may be cut into so many times as many."""

RECUT_CHUNKS, RECUT_SHARE, RECUT_CHARACTERS = 2, 0.02, 3
"""A count below the chunks by more than the larger of the first two is too small, unless the text was cut anew: into
pieces of fewer characters than these, or of a text that has no more than its tokens can hold."""

TOKEN_CHARACTERS, LONG_WORDS = 7, 20
"""No text has more characters than the first for each token, and the second beside them, where a run of blanks and of
what repeats counts as one. A vocabulary of 131,000 tokens cuts prose and code into at most 13.0 characters a token over
2 tokens on end, 7.7 over 10, 6.4 over 20 and 5.1 over 300; English has 4.0 to 4.7, and twice that by half a count."""

MARKS = 16
"""Tokens around parts of an answer that are parsed, which no text shows."""

END_TOKENS = 1
"""The end-of-sequence token of an output."""

CACHED_SHARE = 0.05
"""The share of a prompt that may come from a cache without a remark."""


@dataclass(frozen=True, slots=True)
class AuditedCounts:
    """The counts that are believed, and all that speaks against the server's.

    `hidden_tokens` of the output are reasoning that is not shown. Tokens are None, and `counted_by` of the output too,
    where nothing tells. Those in dispute are the difference between the server's count and the best other evidence: of
    a count that is missing all that was guessed. `judged_by` is what the count of the output was held against: the
    tokenizer, or the stream (chunks, lists, limit) alone; None where there is nothing to hold it against.
    """

    input_tokens: int | None
    output_tokens: int | None
    hidden_tokens: int
    counted_by: TokenCountSource | None
    findings: tuple[TokenFinding, ...] = ()
    disputed_output_tokens: int = 0
    disputed_input_tokens: int = 0
    cached_input_tokens: int | None = None
    counted_by_tokenizer: bool = False
    judged_by: JudgedBy | None = "stream"


def audited(seen: Evidence, recount: Recount | None = None) -> AuditedCounts:
    """Return the counts that are believed: the server's where nothing contradicts it, else the tokenizer's, else one
    token for each chunk."""
    seen = _with_likelier_count(seen, recount)
    parts = whole_parts(seen)
    output = _output(seen, parts, recount)
    prompt = prompt_counts(seen, parts, recount)
    findings = (*output.findings, *prompt.findings, *_remarks(seen, parts, output, prompt, recount))
    return AuditedCounts(
        input_tokens=prompt.tokens,
        output_tokens=output.tokens,
        hidden_tokens=_hidden(seen, output.tokens),
        counted_by=output.counted_by,
        findings=tuple(dict.fromkeys(findings)),
        disputed_output_tokens=output.disputed,
        disputed_input_tokens=prompt.disputed,
        cached_input_tokens=None if "counts_differ" in prompt.findings else seen.counts.cached_input_tokens,
        counted_by_tokenizer=recount is not None and recount.is_whole,
        judged_by=_judged_by(seen, output, recount),
    )


def _with_likelier_count(seen: Evidence, recount: Recount | None) -> Evidence:
    """Return the evidence with that one of two counts of the server in its place which is nearer to the text."""
    output, other = seen.counts.output_tokens, _other_count(seen)
    if output is None or other is None:
        return seen
    shown = seen.events if seen.listed_tokens is None else seen.listed_tokens
    if recount is not None and recount.is_whole and seen.chunks:
        shown = recount.output_tokens
    near, far = sorted((output, other), key=lambda count: abs(count - shown - seen.ended))
    total = seen.counts.total_tokens if near == output else None
    return replace(seen, counts=replace(seen.counts, output_tokens=near, other_output_tokens=far, total_tokens=total))


def _other_count(seen: Evidence) -> int | None:
    """Return another count that the server gave of the same output: a second one, or the sum of its lists where no
    tokens without text can have come behind them."""
    output, other, listed = seen.counts.output_tokens, seen.counts.other_output_tokens, seen.listed_tokens
    if output is None:
        return None
    if other is not None and abs(other - output) > END_TOKENS:
        return other
    if listed is None or seen.reasoning:
        return None
    if listed - output > _few(listed):
        return listed
    tail, slack = output - listed - END_TOKENS, max(UNSHOWN_TOKENS, tolerance_of(output)) + seen.later_bytes
    return listed if not _is_at_limit(seen, output) and tail > slack + _unseen(seen) else None


def _output(seen: Evidence, parts: Parts, recount: Recount | None) -> Counted:
    findings = tuple(_contradictions(seen, parts, recount))
    if parts.output is not None and not findings:
        counted = _with_another_count(seen, _with_another_total(seen, parts, recount), recount)
    else:
        counted = _without_the_server(seen, parts, recount, findings)
    return _held_against_the_length(seen, counted)


def _contradictions(seen: Evidence, parts: Parts, recount: Recount | None) -> Iterator[TokenFinding]:
    """Yield what the text of an answer says against the server's count of its output."""
    if parts.output is None:
        yield "usage_missing"
    elif parts.output == 0 and seen.chunks:
        yield "zero_with_text"
    elif (
        _is_below_chunks(parts.output, seen)
        and "tool_calls" not in seen.text_kinds
        and not _is_recut(seen, parts.output, recount)
    ):
        yield "fewer_than_chunks"
    elif recount is not None and seen.chunks and not _is_possible(recount, seen, parts.output):
        yield "tokenizer_differs"


def _is_below_chunks(tokens: int, seen: Evidence) -> bool:
    return tokens < seen.chunks - _few(seen.chunks)


def _few(tokens: int) -> float:
    return max(RECUT_CHUNKS, RECUT_SHARE * tokens)


def _may_be_recut(seen: Evidence, tokens: int) -> bool:
    return (
        seen.characters < RECUT_CHARACTERS * seen.chunks
        or seen.plain_characters <= TOKEN_CHARACTERS * tokens + LONG_WORDS
    )


def _is_recut(seen: Evidence, tokens: int, recount: Recount | None) -> bool:
    """Return True if a gateway may have cut the text into more chunks than it has tokens. Of a few tokens the tokenizer
    tells no more than the length of the text."""
    may_be = _may_be_recut(seen, tokens)
    if recount is None or not recount.output_tokens:
        return may_be
    excess = recount.output_tokens - tokens - REPLACEMENT_TOKENS * seen.replacements
    return excess <= RECOUNT_SHARE * tokens or (excess <= RECOUNT_TOKENS and may_be)


def _is_at_limit(seen: Evidence, tokens: int) -> bool:
    """Return True if the answer ended at its limit with the tokens asked: by `length`, or a server's own word."""
    return tokens == seen.asked_tokens and not seen.ended


def _unseen(seen: Evidence) -> float:
    """Return the most tokens of an output that its text need not show, beside the end-of-sequence token: those with
    empty chunks, listed reasoning, marks around it, rejected predictions, a stop string; any number around tool calls,
    of withheld text and of thoughts that the request asked to be left out."""
    if seen.hides_reasoning or "tool_calls" in seen.text_kinds or (seen.finish_reason or "").lower() in WITHHELD:
        return inf
    marks = MARKS if "reasoning" in seen.text_kinds or seen.reasoning else 0
    stopped = 0 if seen.finish_reason == "length" else seen.stop_tokens
    return seen.empty_chunks + seen.reasoning + marks + seen.rejected + stopped


def _slack(seen: Evidence, tokens: float) -> float:
    return tolerance_of(tokens) + REPLACEMENT_TOKENS * seen.replacements


def _shows_all(recount: Recount, seen: Evidence, tokens: int, unshown: int = UNSHOWN_TOKENS) -> bool:
    """Return True if the text has as many tokens as were counted, but for those that it need not show."""
    visible = max(tokens - _unseen(seen), 0)
    slack = max(unshown, _slack(seen, visible))
    return not recount.is_whole or recount.output_tokens >= visible - slack


def _holds(recount: Recount, seen: Evidence, tokens: int) -> bool:
    """Return True if the text has no more tokens than were counted. Arguments of tool calls may be written anew: with
    letters as escapes they have up to 23 times as many tokens."""
    if "tool_calls" in seen.text_kinds:
        return True
    most = tokens + _slack(seen, tokens)
    if _is_at_limit(seen, tokens):
        most = max(most, LIMIT_FACTOR * tokens)
    return recount.output_tokens <= most


def _is_possible(recount: Recount, seen: Evidence, tokens: int) -> bool:
    """Return True if the text may have so many tokens. At the limit tokens without text may be any number: an end of
    sequence that was ignored is none. A server that streams character by character counts with another tokenizer."""
    by_character = seen.characters == seen.chunks and abs(tokens - seen.events - seen.ended) <= _few(tokens)
    return _holds(recount, seen, tokens) and (
        _is_at_limit(seen, tokens) or by_character or _shows_all(recount, seen, tokens)
    )


def _judged_by(seen: Evidence, output: Counted, recount: Recount | None) -> JudgedBy | None:
    """Return what the count of the output was held against, and could have failed. A few tokens need no text."""
    if output.counted_by != "server":
        return "tokenizer" if output.counted_by == "tokenizer" else "stream"
    tokens = output.tokens or 0
    if _is_not_shown(seen, output, recount):
        return None
    if recount is not None and recount.is_whole and seen.chunks and _unseen(seen) < inf:
        is_near = recount.output_tokens <= tokens + _slack(seen, tokens) and _shows_all(recount, seen, tokens, 0)
        return "tokenizer" if is_near else "stream"
    few = tokens <= MARKS
    return "stream" if few or seen.events or seen.reasoning or _is_at_limit(seen, tokens) else None


def _with_another_total(seen: Evidence, parts: Parts, recount: Recount | None) -> Counted:
    """Return the server's count; in dispute is its distance from what its total says, unless other evidence settles
    which of both is right."""
    output, other = parts.output, parts.other_output
    if output is None or other is None:
        return Counted(output, "server")
    distance = abs(other - output)
    settled = (
        distance <= END_TOKENS
        or other <= 0
        or (seen.finish_reason == "length" and _is_at_limit(seen, output))
        or (other < output and _is_below_chunks(other, seen) and not _is_recut(seen, other, recount))
        or (recount is not None and bool(seen.chunks) and not _is_possible(recount, seen, other))
    )
    findings: tuple[TokenFinding, ...] = () if settled else ("parts_do_not_add",)
    return Counted(output, "server", findings, 0 if settled else distance)


def _with_another_count(seen: Evidence, counted: Counted, recount: Recount | None) -> Counted:
    """Return the server's count; in dispute is its distance from another that the server gave, and what is beyond the
    limit where neither the stream nor the tokenizer shows so many."""
    tokens, other = counted.tokens, seen.counts.other_output_tokens
    if tokens is None:
        return counted
    disputed = 0 if other is None or abs(other - tokens) <= END_TOKENS else abs(other - tokens)
    shown = max(seen.events + seen.ended, seen.asked_tokens + seen.reasoning + seen.rejected)
    is_told = recount is not None and seen.chunks and _shows_all(recount, seen, tokens)
    if tokens > shown + _few(shown) and not is_told:
        disputed = max(disputed, tokens - shown)
    if not disputed:
        return counted
    findings: tuple[TokenFinding, ...] = (*counted.findings, "counts_differ")
    return replace(counted, findings=findings, disputed=max(counted.disputed, disputed))


def _without_the_server(
    seen: Evidence, parts: Parts, recount: Recount | None, findings: tuple[TokenFinding, ...]
) -> Counted:
    """Return the tokenizer's count or, as a guess, the chunks; unknown where there is neither."""
    if recount is None or _is_no_count(recount, seen):
        least = 0 if recount is None else recount.output_tokens
        guess = max(least, seen.events)
        counted_by: TokenCountSource = "tokenizer" if least == guess else "chunks"
        if guess:
            return Counted(guess, counted_by, findings, abs(guess - (parts.output or 0)))
    if recount is None or not (seen.chunks or seen.ended):
        return Counted(None, None, findings)
    shown = recount.output_tokens + seen.ended
    tokens = max(shown + _hidden_reasoning(seen), seen.events + seen.ended if seen.empty_chunks else 0)
    asked = seen.asked_tokens
    if seen.finish_reason == "length" and shown <= max(LIMIT_FACTOR * asked, asked + _slack(seen, asked)):
        tokens = asked
    disputed = _unproven(seen, tokens, recount) if parts.output is None else abs(tokens - parts.output)
    return Counted(tokens, "tokenizer", findings, disputed)


def _is_no_count(recount: Recount, seen: Evidence) -> bool:
    """Return True if the tokenizer has not counted all of the text, or knows nothing of it: no fewer tokens than chunks
    can have come where these were not cut anew."""
    tokens = recount.output_tokens
    if not seen.chunks or not recount.is_whole or not tokens:
        return seen.events > 0
    return _is_below_chunks(tokens, seen) and not _may_be_recut(seen, tokens)


def _hidden_reasoning(seen: Evidence) -> int:
    return 0 if "reasoning" in seen.text_kinds else seen.reasoning


def _unproven(seen: Evidence, tokens: int, recount: Recount) -> int:
    """Return how many tokens of an answer without a count are not proven: none where each chunk is one, or the
    tokenizer has found as many."""
    if _unseen(seen) == inf:
        return tokens
    if abs(seen.events + seen.ended - tokens) <= _few(tokens):
        return 0
    if seen.finish_reason == "length" and tokens != seen.asked_tokens:
        return abs(tokens - seen.asked_tokens)
    if not _shows_all(recount, seen, tokens, unshown=0) or recount.output_tokens > tokens + _slack(seen, tokens):
        return abs(tokens - recount.output_tokens - seen.ended)
    return min(REPLACEMENT_TOKENS * seen.replacements, tokens)


def _held_against_the_length(seen: Evidence, counted: Counted) -> Counted:
    """Return the count with the tokens that are missing where the end of sequence was to be ignored; they are in
    dispute where nothing else can have ended the answer."""
    tokens = counted.tokens
    if not seen.ignores_eos or tokens is None or counted.counted_by == "chunks":
        return counted
    allowed = END_TOKENS if counted.counted_by == "server" else tolerance_of(seen.asked_tokens)
    missing = seen.asked_tokens - tokens
    if missing <= allowed:
        return counted
    findings: tuple[TokenFinding, ...] = (*counted.findings, "shorter_than_asked")
    disputed = 0 if _may_end_early(seen) else missing
    return replace(counted, findings=findings, disputed=max(counted.disputed, disputed))


def _may_end_early(seen: Evidence) -> bool:
    """Return True if an answer may be shorter than asked though no end of sequence has ended it: a stop string that was
    sent has, or the end of the context."""
    return bool(seen.stop_tokens and seen.ended) or (seen.finish_reason or "").lower() in AT_LENGTH


def _remarks(
    seen: Evidence, parts: Parts, output: Counted, prompt: Counted, recount: Recount | None
) -> Iterator[TokenFinding]:
    """Yield what is to be known of the counts and speaks against none of them."""
    tokens = output.tokens or 0
    if parts.do_not_add:
        yield "parts_do_not_add"
    if parts.is_reasoning_apart:
        yield "reasoning_apart"
    cached = 0 if "counts_differ" in prompt.findings else seen.counts.cached_input_tokens or 0
    if cached > CACHED_SHARE * (prompt.tokens or 0):
        yield "cached"
    if (seen.first_chunk_tokens or 0) - _hidden(seen, output.tokens) > 1:
        yield "bundled"
    if (
        tokens - seen.reasoning - seen.rejected > seen.asked_tokens + END_TOKENS
        and "counts_differ" not in output.findings
    ):
        yield "longer_than_asked"
    if _is_not_shown(seen, output, recount):
        yield "not_shown"


def _is_not_shown(seen: Evidence, output: Counted, recount: Recount | None) -> bool:
    """Return True if the text of an answer that ended at its limit has fewer tokens than were counted."""
    if recount is None or not seen.chunks or output.counted_by != "server":
        return False
    tokens = output.tokens or 0
    return _is_at_limit(seen, tokens) and not _shows_all(recount, seen, tokens, 0)


def _hidden(seen: Evidence, output_tokens: int | None) -> int:
    """Return the reasoning tokens that no text shows; each chunk of the text has a token of its own."""
    if "reasoning" in seen.text_kinds:
        return 0
    return min(seen.counts.reasoning_tokens or 0, max((output_tokens or 0) - seen.chunks, 0))
