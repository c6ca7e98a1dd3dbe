"""Folders of many results: the work grows with their number, and rows are not kept where a table is made of them."""

import sys
import weakref

import pytest

from llenergymeasure.cli.loading import load_rows
from llenergymeasure.results import flat
from llenergymeasure.results.exporters import export
from llenergymeasure.results.flat import arrow_table, columns, flat_row
from llenergymeasure.results.query import query_results
from small_result import make_result

CALLS_PER_RESULT = 450
"""Calls of functions, Python's and C's, that reading a small result into a row may take."""


def calls(work):
    """The number of function calls that `work` makes."""
    found = 0

    def count(frame, event, argument):
        nonlocal found
        found += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found


def test_the_work_grows_with_the_number_of_results_and_no_faster(tmp_path):
    folders = {}
    for number in (4, 8, 16):
        folders[number] = tmp_path / str(number)
        for _ in range(number):
            make_result().save(folders[number])
    counted = {}
    for _ in range(2):  # the first time imports what it needs
        counted = {number: calls(lambda folder=folder: list(load_rows(folder))) for number, folder in folders.items()}
    first, second = (counted[8] - counted[4]) / 4, (counted[16] - counted[8]) / 8
    assert second == pytest.approx(first, rel=0.05)
    assert second < CALLS_PER_RESULT


class Row(dict):
    """A dict that can be watched."""


class Rows:
    """So many rows, one after another, and the most that were alive at once."""

    def __init__(self, number):
        self._number, self._alive, self.most = number, weakref.WeakSet(), 0

    def __iter__(self):
        cells = flat_row(make_result())
        for number in range(self._number):
            row = Row(cells, total_tokens=number)
            row.__class__.__hash__ = object.__hash__
            self._alive.add(row)
            self.most = max(self.most, len(self._alive))
            yield row


@pytest.mark.parametrize("way", ["table", "parquet", "sql", "csv"])
def test_a_table_is_made_without_all_rows_at_once(tmp_path, monkeypatch, way):
    monkeypatch.setattr(flat, "ROWS_AT_A_TIME", 10)
    rows = Rows(95)
    if way == "table":
        assert arrow_table(rows).column("total_tokens").to_pylist() == list(range(95))
    elif way == "sql":
        pytest.importorskip("duckdb")
        query = "SELECT count(*), max(total_tokens) FROM results"
        assert query_results(query, ((tmp_path, row) for row in rows))[1] == [(95, 94)]
    else:
        export(rows, way, tmp_path / "table")
    assert rows.most <= 21


def test_a_row_has_the_columns_that_are_asked_for(tmp_path):
    path = make_result().save(tmp_path)
    (row,) = load_rows(tmp_path, ["model", "total_tokens", "folder"])
    assert row == {"model": "gpt2", "total_tokens": 1000, "folder": str(path.parent)}
    (whole,) = load_rows(tmp_path)
    assert list(whole) == list(columns())
    assert {name: whole[name] for name in row} == row
