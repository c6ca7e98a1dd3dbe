"""The right answers of two sides that were asked the same questions, compared question by question.

A question is one observation, which no weather disturbs: one run of each side is enough, and the joules' metrics and
their family are apart from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from labledger.intervals import paired_share_interval, paired_share_p_value
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.quality import NOT_ASKED, RIGHT, AnswerQuality

ALPHA = 0.05
OTHER_QUESTIONS = "the two sides were not asked the same questions"


@dataclass(frozen=True)
class AnswersCompared:
    """Questions that both sides were asked, and how many each has right; `only_first` and `only_second` are those that
    one side alone has right.

    `p_value` is McNemar's, exact, of equal shares; the `word` is `different` where it is under 5 %. Where they cannot
    be compared all are None but the `note`, which is the reason.
    """

    questions: int | None = None
    first_right: int | None = None
    second_right: int | None = None
    only_first: int | None = None
    only_second: int | None = None
    p_value: float | None = None
    word: Literal["different", "cannot tell"] | None = None
    note: str = ""

    @property
    def difference(self) -> float | None:
        """The share of the second that is right less that of the first; None where they cannot be compared."""
        if self.questions is None or self.first_right is None or self.second_right is None:
            return None
        return (self.second_right - self.first_right) / self.questions

    @property
    def turned(self) -> "AnswersCompared":
        """The first against the second."""
        rights, only = (self.second_right, self.first_right), (self.only_second, self.only_first)
        return replace(self, first_right=rights[0], second_right=rights[1], only_first=only[0], only_second=only[1])

    def interval(self, level: float) -> tuple[float, float] | None:
        """Return an interval of the difference that holds at least at a level; None where they cannot be compared."""
        if self.questions is None or self.only_first is None or self.only_second is None:
            return None
        found = paired_share_interval(self.only_first, self.only_second, self.questions, level=level)
        return found.low, found.high


def compared_answers(first: Sequence[ExperimentResult], second: Sequence[ExperimentResult]) -> AnswersCompared | None:
    """Return the answers of two sides compared; None where neither has any.

    Of several runs of a side, a question is right where it is in more than half of them.
    """
    sides = [[result.quality for result in side if result.quality is not None] for side in (first, second)]
    if not any(sides):
        return None
    if not all(sides):
        return AnswersCompared(note=f"the {'second' if sides[0] else 'first'} has no answers that were scored")
    asked = {(each.task_digest, len(each.outcomes or "")) for side in sides for each in side}
    if len(asked) > 1 or None in next(iter(asked)):
        return AnswersCompared(note=OTHER_QUESTIONS)
    votes = [_votes(side) for side in sides]
    pairs = [(one, other) for one, other in zip(*votes, strict=True) if one is not None and other is not None]
    if not pairs:
        return AnswersCompared(note=OTHER_QUESTIONS)
    only_first, only_second = (sum(pair == apart for pair in pairs) for apart in ((True, False), (False, True)))
    p_value = paired_share_p_value(only_first, only_second)
    differ = any(len({each.outcomes for each in side}) > 1 for side in sides)
    return AnswersCompared(
        questions=len(pairs),
        first_right=sum(one for one, _ in pairs),
        second_right=sum(other for _, other in pairs),
        only_first=only_first,
        only_second=only_second,
        p_value=p_value,
        word="different" if p_value < ALPHA else "cannot tell",
        note="the runs of a side do not have the same right: what most of them have counts" if differ else "",
    )


def have_same_answers(results: Sequence[ExperimentResult]) -> bool:
    """Return True if all were asked the same questions and have the same of them right, one by one."""
    kept = [each.quality for each in results if each.quality is not None]
    found = {(each.task_digest, tuple(_votes([each]))) for each in kept if each.task_digest and each.outcomes}
    return len(found) == 1 and all(each.task_digest and each.outcomes for each in kept) and len(kept) == len(results)


def _votes(runs: Sequence[AnswerQuality]) -> list[bool | None]:
    """Return for each question if most runs have it right; None where none has asked it."""
    return [_vote(letters) for letters in zip(*(run.outcomes or "" for run in runs), strict=True)]


def _vote(letters: Sequence[str]) -> bool | None:
    asked = [letter == RIGHT for letter in letters if letter != NOT_ASKED]
    return 2 * sum(asked) > len(asked) if asked else None
