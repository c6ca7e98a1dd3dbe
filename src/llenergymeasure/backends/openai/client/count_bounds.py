"""The bounds of every count that a server reports: what is beyond them counts no tokens, and is left out."""

from typing import NamedTuple

from llenergymeasure.domain.requests import Request

MOST_OVER_LIMIT, LEAST_ABSURD = 100, 10_000
"""More than `MOST_OVER_LIMIT` * limit + `LEAST_ABSURD` tokens beside one for each character are no output; hidden
reasoning may be long."""

MOST_OF_A_BYTE, LONGEST_PREAMBLE = 10, 1_000_000
"""More than so many tokens for each byte of a prompt, and so many beside them, are no prompt: a chat template, tools
and a gateway's own words make it longer, and no context holds more of these."""


class MostTokens(NamedTuple):
    """The most tokens of a prompt, and of an output beside one for each of its characters."""

    input: int
    output: int


ANY_REQUEST = MostTokens(2**40, 2**40)
"""More are no tokens of anything."""


def most_tokens(request: Request) -> MostTokens:
    """Return the most tokens that the prompt and the answer of this request can have."""
    most_output = MOST_OVER_LIMIT * request.max_output_tokens + LEAST_ABSURD
    return MostTokens(MOST_OF_A_BYTE * _prompt_bytes(request) + LONGEST_PREAMBLE, most_output)


def _prompt_bytes(request: Request) -> int:
    if request.token_ids is not None:
        return len(request.token_ids)
    texts = [each.content for each in request.messages or ()] or [request.prompt or ""]
    return sum(len(text.encode(errors="replace")) for text in texts)
