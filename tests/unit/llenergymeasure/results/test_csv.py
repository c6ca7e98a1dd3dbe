"""A CSV file that each run adds its row to: shared with other processes and with a spreadsheet, never harmed."""

import codecs
import csv
import os
import re
import resource

import pytest

from llenergymeasure.errors import ConfigError
from llenergymeasure.results.exporters import append_csv, check_csv, export
from llenergymeasure.results.flat import columns, flat_row
from small_result import make_result

HEADER = list(columns())


def row(tokens=1, **changes):
    return flat_row(make_result(total_tokens=tokens, **changes))


def tokens_in(path):
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [int(each["total_tokens"]) for each in csv.DictReader(file)]


def saved_as(separator=",", line_end="\r\n", quoting=csv.QUOTE_MINIMAL, mark=b""):
    """The bytes of a header and a row, as some program saves them."""
    lines = []
    for cells in (HEADER, [5 if name == "total_tokens" else "" for name in HEADER]):
        quoted = [f'"{each}"' if quoting == csv.QUOTE_ALL else str(each) for each in cells]
        lines.append(separator.join(quoted) + line_end)
    return mark + "".join(lines).encode()


def test_processes_that_add_at_once_each_find_their_row_in_the_file(tmp_path):
    path, (reading, writing) = tmp_path / "new" / "runs.csv", os.pipe()
    children = []
    for number in range(16):
        if (child := os.fork()) == 0:
            code = 1
            try:
                os.close(writing)
                os.read(reading, 1)  # until all are there
                append_csv(row(number), path)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    os.close(reading)
    os.close(writing)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 16
    assert sorted(tokens_in(path)) == list(range(16))
    assert [each.name for each in path.parent.iterdir()] == ["runs.csv"]


@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("is_cut", [False, True])
def test_a_row_is_added_to_what_a_spreadsheet_saved(tmp_path, line_end, mark, quoting, is_cut):
    path, before = tmp_path / "runs.csv", saved_as(",", line_end, quoting, mark)
    before = before.removesuffix(line_end.encode()) if is_cut else before
    path.write_bytes(before)
    check_csv(path)
    append_csv(row(6), path)
    assert path.read_bytes().startswith(before)
    assert path.read_bytes().endswith(line_end.encode())
    assert path.read_bytes().count(line_end.encode()) == 3
    assert tokens_in(path) == [5, 6]


@pytest.mark.parametrize("before", [b"", codecs.BOM_UTF8])
def test_a_file_with_nothing_in_it_is_begun(tmp_path, before):
    path = tmp_path / "runs.csv"
    path.write_bytes(before)
    append_csv(row(1), path)
    assert path.read_bytes().startswith(before + b"folder,")
    assert tokens_in(path) == [1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a,b\n1,2\n", "has other columns than a result's row; name another file"),
        (b"\n" + saved_as(), "has other columns"),
        (b"x" * 200_000, "has other columns"),
        (saved_as(";"), "has semicolons between its columns; save it with commas"),
        (saved_as(";", mark=codecs.BOM_UTF8, quoting=csv.QUOTE_ALL), "has semicolons between its columns"),
        (saved_as("\t"), "has tabs between its columns"),
        (saved_as("\t").decode().encode("utf-16"), "is not UTF-8; save it as CSV in UTF-8"),
        (saved_as() + "naïve".encode("latin-1"), "is not UTF-8"),
        (saved_as() + b'"one; tw', "ends inside of a cell, whose quotes are not closed"),
        (saved_as(quoting=csv.QUOTE_ALL, mark=codecs.BOM_UTF8)[:-3], "ends inside of a cell"),
    ],
)
def test_a_file_that_no_row_can_be_added_to_is_refused_with_the_reason_and_left_as_it_is(tmp_path, content, reason):
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"mine\.csv: {re.escape(reason)}"):
        check_csv(path)
    with pytest.raises(ConfigError, match=re.escape(reason)):
        append_csv(row(), path)
    assert path.read_bytes() == content


def test_a_file_of_holes_is_refused_unread(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_bytes(saved_as())
    os.truncate(path, 1 << 42)
    with pytest.raises(ConfigError, match=r"runs\.csv: has 4398\.0 GB, and at most 1\.1 GB are read; name another"):
        check_csv(path)


def test_what_is_no_file_is_refused_before_anything_is_measured_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    for path, found in [("pipe.csv", "a named pipe"), ("loop.csv", "a symbolic link"), (".", "a directory")]:
        with pytest.raises(ConfigError, match=f"is {found}, not a regular file; name another one"):
            check_csv(tmp_path / path)


def test_a_link_to_a_csv_file_stays_and_the_row_is_where_it_leads(tmp_path):
    (tmp_path / "far").mkdir()
    link = tmp_path / "runs.csv"
    link.symlink_to("far/all.csv")
    for tokens in (1, 2):
        append_csv(row(tokens), link)
    assert link.is_symlink()
    assert tokens_in(tmp_path / "far" / "all.csv") == [1, 2]


def test_a_file_keeps_its_mode(tmp_path):
    path = append_csv(row(1), tmp_path / "runs.csv")
    path.chmod(0o640)
    append_csv(row(2), path)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_row_that_has_no_room_costs_none_that_is_there(tmp_path):
    path = append_csv(row(1), tmp_path / "runs.csv")
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            append_csv(row(2), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("is_added", [False, True])
def test_no_text_in_a_csv_is_a_formula_and_a_number_below_0_is_a_number(tmp_path, is_added):
    found = row(total_energy_j=-0.5, effective_config={"model": '=HYPERLINK("http://x","y")'})
    path = append_csv(found, tmp_path / "runs.csv") if is_added else export([found], "csv", tmp_path / "runs.csv")
    with path.open(newline="") as file:
        [read] = csv.DictReader(file)
    assert read["model"] == '\'=HYPERLINK("http://x","y")'
    assert read["total_energy_j"] == "-0.5"
