"""The questions of a task, the outcome of each, and what they come to. Data only."""

from dataclasses import dataclass
from typing import Annotated, Final

from labledger.schema_versions import Known, Record
from llenergymeasure.config.quality import Match

RIGHT, WRONG, CUT, UNANSWERED, NOT_JUDGED, NOT_ASKED = "r", "w", "c", "u", "x", "."
OUTCOMES: Final = {
    RIGHT: "right",
    WRONG: "wrong",
    CUT: "not right, and cut at the limit of output tokens",
    UNANSWERED: "without an answer, as its request failed",
    NOT_JUDGED: "its pattern took too long on the answer",
    NOT_ASKED: "not asked",
}
"""Letters for the outcome of a question."""


@dataclass(frozen=True)
class Question:
    """The answer to a question of a task, the rule by which a model's answer is held against it, and its line."""

    answer: str
    match: Match
    line: int


@dataclass(frozen=True)
class Judged:
    """The outcome of each question of a run, a letter each in the task's order, and the answers (None: there is none).

    `digest` is the SHA-256 of the questions; `unknown` the reason why there are no outcomes.
    """

    outcomes: str
    digest: str
    answers: tuple[str | None, ...] = ()
    unknown: str | None = None


class ScoredAnswers(Record):
    """The answers of a process to the questions of a task."""

    task: str | None
    """File of the questions, as the configuration names it."""
    task_digest: str | None
    """SHA-256 of the questions that were to be asked, with their answers and rules: equal ones, equal questions."""
    outcomes: str | None
    """Letter for each question, in the file's order: r right, w wrong, c not right and cut at the limit of output
    tokens, u without an answer (its request failed), x not judged (its pattern took too long), `.` not asked here."""
    right_in_window: int | None
    """Right answers whose last token came in the window."""
    answers: list[str | None] | None = None
    """Text of each answer, up to 4,000 characters of it; None without `quality.keep_answers`."""


class AnswerQuality(Record):
    """The share of right answers among those that were measured, with its interval.

    The share is over all questions that were asked: one without an answer, as its request failed, is not right.
    """

    task: str | None
    """File of the questions, as the configuration names it."""
    task_digest: str | None
    """SHA-256 of the questions, with their answers and rules: two results with the same were asked the same."""
    questions: int | None
    """Questions that were asked."""
    right: int | None
    """Answers that are right."""
    share: float | None
    """`right` over `questions`."""
    low: float | None
    """Lower end of the share's interval: Wilson (1927), over questions as a sample of all that might be asked."""
    high: float | None
    """Upper end of it."""
    level: float | None
    """Confidence level of it, as a share."""
    cut: int | None
    """Answers that are not right and were cut at the limit of output tokens."""
    unanswered: int | None
    """Questions without an answer: their requests failed."""
    not_judged: int | None
    """Answers on which a pattern took too long; they do not count as right."""
    right_in_window: int | None
    """Right answers whose last token came in the window: `energy_per_right_answer_j` is over these."""
    outcomes: str | None
    """Outcome of each question in the file's order, as in `scored_answers` of `process_results`."""


class LmEvalMetric(Record):
    """One metric of lm_eval, as its file gives it."""

    task: Annotated[str | None, Known]
    """Name of the task or group."""
    metric: Annotated[str | None, Known]
    """Name of the metric, and behind a comma its filter where that is not `none`."""
    value: float | None
    """Value, as given; None where it is not finite."""
    stderr: float | None = None
    """Standard error, as given; None where there is none."""
