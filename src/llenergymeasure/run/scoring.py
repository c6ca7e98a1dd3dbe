"""The answers of a run held against those of its task, after its window has closed."""

from collections.abc import Mapping, Sequence, Set
from itertools import starmap

from labledger.redaction import redactor
from llenergymeasure.backends.openai.load.finish_reasons import AT_LENGTH
from llenergymeasure.backends.openai.settings import run_keys
from llenergymeasure.backends.protocol import Backend
from llenergymeasure.domain.quality import CUT, NOT_ASKED, NOT_JUDGED, RIGHT, UNANSWERED, WRONG, Judged, Question
from llenergymeasure.errors import BackendError
from llenergymeasure.metrics.quality import answer_of, is_right
from llenergymeasure.run.measurement_window import MeasurementWindow
from llenergymeasure.run.patterns import Patterns
from llenergymeasure.run.preflight import Checked
from llenergymeasure.workload.questions import digest_of


def judged(backend: Backend, checked: Checked | None, measured: MeasurementWindow) -> Judged | None:
    """Return the outcomes of the questions of a run; None where it has none."""
    if checked is None or checked.config.task is None:
        return None
    config = checked.config
    digest = digest_of(checked.prompts, checked.questions)
    try:
        answers = redactor(*run_keys(config).values()).hide_in(dict(backend.answers()))
    except BackendError as error:
        return Judged("", digest, unknown=str(error))
    ended = [request for batch in measured.batches for request in batch.requests]
    whole = {request.index for request in ended}
    return _judge(
        checked.questions,
        {index: text for index, text in answers.items() if index in whole},
        cut={each.index for each in ended if each.finish_reason.strip().lower() in AT_LENGTH},
        asked=whole | {each.index for each in measured.failed},
        digest=digest,
    )


def _judge(
    questions: Sequence[Question], answers: Mapping[int, str], *, cut: Set[int], asked: Set[int], digest: str
) -> Judged:
    """Return the outcome of each question; `answers` are texts by the question's number, `cut` those that were cut at
    the limit of output tokens, `asked` all questions that were asked."""
    patterns = Patterns()
    shown = {index: answer_of(text) for index, text in answers.items()}

    def outcome(index: int, question: Question) -> str:
        if (answer := shown.get(index)) is None:
            return UNANSWERED if index in asked else NOT_ASKED
        found = patterns.found_in(question.answer, answer) if question.match == "regex" else is_right(answer, question)
        if found is None:
            return NOT_JUDGED
        return RIGHT if found else CUT if index in cut else WRONG

    with patterns.process:
        outcomes = "".join(starmap(outcome, enumerate(questions)))
    return Judged(outcomes, digest, tuple(map(shown.get, range(len(questions)))))
