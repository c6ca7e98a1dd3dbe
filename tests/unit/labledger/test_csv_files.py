"""CSV that a spreadsheet may open."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labledger.csv_files import ends_in_a_cell, to_csv

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"]
TEXTS = st.text(st.sampled_from("=+-@\t\r\n'a,\"; ")) | st.text(st.characters(exclude_categories=["Cs"]))


def read(text):
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_a_spreadsheet_would_run_gets_an_apostrophe_also_as_a_columns_name(text):
    assert read(to_csv(["a", text], [{"a": text, text: -1}])) == [["a", f"'{text}"], [f"'{text}", "-1"]]


@pytest.mark.parametrize(("value", "cell"), [(-1, "-1"), (-0.5, "-0.5"), (None, ""), (True, "True"), ("a-b", "a-b")])
def test_what_is_no_formula_is_as_it_is(value, cell):
    assert read(to_csv(["a", "b"], [{"a": value}])) == [["a", "b"], [cell, ""]]


@given(text=TEXTS)
def test_a_text_comes_back_once_the_apostrophe_before_a_formula_is_taken_off(text):
    [[cell, _]] = read(to_csv(["a", "b"], [{"a": text}]))[1:]
    assert not re.match(r"[=+\-@\t\r\n]", cell)
    assert re.sub(r"^'('*[=+\-@\t\r\n])", r"\1", cell) == text


def test_lines_end_as_asked():
    assert to_csv(["a"], [{"a": 1}], line_end="\n") == "a\n1\n"
    assert to_csv(["a"], [{"a": 1}]) == "a\r\n1\r\n"


@given(rows=st.lists(st.lists(TEXTS, min_size=2, max_size=2), max_size=3), data=st.data())
def test_a_row_added_to_a_cut_file_is_a_row_unless_the_file_ends_inside_a_cell(rows, data):
    whole = to_csv(["a", "b"], [dict(zip("ab", row, strict=True)) for row in rows])
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    last = read(cut + "\r\nadded,row\r\n")[-1]
    assert (last != ["added", "row"]) == ends_in_a_cell(cut.encode())


@pytest.mark.parametrize("text", ['5" disk,', '"a","b"c"', 'a"b,"x"\r\n'])
def test_a_quote_in_the_middle_of_a_cell_opens_nothing(text):
    assert not ends_in_a_cell(text.encode())
