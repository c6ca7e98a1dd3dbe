"""A prompt with another beginning, which no prefix cache of a server knows."""

from dataclasses import replace

from llenergymeasure.domain.requests import Prompt


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
