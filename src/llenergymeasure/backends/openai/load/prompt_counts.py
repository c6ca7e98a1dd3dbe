"""A server's counts as wholes, and those of its prompts: what a prompt was counted as against what was sent."""

from dataclasses import dataclass

from llenergymeasure.backends.openai.load.token_evidence import Evidence, Recount
from llenergymeasure.domain.choices import TokenCountSource
from llenergymeasure.domain.token_audit import TokenFinding

RECOUNT_TOKENS, RECOUNT_SHARE = 8, 0.25
"""The tokenizer's count of a text differs from the true one by no more than the larger of these."""

PROMPT_ENDS = 2
"""The tokens that begin and end a prompt."""

TEMPLATE_FACTOR, TEMPLATE_TOKENS = 10, 10_000
"""No chat template makes of a conversation more than so many times its tokens and so many beside them."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A count that is believed, by whom, what speaks against the server's, and how many tokens are in dispute."""

    tokens: int | None
    counted_by: TokenCountSource | None
    findings: tuple[TokenFinding, ...] = ()
    disputed: int = 0


@dataclass(frozen=True, slots=True)
class Parts:
    """The server's counts as wholes: the input with what was cached, the output with its reasoning, and another output
    that the total leaves possible. `has_too_much_cached`: more came from a cache than is in the prompt, while the total
    has the prompt alone."""

    input: int | None
    output: int | None
    other_output: int | None = None
    is_reasoning_apart: bool = False
    do_not_add: bool = False
    has_too_much_cached: bool = False


def tolerance_of(tokens: float) -> float:
    """Return how far the tokenizer's count of a text of so many tokens may be from that."""
    return max(RECOUNT_TOKENS, RECOUNT_SHARE * tokens)


def whole_parts(seen: Evidence) -> Parts:
    """Return the counts as wholes. A total is that of prompt and completion or, of some servers, of reasoning or of
    cached tokens too; where there is none, a part that is larger than its whole is apart from it."""
    counts = seen.counts
    cached, reasoning = counts.cached_input_tokens or 0, counts.reasoning_tokens or 0
    prompt = counts.input_tokens or (0 if cached else None)  # no prompt has no token
    output = counts.output_tokens
    if output is None and seen.listed_tokens is not None:
        output = seen.listed_tokens + seen.ended
    prompt_with_cached = None if prompt is None else prompt + (cached if cached > prompt else 0)
    if output is None:
        return Parts(prompt_with_cached, None)
    if not counts.total_tokens or prompt is None:
        apart = reasoning > output
        return Parts(prompt_with_cached, output + (reasoning if apart else 0), is_reasoning_apart=apart)
    rest = counts.total_tokens - prompt - output
    if rest == 0:
        other = output + reasoning if reasoning > output else None
        return Parts(
            *(prompt_with_cached, output, other), do_not_add=other is not None, has_too_much_cached=cached > prompt
        )
    if reasoning and rest in (reasoning, reasoning + cached):
        with_cached = prompt + cached if rest > reasoning else prompt_with_cached
        return Parts(with_cached, output + reasoning, is_reasoning_apart=True)
    if cached and rest == cached:
        return Parts(prompt + cached, output)
    return Parts(prompt_with_cached, output, counts.total_tokens - prompt, do_not_add=True)


def prompt_counts(seen: Evidence, parts: Parts, recount: Recount | None) -> Counted:
    """Return the tokens of the prompt: the server's, else those that were sent, else the tokenizer's."""
    sent = seen.ids_sent
    if sent is None and recount is not None:
        sent = recount.least_input_tokens
    tolerance = PROMPT_ENDS if seen.ids_sent is not None else tolerance_of(sent or 0)
    if parts.input is None:
        return _without_the_server(seen, recount)
    if parts.has_too_much_cached and (sent is None or sent <= (seen.counts.input_tokens or 0) + tolerance):
        cached = seen.counts.cached_input_tokens or 0
        return Counted(parts.input if sent is None else parts.input - cached, "server", ("counts_differ",), cached)
    if sent is None:
        return Counted(parts.input, "server")
    most = max(sent, (recount and recount.most_input_tokens) or 0) if seen.ids_sent is None else sent
    return Counted(parts.input, "server", *_prompt_finding(seen, parts, (sent, most), tolerance))


def _without_the_server(seen: Evidence, recount: Recount | None) -> Counted:
    """Return the ids that were sent or the tokenizer's count; unknown where there is neither. A server that says that
    there was no token of a prompt has read too few."""
    known = seen.ids_sent
    if known is None and recount is not None:
        known = recount.input_tokens
    counted_by: TokenCountSource | None = None if known is None else "tokenizer"
    if seen.counts.input_tokens == 0 and seen.has_prompt:
        return Counted(known, counted_by, ("prompt_truncated",), known or 0)
    return Counted(known, counted_by)


def _prompt_finding(
    seen: Evidence, parts: Parts, sent_as: tuple[int, int], tolerance: float
) -> tuple[tuple[TokenFinding, ...], int]:
    """Return what the tokens that were sent, the least and the most as which they may be read, say against those that
    the server read, and how many are in dispute."""
    sent, most = sent_as
    read = given = parts.input or 0
    if not seen.counts.total_tokens or parts.output is None:  # else it tells that cached ones are in it, or beside it
        read = max(read, (seen.counts.input_tokens or 0) + (seen.counts.cached_input_tokens or 0))
    if read < sent - tolerance:
        return ("prompt_truncated",), sent - read
    limit = TEMPLATE_FACTOR * most + TEMPLATE_TOKENS if seen.in_chat else most + tolerance
    return (("tokenizer_differs",), given - most) if given > limit else ((), 0)
