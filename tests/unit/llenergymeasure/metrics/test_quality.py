"""Answers held against those of a task, and what they come to."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measurements import batch, cpu_energy, make_part, measurement, merged
from tiny import tiny_config

from llenergymeasure.cli.presentation import print_result
from llenergymeasure.domain.quality import Judged, LmEvalMetric, Question, ScoredAnswers
from llenergymeasure.domain.requests import FailedRequest
from llenergymeasure.metrics.quality import answer_of, answer_quality, is_right, last_number, number_of
from llenergymeasure.metrics.steady_state import Window
from llenergymeasure.metrics.summary import summarise

TASK = tiny_config(quality={"task": "sums.jsonl"})


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("12", 12),
        ("The answer is 12.", 12),
        ("1,234 = 1234", 1234),
        ("1,234,567.50 euros", 1234567.5),
        ("first 3, then .5", 0.5),
        ("x = -4", -4),
        ("x = \u22124", -4),
        ("10-3", 3),
        ("(2)-3", 3),
        ("(-3)", -3),
        (r"so \boxed{42}$.", 42),
        ("1e3", 1000),
        ("1e99999", 99999),
        ("12,34", 34),
        ("50 %", 50),
        ("none at all", None),
        ("", None),
    ],
)
def test_the_last_number_of_an_answer_is_read_as_people_write_it(answer, number):
    found = last_number(answer)
    assert found == number if number is None else float(found) == number


@given(st.integers(-(10**12), 10**12), st.sampled_from(["{}", "{:,}", "{}.0", " {}", "it is {}.", "= {:,}!"]))
def test_a_number_is_the_same_in_every_notation(value, form):
    assert last_number(form.format(value)) == value
    assert is_right(form.format(value), Question(str(value), "number", 1))
    assert not is_right(form.format(value + 1), Question(str(value), "number", 1))


@given(st.text())
def test_any_text_has_a_last_number_or_none(text):
    found = last_number(text)
    assert found is None or found == number_of(str(found))


@pytest.mark.parametrize(
    ("answer", "right"), [("Paris", True), (" Paris\n", True), ("paris", False), ("Paris.", False), ("", False)]
)
def test_an_exact_answer_may_have_blanks_around_it_and_nothing_else(answer, right):
    assert is_right(answer, Question("Paris ", "exact", 1)) is right


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>2 or 3?</think>\n4", "\n4"),
        ("2 or 3?</think>4", "4"),
        ("<think>2 or 3?", ""),
        ("I <think> 4", "I <think> 4"),
        ("4", "4"),
    ],
)
def test_thoughts_that_a_model_writes_into_its_text_are_no_part_of_the_answer(text, answer):
    assert answer_of(text) == answer


def scored(outcomes, inside=0, digest="d"):
    return ScoredAnswers(task="sums.jsonl", task_digest=digest, outcomes=outcomes, right_in_window=inside)


def test_the_share_is_over_all_questions_that_were_asked_and_its_interval_wilsons():
    found = answer_quality([scored("rrrwcux..", inside=2)])
    assert (found.questions, found.right, found.share) == (7, 3, pytest.approx(3 / 7))
    assert (found.low, found.high) == pytest.approx((0.1582, 0.7495), abs=1e-3)
    assert (found.cut, found.unanswered, found.not_judged, found.right_in_window) == (1, 1, 1, 2)


def test_the_answers_of_several_processes_are_put_together_question_by_question():
    assert answer_quality([scored("r.w.", 1), scored(".r.c", 1)]).outcomes == "rrwc"
    assert answer_quality([scored("r."), None]) is None
    assert answer_quality([scored("r."), scored(".r", digest="other")]) is None
    assert answer_quality([scored("r."), scored(".rr")]) is None


def test_nobody_asked_is_no_share_of_0():
    found = answer_quality([scored("...")])
    assert (found.questions, found.share, found.low) == (0, None, None)


def with_outcomes(outcomes, **changes):
    """The result of four requests, of 60 J; the last two ended at 104 s."""
    batches = [numbered(100.0, 0), numbered(102.0, 2)]
    fields = {"config": TASK, "judged": Judged(outcomes, "d"), "devices": [cpu_energy(60.0)]}
    return summarise(measurement(batches=batches, **(fields | changes)))


def numbered(start_s, first):
    one = batch(start_s)
    return replace(one, requests=tuple(replace(each, index=first + each.index) for each in one.requests))


def test_joules_per_right_answer_are_over_the_right_answers_of_the_window():
    assert with_outcomes("rrrw").energy_per_right_answer_j == pytest.approx(20.0)
    early = with_outcomes("rrrw", window=Window("windowed", 100.0, 103.0))
    assert (early.quality.right, early.quality.right_in_window) == (3, 2)
    assert early.energy_per_right_answer_j == pytest.approx(30.0)


def test_a_result_is_printed_with_its_right_answers_and_the_joules_of_each(capsys):
    given = [LmEvalMetric(task=f"t{number}", metric="acc", value=0.5, stderr=0.01) for number in range(7)]
    print_result(with_outcomes("rrrw", lm_eval=given), None)
    out = " ".join(capsys.readouterr().out.split())
    assert "right answers 3 of 4: 75.0 % (30.1 to 95.4 at 95 %)" in out
    assert "energy/right answer 20.0 ± 0 J/right answer (rapl)" in out
    assert "t4 acc 0.500 ± 0.0100; and 2 more" in out


def test_without_a_right_answer_its_joules_are_unknown_and_the_result_says_why():
    found = with_outcomes("wwww")
    assert found.energy_per_right_answer_j is None
    assert found.not_known["energy_per_right_answer_j"] == "no answer that ended in the window is right"
    assert (found.quality.share, found.quality.low) == (0.0, 0.0)


def test_a_result_tells_of_answers_that_failed_were_cut_or_took_their_pattern_too_long():
    failed = [FailedRequest(4, 101.0, 102.0, "stalled", "no byte for 10 s")]
    warnings = "\n".join(with_outcomes("rcxwu", failed=failed).measurement_warnings)
    assert "1 of 5 questions have no answer, as their requests failed" in warnings
    assert "1 of 5 answers are not right and were cut at the limit of output tokens" in warnings
    assert "1 of 5 answers took their pattern too long" in warnings


def test_answers_that_could_not_be_had_leave_the_quality_unknown_with_the_reason():
    found = with_outcomes("", judged=Judged("", "d", unknown="the tokenizer is gone"))
    assert (found.quality, found.energy_per_right_answer_j) == (None, None)
    assert found.not_known["quality"] == "the tokenizer is gone"
    assert "quality is unknown: the tokenizer is gone." in found.measurement_warnings


def test_a_reason_of_one_process_that_has_none_right_is_not_the_whole_runs():
    parts = [
        make_part(index, config=TASK, judged=Judged(outcomes, "d"), batches=[numbered(100.0, 2 * index)])
        for index, outcomes in enumerate(("ww..", "..rw"))
    ]
    found = merged(*parts)
    assert found.quality.outcomes == "wwrw"
    assert "energy_per_right_answer_j" in parts[0].not_known
    assert "energy_per_right_answer_j" not in found.not_known
