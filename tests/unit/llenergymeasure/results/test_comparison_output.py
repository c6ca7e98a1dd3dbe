"""A comparison as it is printed, on terminals of several widths."""

import re
import sys

import pytest
from compared_runs import made, of

from llenergymeasure.cli.compare_output import comparison_dict, folded_warnings, print_comparisons
from llenergymeasure.cli.presentation import print_result
from llenergymeasure.results.comparison import HEADLINE, Group, compare, compare_with_first

NOISE = (1.0, 1.02, 0.98, 1.0, 1.01, 0.99, 1.02, 1.0, 0.98, 1.01, 1.0, 0.99)
LABELS = ("J/output token", "tokens/s", "TTFT median ms", "TPOT median ms")


def comparison(**options):
    first, second = made("ABBAABBAABBA", of(NOISE))
    warned = [
        result.model_copy(update={"measurement_warnings": [f"Tasks waited for a core for {number + 1}.5 % of it"]})
        for number, result in enumerate(second)
    ]
    return compare(Group("results/a-long-name-of-a-folder/first", first), Group("results/second", warned), **options)


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_ratio_interval_and_word_of_a_metric_stand_in_one_row_of_a_terminal(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_comparisons([comparison(margin=0.1)])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    for label in LABELS:
        row = next(line for line in lines if line.startswith(f" {label}"))
        assert re.search(r" \d\.\d{4} +\d\.\d{4} to \d\.\d{4} +(same|different|cannot tell)", row)


def test_a_table_has_room_on_80_columns_whatever_its_ratios_and_intervals(capsys):
    first, second = made("ABBAABBAABBA", of([1.0, 1900.0, 2.0, 1.5, 0.7, 5.0] * 2))
    print_comparisons([compare(Group("first", first), Group("second", second))])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80, "\n".join(lines)
    assert any(line.startswith(" tokens/s ") and " to " in line for line in lines)


def test_the_table_says_what_the_words_mean_and_at_what_levels_the_intervals_are(capsys):
    print_comparisons([comparison(margin=0.1)])
    out = " ".join(capsys.readouterr().out.split())
    assert "from 0.9091 to 1.1 (--margin 10%)" in out
    assert "intervals at 98.75 %; of J, TTFT mean ms, TPOT mean ms at 95 %" in out
    assert " ! second: 6 of 6 runs, with other numbers: Tasks waited for a core for 1.5 % of it" in out


def test_metrics_of_which_fewer_rounds_are_known_are_named_with_their_number(capsys):
    first, second = made("ABBAABBAABBA", of(NOISE))
    second[0] = second[0].model_copy(update={"latency_stats": None})
    print_comparisons([compare(Group("first", first), Group("second", second))])
    assert "TTFT median ms, TPOT median ms, TTFT mean ms" in (out := capsys.readouterr().out)
    assert ": 5 rounds" in " ".join(out.split())


def test_equal_warnings_are_one_line_with_the_number_of_runs():
    several = {"first": [["2.5 % of 30 s", "other"], ["3 % of 29.5 s"]], "second": [["4 % of 1 s", "mine"], ["mine"]]}
    assert folded_warnings(several) == [
        "both: 3 of 4 runs, with other numbers: 2.5 % of 30 s",
        "first: 1 of 2 runs: other",
        "second: 2 of 2 runs: mine",
    ]
    assert folded_warnings({"first": [["same", "same"], ["same"], []], "second": [[]]}) == ["first: 2 of 3 runs: same"]
    single = {"first": [["at 12:30:01", "at 12:30:02", "same"]], "second": [["same"]]}
    assert folded_warnings(single) == ["first: at 12:30:01", "first: at 12:30:02", "both: same"]


def test_warnings_of_several_comparisons_are_printed_once(capsys):
    sides = [
        [result.model_copy(update={"measurement_warnings": ["same"]}) for result in each]
        for each in made("AB", of([1.0] * 2))
    ]
    groups = [Group(name, results) for name, results in zip("ABC", [*sides, sides[1]], strict=True)]
    print_comparisons(compare_with_first(groups))
    assert [line for line in capsys.readouterr().out.splitlines() if "same" in line and "!" in line] == [
        "  ! all: same"
    ]


def test_a_results_equal_warnings_are_one_line_with_their_number(capsys):
    (result,), _ = made("AB", of([1.0] * 2))
    print_result(result.model_copy(update={"measurement_warnings": ["twice", "once", "twice"]}), None)
    lines = [line for line in capsys.readouterr().out.splitlines() if "!" in line]
    assert lines == ["  ! twice (2 times)", "  ! once"]


def test_json_has_the_settings_the_runs_and_the_warnings_of_both_sides():
    found = comparison_dict(comparison(margin=0.1, spread=0.03))
    assert (found["margin"], found["spread"], found["level"]) == (0.1, 0.03, 0.95)
    assert [len(side) for side in found["used"]] == [6, 6]
    assert found["left_out"] == []
    assert [len(side) for side in found["warnings"]] == [0, 6]
    rows = {row["metric"]: row for row in found["metrics"]}
    assert {"joint_low", "joint_level", "counts", "missing", "worse_by"} <= rows[HEADLINE[0]].keys()


@pytest.mark.parametrize("second", ["AB", "A"])
def test_a_side_of_several_configurations_is_named_first_and_nothing_is_called_the_same(second, capsys):
    sides = dict(zip("AB", made("ABAB", of(NOISE)), strict=True))
    mixed = [sides["A"][0], sides["B"][0]]
    other = [sides[name][1] for name in second]
    print_comparisons([compare(Group("results", mixed), Group("other", other))])
    out = " ".join((shown := capsys.readouterr().out).split())
    assert "the configurations are the same" not in out
    told = "! results has runs of 2 configurations, which differ in batch_size: its figures are of the mixture"
    assert out.count(told) == 1
    assert shown.index("! results has") < shown.index("metric")
    assert "nothing in the configuration explains" not in out
