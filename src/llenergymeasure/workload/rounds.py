"""Prompts that are sent more than once, each time with another beginning."""

from collections.abc import Sequence

from llenergymeasure.domain.beginnings import begun_anew
from llenergymeasure.domain.requests import Prompt


def go_round(prompts: Sequence[Prompt], count: int) -> list[Prompt]:
    """Return `count` prompts: these in their order as they are, then again and again, in round n begun with `n. `.

    The mark is the same for all of a round: what prompts have in common, a system prompt say, they have there, too.
    """
    rounds = (divmod(place, len(prompts)) for place in range(count))
    return [begun_anew(prompts[place], f"{number + 1}. ") if number else prompts[place] for number, place in rounds]
