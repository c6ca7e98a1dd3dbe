"""What `llem study show` and `best` print: one word for a pair, short answers, tables that a terminal has room for."""

import math
import re
import sys

import numpy as np
import pytest
from built_studies import built, slower
from searched_runs import run_at, search_config, searched, study_of

from llenergymeasure.cli.study_output import print_best, print_front, print_study
from llenergymeasure.domain.study_result import StudyResult
from llenergymeasure.results.study.best import best_cells
from llenergymeasure.results.study.front import pareto_front
from llenergymeasure.results.study.narrow import wide_cells
from llenergymeasure.results.study.summary import summarise_study

JOULES, TOKENS = "energy_per_output_token_j", "output_tokens_per_second"


def study_of_factors(*factors, rounds=6, spread=0.01, names=None, **changes):
    """Return a study of cells that are slower by these factors."""
    off = np.random.default_rng(5).normal(0.0, spread, (rounds, len(factors)))
    return built(
        len(factors),
        rounds,
        lambda cell, number, place: slower(factors[cell] * math.exp(off[number - 1, cell])) | changes,
        names=names,
    )


def two_axes(count):
    """Return the names of cells of two axes."""
    return [f"batch_size {2 ** (n // 2)}, precision {('fp32', 'bf16')[n % 2]}" for n in range(count)]


@pytest.fixture
def terminal(monkeypatch, capsys):
    """Return a function that prints on a terminal of so many columns, and returns what it printed."""

    def printed(columns, print_it, found):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", str(columns))
        print_it(found)
        return capsys.readouterr().out

    return printed


def test_the_word_in_the_table_is_the_sentences_word_for_that_pair(capsys):
    study = summarise_study(study_of_factors(1.0, 0.98, 1.5, rounds=5))
    assert {each.equivalence for each in study.comparisons} >= {"different"}
    print_study(study)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(" batch_size")]
    for row, each in zip(rows, study.standings, strict=True):
        words = [standing for standing in ("best", "cannot tell", "worse") if standing in row]
        assert words == [each.standing]
    (worse,) = [each for each in study.standings if each.standing == "worse"]
    assert f"{worse.name} is worse (+{100 * (worse.ratio - 1):.1f} %" in study.sentence
    assert f"+{100 * (worse.ratio - 1):.1f} %: worse" in rows[2]


def test_show_says_at_what_level_its_words_hold_and_what_its_ratios_are(capsys):
    print_study(summarise_study(study_of_factors(1.0, 1.5)))
    text = " ".join(capsys.readouterr().out.split())
    assert "J/token against the best: geometric mean of the ratios within rounds, interval at 95 %" in text
    assert "all words on pairs of cells hold together: any is wrong in 5 % of studies at most" in text


def test_a_result_that_was_saved_without_standings_is_still_shown(capsys):
    study = summarise_study(study_of_factors(1.0, 1.5))
    kept = study.model_dump(mode="json", exclude={"standings", "metric"})
    print_study(StudyResult.model_validate({"kind": "llem.study"} | kept))
    assert "against the best" not in capsys.readouterr().out


def is_one_row_a_cell(text, count, name):
    """True if each row of each table is whole: a cell's name or number, and at least one figure."""
    tables = re.split(r"\n ─+\n", text)[1:]
    bodies = [table.split("\n\n")[0].splitlines() for table in tables]
    return all(len(rows) == count and all(name.match(row) for row in rows) for rows in bodies)


@pytest.mark.parametrize("count", [3, 6, 20])
@pytest.mark.parametrize("columns", [80, 120])
def test_a_cells_name_is_never_folded_and_each_cell_has_one_row(terminal, count, columns):
    runs = study_of_factors(*np.linspace(1.0, 1.5, count), rounds=4, names=two_axes(count), verdict="not_measured")
    front = [TOKENS, "ttft_ms_p99"]
    for print_it, found in (
        (print_study, summarise_study(runs)),
        (print_best, best_cells(runs)),
        (print_front, pareto_front(runs, front)),
    ):
        text = terminal(columns, print_it, found)
        assert is_one_row_a_cell(text, count, re.compile(r" (batch_size \d+, precision \w+|\d+)   "))
        assert max(map(len, text.splitlines())) <= columns
        assert all(name in text for name in two_axes(count))


@pytest.mark.parametrize("count", [6, 20])
@pytest.mark.parametrize("slow", [1.0, 1.6])
def test_the_answer_on_many_cells_has_three_lines_at_the_most(count, slow):
    factors = [1.0] * (count // 2) + [slow] * (count - count // 2)
    sentence = best_cells(study_of_factors(*factors, names=two_axes(count))).sentence
    assert len(sentence) <= 350


def test_a_ratio_that_may_be_anything_is_unknown():
    def fields(cell, number, place):
        return slower(1.0 if cell == 0 else (1.0, 9.0, 0.4)[number - 1])

    runs = built(2, 3, fields)
    assert "ratio unknown" in best_cells(runs).sentence
    told = best_cells(study_of_factors(1.0, 8.0, spread=0.35)).sentence
    assert re.search(r"is worse \(\+\d+ %, \d+ to \d+\)", told)


def test_warnings_and_what_is_missing_stand_below_the_best_and_the_front():
    def fields(cell, number, place):
        warnings = ["Tasks waited for a core for 9 % of the window"] if number == 2 else []
        return slower((1.0, 1.5)[cell] * math.exp(0.01 * place)) | {"measurement_warnings": warnings}

    runs = built(2, 6, fields)
    late = [run.model_copy(update={"state": "waiting"}) for run in runs.manifest.runs[8:]]
    manifest = runs.manifest.model_copy(update={"runs": [*runs.manifest.runs[:8], *late]})
    runs = type(runs)(manifest, [*runs.results[:8], *[None] * 4])
    for found in (best_cells(runs), pareto_front(runs, [JOULES, TOKENS])):
        assert "8 of 12 runs are made, 4 are still to come: this is what there is so far" in found.warnings
        assert any(text.startswith("contention in 2 of 8 runs") for text in found.warnings)
        assert any(text.startswith(f"drift: {JOULES}") for text in found.warnings)
        assert not any(text.startswith("drift: ttft") for text in found.warnings)


def test_a_front_says_which_of_it_can_be_told_apart():
    pairs = ((1.0, 3.0), (1.005, 2.98), (2.0, 1.0))

    def front(*chosen):
        def fields(cell, number, place):
            joules, times = pairs[chosen[cell]]
            wobble = math.exp(0.01 * (-1) ** (number + cell))
            return slower([joules * wobble, times * wobble, times * wobble, times * wobble])

        found = pareto_front(built(len(chosen), 6, fields), [JOULES, "ttft_ms_p99"])
        assert {each.standing for each in found.cells} == {"front"}
        return found

    assert front(0, 2).sentence.endswith(": batch_size 1; batch_size 2; they are told apart")
    assert front(0, 1).sentence.endswith(": batch_size 1; batch_size 2; none of them can be told apart")
    every = front(0, 1, 2)
    assert every.sentence.endswith("; batch_size 4; nothing tells batch_size 1 from batch_size 2")
    assert [each.alike for each in every.cells] == [[1], [0], []]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("batch_size >= 100", "least joules: none of the 3 cells meets batch_size >= 100"),
        ("ttft_ms_p99 < 1", "least joules: none of the 3 cells meets ttft_ms_p99 < 1"),
        (
            "ttft_ms_p99 <= 80",
            "least joules: none of the 3 cells is known to meet ttft_ms_p99 <= 80; 2 of 3 cells miss the limits",
        ),
    ],
)
def test_a_limit_that_every_cell_is_told_to_miss_is_met_by_none(where, said):
    sentence = best_cells(study_of_factors(1.0, 1.5, 2.0), where=where).sentence
    assert sentence.startswith(said)
    assert "known to meet" in sentence or sentence == said


def search_runs(most, metric="concurrency", between=(1, 8)):
    """Return a study of one cell that searches a load in two rounds; the server meets the goal up to `most`."""
    config = search_config(metric=metric, between=between)
    found = [
        searched(config, lambda load: run_at(load, 100.0 if load <= most else 900.0, metric=metric), number)
        for number in (1, 2)
    ]
    return study_of(config, found)


def test_a_search_that_met_its_upper_end_says_at_least_wherever_it_is_shown(capsys):
    runs = search_runs(8)
    best = best_cells(runs)
    assert best.sentence == "most load: base: at least 8 requests in flight"
    assert best.cells[0].half_width is None
    print_best(best)
    assert re.search(r"base +at least 8 +best", capsys.readouterr().out)
    print_study(summarise_study(runs))
    text = capsys.readouterr().out
    assert "at least 8 requests in flight" in text
    assert "±" not in best.sentence
    assert "8.00" not in text
    print_front(pareto_front(runs, ["concurrency", TOKENS]))
    assert re.search(r"base +at least 8 +50", capsys.readouterr().out)
    assert wide_cells(runs, "concurrency", 0.03) == []


@pytest.mark.parametrize(
    ("where", "standing"),
    [("concurrency >= 8", "best"), ("concurrency <= 8", "limit unsure"), ("concurrency < 8", "misses")],
)
def test_a_limit_on_a_load_that_is_at_least_so_much_is_judged_from_below(where, standing):
    assert best_cells(search_runs(8), where=where).cells[0].standing == standing


def test_a_search_whose_rounds_agree_has_a_whole_number_and_no_interval_of_zero():
    assert best_cells(search_runs(5)).sentence == "most load: base: 5 requests in flight"


@pytest.mark.parametrize("count", [2, 3, 6])
def test_a_search_whose_rates_agree_has_one_rate_and_no_interval(count):
    config = search_config()
    answers = [searched(config, lambda load: run_at(load, 100.0 if load <= 23 else 900.0), n + 1) for n in range(count)]
    runs = study_of(config, answers)
    assert best_cells(runs).sentence == "most load: base: 22.63 requests/s"
    assert f"the same in {count} rounds" in summarise_study(runs).searches[0].sentence


def test_runs_of_a_search_that_missed_everywhere_are_counted_and_told(capsys):
    study = summarise_study(search_runs(0))
    assert study.summary[0].done == 2
    assert study.sentence == "most load: no cell can enter: no load that was tried meets ttft_ms_p99 <= 500"
    print_study(study)
    assert "2 of 2" in capsys.readouterr().out
