"""A comparison as it is printed, on terminals of several widths."""

import re
import sys

import pytest
from compared_runs import made, of

from llenergymeasure.cli.compare_output import comparison_dict, folded_warnings, print_comparison
from llenergymeasure.results.comparison import HEADLINE, Group, compare

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
    print_comparison(comparison(margin=0.1))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    for label in LABELS:
        row = next(line for line in lines if line.startswith(f" {label}"))
        assert re.search(r" \d\.\d{4} +\d\.\d{4} to \d\.\d{4} +(same|different|cannot tell)", row)


def test_a_table_that_is_piped_has_all_columns_and_says_what_the_words_mean(capsys):
    print_comparison(comparison(margin=0.1))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) < 120
    assert "from 0.9091 to 1.1 (--margin 10%)" in " ".join(out.split())
    assert " ! second: 6 of 6 runs, with other numbers: Tasks waited for a core for 1.5 % of it" in " ".join(
        out.split()
    )


def test_warnings_that_differ_only_in_numbers_are_one_line():
    assert folded_warnings([["2.5 % of 30 s", "other"], ["3 % of 29.5 s"]]) == [
        "2 of 2 runs, with other numbers: 2.5 % of 30 s",
        "1 of 2 runs: other",
    ]
    assert folded_warnings([["same", "same"], ["same"], []]) == ["2 of 3 runs: same"]
    assert folded_warnings([["at 12:30:01", "at 12:30:02"]]) == ["at 12:30:01", "at 12:30:02"]


def test_json_has_the_settings_the_runs_and_the_warnings_of_both_sides():
    found = comparison_dict(comparison(margin=0.1, spread=0.03))
    assert (found["margin"], found["spread"], found["level"]) == (0.1, 0.03, 0.95)
    assert [len(side) for side in found["used"]] == [6, 6]
    assert found["left_out"] == []
    assert [len(side) for side in found["warnings"]] == [0, 6]
    rows = {row["metric"]: row for row in found["metrics"]}
    assert {"joint_low", "joint_level", "counts", "missing", "worse_by"} <= rows[HEADLINE[0]].keys()
