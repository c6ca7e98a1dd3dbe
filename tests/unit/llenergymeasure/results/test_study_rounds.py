"""Which rounds of a study tell two cells apart: sessions, pauses, orders, cold machines, devices."""

import math

import pytest
from built_studies import built, planned, slower
from compared_runs import APART_S

from llenergymeasure.results.flat import flat_row
from llenergymeasure.results.study.best import best_cells
from llenergymeasure.results.study.observations import observe
from llenergymeasure.results.study.pairs import compare_with_first
from llenergymeasure.results.study.summary import summarise_study

HOUR_S = 3600.0


def steady(cell, number, place):
    """Return a cell that takes twice as long as the one before it, a little off each time."""
    return slower(2.0**cell * (1 + 0.01 * ((place * 7) % 5)))


def rounds_used(study, first=0, second=1):
    """Return the numbers of the rounds in which two cells are compared."""
    seen = observe(study)
    evidence = seen.evidence(first, second)
    return [
        number
        for number, of in sorted(seen.cells[first].items())
        if any(each.first is of.run for each in evidence.rounds)
    ]


def test_every_whole_round_of_one_session_is_one_observation():
    assert rounds_used(built(3, 6, steady), 0, 2) == [1, 2, 3, 4, 5, 6]


def test_a_round_whose_halves_lie_in_two_sessions_is_dropped_for_them_and_said():
    study = built(3, 6, steady, session_of=lambda place: 1 if place < 8 else 2)  # round 3 is interrupted after 2 runs
    assert rounds_used(study, 0, 1) == [1, 2, 3, 4, 5, 6]
    assert 3 not in rounds_used(study, 0, 2)
    (said,) = [text for text in observe(study).left_out if text.startswith("round 3 was not made in one go")]
    assert "another session" in said


def test_a_round_with_an_hours_pause_inside_is_dropped_though_the_session_is_one():
    study = built(2, 6, steady, start_of=lambda place: place * APART_S + (2 * HOUR_S if place > 4 else 0))
    assert 3 not in rounds_used(study)


def test_a_failed_run_that_took_an_hour_is_no_pause():
    def start_of(place):
        return place * APART_S + (HOUR_S if place > 1 else 0)

    def fields(cell, number, place):
        return None if place == 1 else steady(cell, number, place)

    study = built(3, 4, fields, start_of=start_of)
    long = [run.model_copy(update={"elapsed_s": HOUR_S + 60}) if run.state == "failed" else run
            for run in study.manifest.runs]  # fmt: skip
    manifest = study.manifest.model_copy(update={"runs": long})
    assert 1 in rounds_used(type(study)(manifest, study.results), 0, 2)


@pytest.mark.parametrize("failed", [{2, 4, 6}, {1, 3, 5}])
def test_rounds_of_one_order_alone_tell_nothing_for_drift_would_be_taken_for_a_cell(failed):
    def fields(cell, number, place):
        return None if cell == 1 and number in failed else slower(math.exp(0.05 * place))

    study = built(2, 6, fields)
    assert len(rounds_used(study)) == 1
    assert {each.equivalence for each in compare_with_first(observe(study))} == {"cannot tell"}
    assert "1 of the 3 rounds that hold both can be used; 3 are needed" in best_cells(study).sentence


def test_a_cell_that_opens_every_session_on_a_cold_machine_is_not_taken_for_slower():
    cold = 1.5

    def fields(cell, number, place):
        opens = place % 4 == 0
        return slower((cold if opens else 1.0) * (1 + 0.001 * (place % 3)))

    study = built(2, 12, fields, session_of=lambda place: 1 + place // 4)
    assert all(place % 4 == 0 for place, (cell, number) in enumerate(planned(2, 12, "")) if number % 2 and cell == 0)
    assert "worse" not in [each.standing for each in best_cells(study).cells]
    used = rounds_used(study)
    assert used
    assert all(number % 2 == 0 for number in used[1:])


def test_blocks_cannot_tell_times_and_joules_and_say_what_would():
    study = built(2, 6, steady, order="blocks")
    found = summarise_study(study)
    assert {(each.equivalence, each.low, each.rounds) for each in found.comparisons} == {("cannot tell", None, 0)}
    assert found.comparisons[0].ratio == pytest.approx(2, rel=0.02)
    assert found.warnings[0].endswith("order: alternating would tell")
    assert found.sentence.startswith("none of the 2 cells can be told apart, for order: blocks makes all runs of one ")


def test_cells_that_ran_on_other_devices_in_some_rounds_are_compared_on_the_common_ones():
    def fields(cell, number, place):
        gpu = "GPU-2" if cell == 1 and number > 4 else "GPU-1"
        return steady(cell, number, place) | {"gpu": gpu}

    assert rounds_used(built(2, 6, fields)) == [1, 2, 3, 4]


def test_cells_that_never_share_a_device_are_compared_in_every_round():
    def fields(cell, number, place):
        return steady(cell, number, place) | {"gpu": f"GPU-{cell}"}

    assert rounds_used(built(2, 6, fields)) == [1, 2, 3, 4, 5, 6]


def test_runs_that_overlap_on_a_device_count_for_nothing_and_are_said():
    study = built(2, 6, steady, start_of=lambda place: place * APART_S - (60 if place == 3 else 0))
    assert 2 not in rounds_used(study)
    assert "2 of 12 runs left out: on a device at the same time as another" in observe(study).left_out


def test_equal_energies_of_two_boards_are_widened_by_their_sensors_scale():
    def fields(cell, number, place):
        return slower((1.0, 1.1)[cell] * (1 + 0.001 * (place % 3))) | {"gpu": f"GPU-{cell}"}

    joules, speed, *_ = compare_with_first(observe(built(2, 6, fields)))
    assert (joules.equivalence, speed.equivalence) == ("cannot tell", "different")


def test_a_cell_that_is_a_little_slower_than_the_first_is_the_same_and_a_slow_one_different():
    def fields(cell, number, place):
        return slower((1.0, 1.001, 1.3)[cell] * (1 + 0.001 * (place % 3)))

    words = [each.equivalence for each in compare_with_first(observe(built(3, 6, fields)))]
    assert words == ["same"] * 4 + ["different"] * 4


def test_blocks_decide_no_limit_on_times_though_every_figure_of_a_cell_is_beyond_it():
    study = built(2, 6, lambda cell, number, place: slower((1.0, 2.0)[cell] * (1 + 0.001 * number)), order="blocks")
    rounds = built(2, 6, lambda cell, number, place: slower((1.0, 2.0)[cell] * (1 + 0.001 * number)))
    limit = f"output_tokens_per_second >= {flat_row(rounds.results[0])['output_tokens_per_second'] * 0.8}"
    found = [best_cells(each, maximize="output_tokens_per_second", where=limit).cells for each in (study, rounds)]
    assert [each.standing for each in found[0]] == ["limit unsure", "limit unsure"]
    assert "order: blocks" in found[0][1].note
    assert [each.standing for each in found[1]] == ["best", "misses"]
