"""Warnings of answers whose tokens have no time each: how many, why, and which latencies are of the others."""

from collections import Counter
from collections.abc import Iterator, Sequence

from llenergymeasure.domain.requests import RequestRecord, Untimed

ASK_FOR_COUNTS = "passthrough_kwargs: {stream_options: {include_usage: true, continuous_usage_stats: true}}"

WHY: dict[Untimed, str] = {
    "no_text": "had no text: when their tokens came is unknown, and TTFT, TPOT and ITL are of the others",
    "one_piece": "came in one piece: TTFT, TPOT and ITL are of the others",
    "bundled": ("came with several tokens at once: their inter-token latency is unknown, and ITL is of the others"),
    "uncounted": (
        "came with several tokens at once, and nobody has counted those of each chunk: their inter-token latency and "
        f"TPOT are unknown; a server that can count them (vLLM, SGLang) does with {ASK_FOR_COUNTS}"
    ),
    "recounted": (
        "came in nearly as many pieces as the tokenizer finds tokens in them: which piece is which token is unknown, "
        "and ITL is of the others"
    ),
    "without_text": (
        "had no text for some of their tokens: when those came is unknown, and so are their inter-token latency and, "
        "unless the server counts the tokens of each chunk, their TPOT"
    ),
    "one_packet": (
        "had many of their chunks several in one packet: the time between those is unknown, and ITL is of the others"
    ),
    "disputed": (
        "have counts of their chunks that do not add up to their tokens: which token came when is unknown, and TPOT "
        "and ITL are of the others"
    ),
    "several_choices": "were several at once (n): their TPOT and ITL are unknown; ask for one",
    "cut_anew": (
        "came in more pieces than they have tokens: a piece is no token, their inter-token latency is unknown, and ITL "
        "is of the others"
    ),
}


def untimed_warnings(requests: Sequence[RequestRecord]) -> Iterator[str]:
    """Yield a line for each reason that an answer of several tokens has no time for each."""
    reasons = Counter(request.untimed for request in requests if request.untimed and (request.output_tokens or 0) > 1)
    for reason, several in reasons.items():
        yield f"{several} of {len(requests)} answers {WHY[reason]}."
