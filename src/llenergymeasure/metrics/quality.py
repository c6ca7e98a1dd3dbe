"""Answers held against those of a task, and the share that is right: pure functions."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cache

from labledger.intervals import wilson_interval
from llenergymeasure.domain.quality import (
    CUT,
    NOT_ASKED,
    NOT_JUDGED,
    RIGHT,
    UNANSWERED,
    AnswerQuality,
    Question,
    ScoredAnswers,
)
from llenergymeasure.metrics.measurement import Measurement

KEPT_CHARACTERS = 4_000
"""Characters of an answer that are kept."""

_SIGN, _EXPONENT = r"(?:(?<![\w.)\]])[-+\u2212])?", r"(?:[eE][-+]?[0-9]{1,4}(?![0-9]))?"
_WHOLE = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)"
NUMBER = re.compile(rf"{_SIGN}(?:{_WHOLE}(?:\.[0-9]+)?|\.[0-9]+){_EXPONENT}")
"""A number: 12, -0.5, .5, 1,234 or 1e3. A sign behind a letter, a digit or a closing bracket is that of a sum."""

THOUGHT_ENDS, THOUGHT_BEGINS = "</think>", "<think>"
NONE_RIGHT = "no answer that ended in the window is right"


def answer_of(text: str) -> str:
    """Return an answer without the thoughts before it, where the model writes them into its text between `<think>` and
    `</think>`; nothing of one that was cut while it thought."""
    _, ended, rest = text.rpartition(THOUGHT_ENDS)
    if ended:
        return rest
    return "" if text.lstrip().startswith(THOUGHT_BEGINS) else text


def number_of(text: str) -> Decimal | None:
    """Return the number that a text is, with blanks around it; None where it is none."""
    found = NUMBER.fullmatch(text.strip())
    return None if found is None else _value(found[0])


def last_number(text: str) -> Decimal | None:
    """Return the last number in a text; None where there is none."""
    last = None
    for found in NUMBER.finditer(text):
        last = found[0]
    return None if last is None else _value(last)


def is_right(answer: str, question: Question) -> bool:
    """Return True if an answer is right by a rule other than a pattern, which takes a process with limits."""
    if question.match == "number":
        return last_number(answer) == _number(question.answer)
    return answer.strip() == question.answer.strip()


@cache
def _number(text: str) -> Decimal | None:
    return number_of(text)


def _value(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace("\u2212", "-"))


def scored_answers(measurement: Measurement) -> ScoredAnswers | None:
    """Return a process's answers, scored; None without a task."""
    judged, quality = measurement.judged, measurement.config.quality
    if judged is None or judged.unknown is not None or quality is None:
        return None
    window, outcomes = measurement.window, judged.outcomes
    ended = (each for batch in measurement.batches for each in batch.requests)
    return ScoredAnswers(
        task=quality.task,
        task_digest=judged.digest,
        outcomes=outcomes,
        right_in_window=sum(
            outcomes[each.index] == RIGHT for each in ended if window.start_s <= each.end_s <= window.end_s
        ),
        answers=[_kept(each) for each in judged.answers] if quality.keep_answers else None,
    )


def _kept(answer: str | None) -> str | None:
    return None if answer is None else answer[:KEPT_CHARACTERS]


def answer_quality(scored: Sequence[ScoredAnswers | None]) -> AnswerQuality | None:
    """Return what the answers of all processes of a run come to; None where one has none, or other questions."""
    known = [each for each in scored if each is not None and each.outcomes is not None]
    tasks = {(each.task, each.task_digest, len(each.outcomes or "")) for each in known}
    if len(known) < len(scored) or len(tasks) != 1:
        return None
    outcomes = "".join(map(_outcome, zip(*(each.outcomes or "" for each in known), strict=True)))
    counts = Counter(outcomes)
    questions, right = len(outcomes) - counts[NOT_ASKED], counts[RIGHT]
    interval = wilson_interval(right, questions) if questions else None
    inside = [each.right_in_window for each in known]
    return AnswerQuality(
        task=known[0].task,
        task_digest=known[0].task_digest,
        questions=questions,
        right=right,
        share=right / questions if questions else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        level=interval.level if interval else None,
        cut=counts[CUT],
        unanswered=counts[UNANSWERED],
        not_judged=counts[NOT_JUDGED],
        right_in_window=None if None in inside else sum(filter(None, inside)),
        outcomes=outcomes,
    )


def _outcome(letters: Sequence[str]) -> str:
    """Return the outcome of one question, which one of the processes has asked."""
    return next((letter for letter in letters if letter != NOT_ASKED), NOT_ASKED)


def why_no_energy_per_right_answer(quality: AnswerQuality | None) -> dict[str, str]:
    """Return the reason by its field where no right answer is there to divide the energy by."""
    is_none_right = quality is not None and quality.right_in_window == 0
    return {"energy_per_right_answer_j": NONE_RIGHT} if is_none_right else {}


def answer_warnings(scored: ScoredAnswers | None, unknown: str | None) -> Iterator[str]:
    """Yield what is to be read with the share of right answers."""
    if unknown is not None:
        yield f"quality is unknown: {unknown}."
    quality = answer_quality([scored]) if scored is not None else None
    if quality is None:
        return
    if quality.unanswered:
        yield (
            f"{quality.unanswered} of {quality.questions} questions have no answer, as their requests failed: they "
            "count as not right."
        )
    if quality.cut:
        yield (
            f"{quality.cut} of {quality.questions} answers are not right and were cut at the limit of output tokens: "
            "raise max_output_tokens to see whether they would be."
        )
    if quality.not_judged:
        yield f"{quality.not_judged} of {quality.questions} answers took their pattern too long: not counted as right."
