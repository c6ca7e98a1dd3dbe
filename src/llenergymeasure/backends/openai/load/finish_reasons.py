"""The reasons that servers give for the end of an answer: which of them say that it was given up, kept back or cut."""

import re
from collections import Counter

WITHHELD = frozenset(
    {
        *("content_filter", "content_filtered", "safety", "recitation", "blocklist", "prohibited_content", "spii"),
        *("sensitive", "refusal", "guardrail_intervened", "error_toxic"),
    }
)
"""Reasons with which text that was generated has been kept back."""

AT_LENGTH = frozenset(
    {
        *("length", "max_tokens", "max_length", "max_new_tokens", "max_output_tokens", "token_limit", "model_length"),
        *("model_context_window_exceeded", "maxpredictedtokensreached", "contextlengthreached"),
    }
)
"""Reasons of an answer that a limit has ended: the one that was sent, or the server's own."""

FINISHED = (
    WITHHELD
    | AT_LENGTH
    | {
        *("stop", "tool_calls", "function_call"),  # of OpenAI's schema
        *("eos", "eos_token", "eosfound", "endoftext", "complete", "completed", "end_turn", "pause_turn"),
        *("stop_sequence", "stop_sequences", "stopstringfound", "tool_use", "tool_call", "toolcalls", "repetition"),
    }
)
"""Reasons that are known to end an answer as a model ends it, in small letters."""

GIVEN_UP = re.compile(
    r"error|exception|abort|cancel|fail|time[ _-]?(d[ _-]?)?(out|limit)|deadline|resource|overload|unavailable|capacity"
    r"|interrupt|preempt|evict|disconnect|connection|network|crash|killed|shut[ _-]?down|by[ _-]?user|userstop|unload"
)
"""Words of which one is in a reason with which a server has given an answer up, in small letters."""

NOT_GIVEN = "not given"
"""Stands for the reason of an answer that ended without one."""

MOST_SHOWN = 3


def is_given_up(reason: str) -> bool:
    """Return True if a server that gives this reason has not finished the answer."""
    small = reason.strip().lower()
    return small not in FINISHED and bool(GIVEN_UP.search(small))


def is_known(reason: str) -> bool:
    """Return True if it is plain from this reason whether the answer was finished."""
    first = re.split(r"[^a-z_-]", reason.strip().lower(), maxsplit=1)[0]  # eos_token: <|im_end|>
    return first in FINISHED or reason == NOT_GIVEN or is_given_up(reason)


def odd_reasons_remark(odd: Counter[str], requests: int) -> str:
    """Return a line on answers whose reason is not known, by reason, of so many requests."""
    names = ", ".join(f"{count} {reason}" for reason, count in odd.most_common(MOST_SHOWN))
    more = f" and {len(odd) - MOST_SHOWN} other reasons" if len(odd) > MOST_SHOWN else ""
    return (
        f"{odd.total()} of {requests} answers ended with a finish_reason that is not known here ({names}{more}): they "
        "are taken to be finished; look up what the server means by it."
    )
