"""Right answers of two sides, compared question by question, apart from joules and times."""

import pytest
from built_studies import built
from compared_runs import made, of, one_run

from llenergymeasure.cli.compare_output import comparison_dict, print_comparisons
from llenergymeasure.cli.study_output import print_best, print_study
from llenergymeasure.domain.quality import ScoredAnswers
from llenergymeasure.metrics.quality import answer_quality
from llenergymeasure.results.comparison import Group, compare
from llenergymeasure.results.study.best import best_cells
from llenergymeasure.results.study.front import pareto_front
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
    assert (share.mean, share.half_width) == (0.5, None)
    assert (share.low, share.high) == (pytest.approx(0.352, abs=1e-3), pytest.approx(0.648, abs=1e-3))
    assert share.shown == "20 of 40: 50 % (35 to 65)"
    assert "20 of 40: 50 % (35 to 65)" in out


def asked(*outcomes):
    """Return the figures of runs, of which each cell has these outcomes in every round."""

    def fields(cell, round_number, place):
        letters = outcomes[cell]
        scored = ScoredAnswers(task="t", task_digest="d", outcomes=letters, right_in_window=letters.count("r"))
        return {"quality": answer_quality([scored]), "energy_j": 100.0 + 50 * cell + place / 100}

    return fields


def test_cells_with_as_many_right_answers_cannot_be_told_apart_by_the_same_questions(capsys):
    runs = built(2, 3, asked("rccc", "crcc"))
    best = best_cells(runs, maximize="quality_share")
    print_best(best)
    out = " ".join(capsys.readouterr().out.split())
    assert [each.standing for each in best.cells] == ["best", "cannot tell"]
    assert best.cells[1].p_value == 1.0
    for metric in ("quality_right", "quality_low"):
        assert [each.standing for each in best_cells(runs, maximize=metric).cells] == ["best", "cannot tell"]
    assert "batch_size 1: 1 of 4: 25 % (5 to 70)" in best.sentence
    assert "batch_size 2 (+0 points, p = 1)" in best.sentence
    assert "equal" not in out + best.sentence
    assert "±" not in out
    cut = "18 of 24 answers in 6 runs are not right and were cut at the limit of output tokens: raise max_output_tokens"
    assert any(text.startswith(cut) for text in summarise_study(runs).warnings)


def test_right_answers_of_cells_are_told_apart_within_the_family_of_all_pairs():
    best = best_cells(built(3, 2, asked("r" * 20, "w" * 6 + "r" * 14, "w" * 8 + "r" * 12)), maximize="quality_share")
    p_values = [each.p_value for each in best.cells[1:]]
    assert p_values == [pytest.approx(2 / 2**6), pytest.approx(2 / 2**8)]
    assert [each.standing for each in best.cells] == ["best", "cannot tell", "worse"]  # 0.03 is over 0.05 / 2
    assert best.cells[2].difference == pytest.approx(-0.4)
    other = built(2, 2, lambda cell, *_: {"quality": run_of("rr", digest=str(cell)).quality})
    (beside,) = (each for each in best_cells(other, maximize="quality_share").cells if each.standing != "best")
    assert (beside.standing, beside.note) == ("cannot tell", "the two sides were not asked the same questions")


def test_a_cell_is_off_the_front_if_many_questions_bound_its_share_and_its_joules_are_told():
    metrics = ["energy_per_output_token_j", "quality_share"]
    few, many = (
        pareto_front(built(2, 9, asked("r" * count, "r" * count)), metrics).cells[1].standing for count in (4, 400)
    )
    assert (few, many) == ("cannot be excluded", "off")


def test_the_cell_with_the_least_joules_per_right_answer_and_the_one_with_enough_right_can_be_asked_for():
    runs = built(2, 6, of_study)
    for options in ({"minimize": "energy_per_right_answer_j"}, {"where": "quality_low >= 0.8"}):
        best = best_cells(runs, **options)
        assert next(each.cell for each in best.cells if each.standing == "best") == 0
    sentence = best_cells(runs, minimize="energy_per_right_answer_j").sentence
    assert "; least joules a right answer in the mean: batch_size 1: " in sentence
    assert next(each.cell for each in best_cells(runs).cells if each.standing == "best") == 1


@pytest.mark.parametrize(
    ("letters", "standing"),
    [
        (("rrrw", "rrrw"), "worse"),
        (("rrrw", "rrrc"), "worse"),
        (("rrrw", "rrwr"), "cannot tell"),
        (("rrrr", "rrrw"), "cannot tell"),
        (("rrrw", "rrr."), "cannot tell"),
    ],
)
def test_joules_a_right_answer_have_a_word_only_where_both_have_the_same_questions_right(letters, standing):
    def fields(cell, number, place):
        right = letters[cell].count("r")
        found = asked(*letters)(cell, number, place)
        return found | {"energy_per_right_answer_j": found["energy_j"] / right}

    best = best_cells(built(2, 6, fields), minimize="energy_per_right_answer_j")
    assert [each.standing for each in best.cells] == ["best", standing]
    assert best.cells[1].ratio > 1
    if standing == "cannot tell":
        why = "right answers are in it; compare them question by question"
        assert best.cells[1].note == why
        assert best.cells[1].low is None
        assert f"none of the 2 cells can be told apart, for {why}; least joules a right answer in the" in best.sentence
