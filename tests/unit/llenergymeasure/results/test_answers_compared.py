"""Right answers of two sides, compared question by question, apart from joules and times."""

import pytest
from built_studies import built
from compared_runs import made, of, one_run

from llenergymeasure.cli.compare_output import comparison_dict, print_comparisons
from llenergymeasure.cli.study_output import print_study
from llenergymeasure.domain.quality import ScoredAnswers
from llenergymeasure.metrics.quality import answer_quality
from llenergymeasure.results.comparison import Group, compare
from llenergymeasure.results.study.best import best_cells
from llenergymeasure.results.study.summary import summarise_study


def run_of(outcomes, name="A", digest="d", **changes):
    scored = ScoredAnswers(task="t.jsonl", task_digest=digest, outcomes=outcomes, right_in_window=outcomes.count("r"))
    per_answer = 100 / outcomes.count("r") if "r" in outcomes else None
    return one_run(name, quality=answer_quality([scored]), energy_per_right_answer_j=per_answer, **changes)


def answers(first, second):
    sides = [Group(name, [run_of(*side) for side in runs]) for name, runs in (("one", first), ("two", second))]
    return compare(*sides).answers


def test_answers_are_paired_by_question_and_told_apart_by_mcnemars_exact_test():
    found = answers([("rrrrrrrrrrrrw", "A")], [("rwwwwwwwwwwrr", "B")])
    assert (found.questions, found.first_right, found.second_right) == (13, 12, 3)
    assert (found.only_first, found.only_second) == (10, 1)
    assert (found.p_value, found.word) == (pytest.approx(2 * 12 / 2**11), "different")


def test_a_few_questions_apart_cannot_be_told_from_chance():
    found = answers([("rrrrrrrr", "A")], [("rrrrrwcu", "B")])
    assert (found.only_first, found.p_value, found.word) == (3, 0.25, "cannot tell")


def test_a_question_that_most_runs_of_a_side_have_right_is_right_there_and_said_so():
    found = answers([("rrw", "A1"), ("rww", "A2"), ("rrw", "A3")], [("rrr", "B")])
    assert (found.first_right, found.second_right) == (2, 3)
    assert found.note == "the runs of a side do not have the same right: what most of them have counts"


@pytest.mark.parametrize(
    ("second", "note"),
    [
        (run_of("rr", "B", digest="other"), "the two sides were not asked the same questions"),
        (run_of("rrr", "B"), "the two sides were not asked the same questions"),
        (one_run("B"), "the second has no answers that were scored"),
    ],
)
def test_sides_without_the_same_questions_are_not_compared_and_the_reason_stands_there(second, note, capsys):
    comparison = compare(Group("one", [run_of("rr")]), Group("two", [second]))
    assert comparison.answers.note == note
    assert comparison.answers.word is None
    print_comparisons([comparison])
    assert f"right answers: not compared: {note}" in " ".join(capsys.readouterr().out.split())


def test_a_comparison_shows_saved_joules_beside_lost_answers(capsys):
    first = run_of("r" * 40, "A", energy_j=100.0)
    second = run_of("r" * 20 + "w" * 20, "B", energy_j=60.0)
    comparison = compare(Group("one", [first]), Group("two", [second]))
    print_comparisons([comparison])
    out = " ".join(capsys.readouterr().out.split())
    assert "right answers: 40 of 40 against 20: different (20 right in the first alone, 0 in the second alone" in out
    assert "J/right answer 2.50 5.00 2.0000" in out
    assert comparison_dict(comparison)["answers"]["only_first"] == 20


def test_results_without_a_task_are_compared_without_a_word_on_answers(capsys):
    first, second = made("ABBA", of((1.0, 1.02, 0.98, 1.0)))
    comparison = compare(Group("one", first), Group("two", second))
    print_comparisons([comparison])
    assert comparison.answers is None
    assert "answer" not in capsys.readouterr().out


def of_study(cell, round_number, place):
    """The second cell takes six tenths of the joules, and has half of the answers right."""
    outcomes = "r" * 20 + ("w" if cell else "r") * 20
    scored = ScoredAnswers(task="t.jsonl", task_digest="d", outcomes=outcomes, right_in_window=outcomes.count("r"))
    energy_j = (60.0 if cell else 100.0) * (1 + place / 1000)
    return {
        "energy_j": energy_j,
        "energy_per_right_answer_j": energy_j / outcomes.count("r"),
        "quality": answer_quality([scored]),
    }


def test_a_study_shows_each_cells_share_of_right_answers_with_wilsons_interval(capsys):
    study = summarise_study(built(2, 4, of_study))
    print_study(study)
    out = capsys.readouterr().out
    assert "right" in out
    assert "J/right answer" in out
    (share,) = (each for each in study.summary[1].figures if each.metric == "quality_share")
    assert (share.mean, share.half_width) == (0.5, pytest.approx(0.148, abs=1e-3))


def test_the_cell_with_the_least_joules_per_right_answer_and_the_one_with_enough_right_can_be_asked_for():
    runs = built(2, 6, of_study)
    for options in ({"minimize": "energy_per_right_answer_j"}, {"where": "quality_low >= 0.8"}):
        best = best_cells(runs, **options)
        assert next(each.cell for each in best.cells if each.standing == "best") == 0
    assert best_cells(runs, minimize="energy_per_right_answer_j").sentence.startswith("least joules a right answer: ")
    assert next(each.cell for each in best_cells(runs).cells if each.standing == "best") == 1
