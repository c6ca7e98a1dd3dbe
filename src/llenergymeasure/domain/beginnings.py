"""A prompt with another beginning, which no prefix cache of a server knows."""

from dataclasses import replace

from llenergymeasure.domain.requests import Prompt

PROMPT_MARKS = 10**6
"""The marks of runs are the numbers from 0 to below this."""


def words_of(mark: int) -> str:
    """Return the beginning of a run's prompts: its digits one by one, which tokenizers make equally many tokens of.

    It is shorter than the 16 tokens that servers keep together: what prompts of one run have in common is in no cache.
    """
    return f"{' '.join(f'{mark:06}')}. "


def begun_anew(prompt: Prompt, mark: str) -> Prompt:
    """Return the prompt with `mark` before it, so that no prefix cache of a server knows it.

    Of a conversation every turn up to the user's first has the mark: chat templates begin with the one or the other,
    and some set what the system says behind turns of the user.
    """
    if isinstance(prompt, str):
        return f"{mark}{prompt}"
    first = next(place for place, turn in enumerate(prompt) if turn.role == "user")
    return tuple(
        replace(turn, content=f"{mark}{turn.content}") if place <= first else turn for place, turn in enumerate(prompt)
    )
