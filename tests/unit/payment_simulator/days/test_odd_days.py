"""Folders of days that are damaged, of another kind or version, or made by somebody else."""

import json
import os
import shutil
import warnings
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kept import outcome_of, sha256, sim

from labledger.documents import sealed
from labledger.errors import ConfigError, LabledgerError, UnreadableFileError
from payment_simulator import load_day, save_day
from payment_simulator.days.folders import DOCUMENT, TABLES
from small_result import make_result

GOLDEN = Path(__file__).parents[3] / "golden"
FILES = (DOCUMENT, *(f"{name}.parquet" for name in TABLES))
FLIPS = 25
"""Bits that are flipped in each file, one at a time."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    agents = {"A": {"unsecured_cap": 400}, "B": {}}
    rows = [(0, "A", "B", 300), (1, "B", "A", 200), (1, "A", "B", 450)]
    return save_day(outcome_of(agents, rows, settled=[0, 2, -1], ticks=3), tmp_path_factory.mktemp("days") / "day")


@pytest.fixture
def day(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "day"))


def rewrite(day, **changes):
    """Change the document of a day, or a table of it, and seal it as if nothing had happened."""
    content = json.loads((day / DOCUMENT).read_text())
    content.pop("integrity")
    for key, value in changes.items():
        if key in TABLES:
            pq.write_table(value, day / f"{key}.parquet")
        else:
            content[key] = value
    digests = {f"{name}_sha256": sha256(day / f"{name}.parquet") for name in TABLES}
    (day / DOCUMENT).write_bytes(sealed(json.dumps(content, indent=2), **digests))


def used(day):
    """Use all that is in a day."""
    found = load_day(day)
    return found.scenario, found.arrivals, found.by_tick("balances", "balance", ["A"]), found.costs


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_in_any_file_is_told(day, name):
    path = day / name
    content = path.read_bytes()
    for flip in range(FLIPS):
        place = flip * (len(content) - 1) // (FLIPS - 1)
        damaged = bytearray(content)
        damaged[place] ^= 1 << flip % 8
        path.write_bytes(damaged)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                load_day(day)
            except LabledgerError as error:
                assert name in str(error)  # noqa: PT017 - or it is a warning
            else:
                assert name == DOCUMENT
                assert any("digest" in str(each.message) for each in caught)


@pytest.mark.parametrize("command", ["show", "run", "compare"])
@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(day, name, command):
    (day / name).unlink()
    ended = sim(command, day, *([day] if command == "compare" else []))
    assert (ended.exit_code in (1, 2), ended.stdout) == (True, "")
    assert name in ended.stderr
    assert "defect" not in ended.stderr


def test_links_pipes_and_huge_files_are_refused(day, tmp_path):
    path = day / "payments.parquet"
    for make, reason in (
        (lambda: path.symlink_to(tmp_path / "elsewhere"), "is a symbolic link, not a regular file"),
        (lambda: os.mkfifo(path), "is a named pipe, not a regular file"),
        (lambda: path.mkdir(), "is a directory, not a regular file"),
        (lambda: (path.touch(), os.truncate(path, 2 << 30)), "has 2.1 GB, and at most 1.1 GB are read"),
    ):
        path.unlink()
        make()
        ended = sim("show", day)
        assert (ended.exit_code, reason in ended.stderr) == (1, True), ended.stderr
        if path.is_dir():
            path.rmdir()
            path.touch()


def test_a_day_of_another_version_is_read_with_a_warning(day):
    rewrite(day, schema_version="2.0", brought_by="a newer version")
    ended = sim("show", day)
    assert ended.exit_code == 0
    assert 'schema_version="2.0"' in ended.stderr
    assert "brought_by" in ended.stderr


ODD_TABLES = {
    "of another bank": ("receiver", ["B", "A", "X"]),
    "of no amount": ("amount", [300, 0, 450]),
    "out of order": ("arrived", [2, 1, 1]),
    "after the end": ("arrived", [0, 1, 3]),
    "of a null": ("amount", [300, None, 450]),
    "of text": ("amount", ["a", "b", "c"]),
    "too large": ("deadline", [2**40] * 3),
}


@pytest.mark.parametrize("odd", ODD_TABLES)
def test_payments_that_no_run_has_are_refused(day, odd):
    name, values = ODD_TABLES[odd]
    table = pq.read_table(day / "payments.parquet")
    rewrite(day, payments=table.set_column(table.column_names.index(name), name, pa.array(values)))
    with pytest.raises(UnreadableFileError, match=f"payments.parquet: {name}: "):
        used(day)


@pytest.mark.parametrize("name", ["id", "sender", "amount", "from_file", "settled_in_file"])
def test_a_column_that_is_not_there_is_named(day, name):
    rewrite(day, payments=pq.read_table(day / "payments.parquet").drop_columns([name]))
    with pytest.raises(UnreadableFileError, match=f"payments.parquet: no column {name}"):
        used(day)


def test_balances_without_a_tick_and_a_scenario_that_is_none_are_refused(day):
    rewrite(day, balances=pq.read_table(day / "balances.parquet").slice(1))
    with pytest.raises(UnreadableFileError, match=r"balances.parquet: should have a row for each of 3 ticks"):
        used(day)
    rewrite(day, scenario={"agents": 5})
    with pytest.raises(UnreadableFileError, match=r"outcome.json: scenario.simulation: Field required"):
        used(day)


@pytest.mark.parametrize("report", [{}, {"agents": 3}, {"agents": {"A": {}}}, {"agents": {"A\x1b[31m": {"costs": []}}}])
def test_a_report_that_no_run_wrote_ends_in_a_message(day, report):
    rewrite(day, report=report)
    for command in (["show", day], ["compare", day, day]):
        ended = sim(*command)
        assert (ended.exit_code, "report" in ended.stderr) == (1, True), ended.stderr
        assert "defect" not in ended.stderr
        assert "\x1b" not in ended.stderr


def test_a_report_of_a_currency_that_there_is_not_takes_no_memory(day):
    rewrite(day, report=json.loads((day / DOCUMENT).read_text())["report"] | {"decimals": 10**9})
    assert "decimals: 1000000000" in sim("show", day).stderr


def test_show_names_what_a_folder_is_and_what_reads_it(day, tmp_path):
    make_result().save(tmp_path / "llem")
    (result,) = (tmp_path / "llem").iterdir()
    unfinished = shutil.copytree(day, tmp_path / "unfinished")
    (unfinished / DOCUMENT).unlink()
    (tmp_path / "empty").mkdir()
    found = {
        result: "result.json in it is of kind llem.result, which `llem results show` reads",
        result / "result.json": "is a file of kind llem.result, which `llem results show` reads",
        GOLDEN / "payments_1.0": "of kind payments.experiment, which `payment-sim experiment show` reads",
        tmp_path: "is a folder and no day, and has 1 in it: day; name one",
        unfinished: "has no outcome.json: a run is writing to it, or was ended before it was done",
        tmp_path
        / "empty": "is a folder and no day: no outcome.json in it; `payment-sim run SCENARIO -o DIR` keeps one",
        tmp_path / "nothing": "no such folder",
        day / "payments.parquet": "is a file; a day is a folder",
    }
    for path, words in found.items():
        for command in ("show", "run"):
            if command == "show" or path.is_dir():
                ended = sim(command, path)
                assert (ended.exit_code, ended.stdout, words in ended.stderr) == (2, "", True), ended.stderr
        with pytest.raises(ConfigError):
            load_day(path)
