"""A results folder that somebody else has filled: no command waits, breaks, or changes anything outside of it."""

import os
import warnings

import pytest
from hostile_folders import llem
from test_persistence import make_raw_result, make_samples

from hostile_places import KINDS, NO_FILES, Outside, deadline, names_below, place
from llenergymeasure import ExperimentResult, load_results, results_table
from llenergymeasure.results.persistence import save_raw_result
from llenergymeasure.results.timeseries import write_timeseries_parquet
from small_result import make_result

RUN_FILES = (
    *("process_0.json", "process_0.jsonl", "process_0.recovered.json", "part_0.json", "timeseries_0.parquet"),
    *(".completed_0", ".expected", ".0123456789abcdef.tmp"),
)
COMMANDS = {
    "list": ["list", "DIR"],
    "list as JSON": ["list", "DIR", "--json"],
    "show": ["show", "good", "-d", "DIR"],
    "show a folder": ["show", "DIR/result link to a device"],
    "verify": ["verify", "DIR"],
    "verify as JSON": ["verify", "DIR", "--json"],
    "export as CSV": ["export", "DIR", "-o", "OUT/all.csv"],
    "export as JSON": ["export", "DIR", "-f", "json", "-o", "OUT/all.json"],
    "export as Parquet": ["export", "DIR", "-f", "parquet", "-o", "OUT/all.parquet"],
    "sql": ["sql", "select * from results join timeseries using (experiment_id)", "-d", "DIR"],
    "compare": ["compare", "DIR", "DIR"],
    "recover": ["recover", "DIR"],
    "recover --remove": ["recover", "DIR", "--remove"],
}


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory):
    return write_timeseries_parquet(make_samples(3), tmp_path_factory.mktemp("made") / "source.parquet")


@pytest.fixture
def outside(tmp_path):
    return Outside(tmp_path / "home")


def save(results, folder, sidecar=None, **changes):
    """A result in a folder of this name; the folder."""
    saved = make_result(**changes).save(results, timeseries_source=sidecar)
    return saved.parent.rename(results / folder)


@pytest.fixture
def results(tmp_path, outside, sidecar):
    """Good results among one of each kind in each place that a name of ours can have."""
    results = tmp_path / "results"
    save(results, "good", sidecar, experiment_id="good")
    for number, name in enumerate(("two\nlines", "clear\x1b[2J", os.fsdecode(b"no text \xff"))):
        save(results, name, sidecar, experiment_id=f"named-{number}")
    save(tmp_path / "disk", "elsewhere", sidecar, experiment_id="elsewhere")
    (results / "linked").symlink_to(tmp_path / "disk" / "elsewhere")
    for number, kind in enumerate(KINDS):
        place(kind, results / f"result {kind}" / "result.json", outside)
        place(
            kind,
            save(results, f"sidecar {kind}", sidecar, experiment_id=f"side-{kind}") / "timeseries.parquet",
            outside,
        )
        place(kind, results / f"gpt2_pytorch_2026-11-20T14-00_{number}", outside)
        place(kind, results / f"gpt2_pytorch_2026-11-21T14-00_{number}" / "timeseries.parquet", outside)
        place(kind, results / "good" / f".0123456789abcde{number}.tmp", outside)
        place(kind, results / ".state" / f"run-{number}", outside)
        for name in RUN_FILES:
            path = save_raw_result(make_raw_result(f"{name}-{number}"), results)
            for other in RUN_FILES[1:3]:
                (path.parent / other).write_bytes(b"{}\n")
            place(kind, path.parent / name, outside)
    return results


def answer(command, results):
    out = results.parent / "out"
    out.mkdir(exist_ok=True)
    return llem("results", *(word.replace("DIR", str(results)).replace("OUT", str(out)) for word in command))


def test_every_command_ends_with_an_answer_and_changes_nothing_outside(results, outside):
    for command in COMMANDS.values():
        code, shown = answer(command, results)
        assert code in (0, 1, 2)
        assert "Traceback" not in shown
        assert "defect" not in shown, shown
        assert outside.is_unharmed(), command


def test_results_are_read_beside_what_is_none_and_each_of_these_is_named(results):
    code, shown = answer(COMMANDS["list as JSON"], results)
    assert code == 0
    for name in ("good", "elsewhere", "named-0", "named-1", "named-2", *(f"side-{kind}" for kind in KINDS)):
        assert f'"{name}"' in shown
    for kind in KINDS:
        assert f"result {kind}/result.json: " in shown
    _, shown = answer(COMMANDS["verify"], results)
    for kind in KINDS:
        assert f"result {kind}/result.json: broken" in shown
        assert f"sidecar {kind}/result.json: broken" in shown


def test_python_reads_what_can_be_read(results, outside):
    with warnings.catch_warnings(), deadline():
        warnings.simplefilter("ignore")
        found = load_results(results)
        assert len(found) == 5 + len(KINDS)
        assert len(results_table(results)) == len(found)
        for kind in KINDS:
            path = results / f"sidecar {kind}" / "result.json"
            with pytest.raises(OSError, match="timeseries"):
                ExperimentResult.from_json(path).load_timeseries(path)
    assert outside.is_unharmed()


def test_what_is_removed_is_ours_and_the_rest_is_named(results, outside):
    before = names_below(results)
    code, shown = answer(COMMANDS["recover --remove"], results)
    assert code == 0
    assert outside.is_unharmed()
    gone = before - names_below(results)
    good = [
        results / "good" / f".0123456789abcde{number}.tmp" for number, kind in enumerate(KINDS) if kind not in NO_FILES
    ]
    assert set(good) < gone
    for path in gone:
        assert path.parent in (results / "good", results / ".state", results) or path.parent in gone
    for number, kind in enumerate(KINDS):
        for name in RUN_FILES:
            folder = results / ".state" / f"{name}-{number}".lstrip(".")
            assert (folder in gone) == (kind not in NO_FILES), folder
            assert f"{folder}: " in shown
        assert f"{results / '.state' / f'run-{number}'}: " in shown
        assert results / ".state" / f"run-{number}" not in gone
