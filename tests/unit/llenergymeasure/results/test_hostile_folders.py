"""A results folder that somebody else has filled: no command waits, breaks, or changes anything outside of it."""

import contextlib
import os
import tempfile
import warnings
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile_folders import llem

from hostile_places import KINDS, NO_FILES, Outside, deadline, names_below, place
from llenergymeasure import ExperimentResult, load_results, results_table
from llenergymeasure.config.ranks import Rank
from llenergymeasure.errors import ExperimentError
from llenergymeasure.parallel.meeting import Meeting
from llenergymeasure.results.persistence import save_raw_result
from llenergymeasure.results.timeseries import write_timeseries_parquet
from small_result import make_raw_result, make_result, make_samples

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


@pytest.mark.parametrize("link", ["file", "folder"])
def test_a_result_is_read_by_a_link_that_a_user_names(tmp_path, monkeypatch, sidecar, link):
    folder = save(tmp_path / "results", "one", sidecar, experiment_id="one")
    (tmp_path / "file").symlink_to(folder / "result.json")
    (tmp_path / "folder").symlink_to(folder)
    for command in ("show", "list", "verify", "export"):
        code, shown = llem(
            "results", command, tmp_path / link, *(["-o", tmp_path / "x.csv"] if command == "export" else [])
        )
        assert code == 0, shown
    path = tmp_path / link if link == "file" else tmp_path / link / "result.json"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = ExperimentResult.from_json(path)
    assert len(result.load_timeseries(path)) == 3


@pytest.mark.parametrize("name", ["../../home/thesis.txt", "/dev/zero", "HOME/thesis.txt", ".."])
def test_a_timeseries_that_is_said_to_lie_elsewhere_is_not_looked_for_there(tmp_path, outside, sidecar, name):
    folder = save(tmp_path / "results", "one", sidecar, experiment_id="one")
    name = name.replace("HOME", str(tmp_path / "home"))
    text = (folder / "result.json").read_text().replace('"timeseries": "timeseries.parquet"', f'"timeseries": "{name}"')
    (folder / "result.json").write_text(text)
    with deadline(), pytest.warns(UserWarning, match="changed"):
        result = ExperimentResult.from_json(folder / "result.json")
    assert result.timeseries == name
    assert len(result.load_timeseries(folder / "result.json")) == 3
    (folder / "timeseries.parquet").unlink()
    assert result.load_timeseries(folder / "result.json") is None


def test_sql_leaves_out_a_sidecar_that_is_no_timeseries_and_names_it(tmp_path, sidecar):
    results = tmp_path / "results"
    save(results, "good", sidecar, experiment_id="good")
    path = save(results, "bad", sidecar, experiment_id="bad") / "timeseries.parquet"
    pq.write_table(pa.table({"timestamp_s": ["soon"], "gpu_power_w": [1.0]}), path)
    query = "select experiment_id, count(*) as n from timeseries group by all"
    code, shown = llem("results", "sql", query, "-d", results, "--json")
    assert code == 0
    assert f"{path}: other columns than a timeseries" in shown
    assert '"good"' in shown
    assert '"bad"' not in shown


@pytest.mark.parametrize("kind", ["link", "folder that anybody can write to"])
def test_processes_do_not_meet_in_a_folder_that_somebody_else_may_write_to(tmp_path, monkeypatch, outside, kind):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("MASTER_PORT", "29500")
    began_s = psutil.Process(os.getppid()).create_time()
    for number in range(100):  # of the runs of this process
        place_of_meeting = tmp_path / f"llem-{os.getppid()}-{began_s:.2f}-29500-{number}"
        if kind == "link":
            place_of_meeting.symlink_to(outside.folder)
        else:
            place_of_meeting.mkdir()
            place_of_meeting.chmod(0o777)
    with pytest.raises(ExperimentError, match="is not this user's own"):
        Meeting(Rank(0, 1))
    assert outside.is_unharmed()


@pytest.mark.parametrize("value", [2**63, -(10**300)])
@pytest.mark.parametrize("command", ["sql", "export as Parquet"])
def test_a_number_that_a_table_has_no_room_for_is_left_out_and_costs_no_other_result(tmp_path, command, value):
    folder = save(tmp_path / "results", "one", total_tokens=value, effective_config={"batch_size": 10**40})
    save(tmp_path / "results", "two")
    code, shown = answer(COMMANDS[command], tmp_path / "results")
    assert code == 0
    for name, number in (("batch_size", 10**40), ("total_tokens", value)):
        assert f"{folder}: {name}: {str(number)[:19]}" in shown
    with pytest.warns(UserWarning, match="does not fit into 64 bits and is null in the table"):
        table = results_table(tmp_path / "results")
    assert sorted(table["total_tokens"].to_pylist(), key=str) == [1000, None]


@contextlib.contextmanager
def somebody():
    """Not root, whom no mode keeps out."""
    if is_root := os.geteuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def test_what_a_user_may_not_read_is_named_and_the_rest_is_listed(tmp_path, monkeypatch, sidecar):
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    locked = ("locked", ".state/locked", "gpt2_pytorch_2026-11-21T14-00")
    for name in ("good", "file", "sidecar", "locked"):
        save(Path("results"), name, sidecar, experiment_id=f"is-{name}")
    for name in (*locked[1:], ".state/run", "gpt2_pytorch_2026-11-21T15-00"):
        Path("results", name).mkdir(parents=True)
    commands = (COMMANDS["list as JSON"], COMMANDS["verify"], COMMANDS["sql"], COMMANDS["recover --remove"])
    for path in (Path("results"), Path("results", ".state"), *(Path("results", ".state").iterdir())):
        os.chown(path, 65534 if os.geteuid() == 0 else -1, -1)
    for command in commands[:3]:
        answer(command, Path("results"))  # whatever is imported only now
    for path in (*(Path("results", name) for name in locked), Path("results/file/result.json")):
        path.chmod(0)
    Path("results/sidecar/timeseries.parquet").chmod(0)
    with somebody():
        shown = [answer(command, Path("results")) for command in commands]
    for path in (Path("results", name) for name in locked):
        path.chmod(0o755)
    assert [code for code, _ in shown] == [0, 1, 0, 0]
    assert '"is-good"' in shown[0][1]
    assert '"is-sidecar"' in shown[0][1]
    for _, text in shown[:3]:
        assert "results/locked/result.json: " in text
        assert "results/file/result.json: " in text
        assert "results/sidecar/timeseries.parquet" in text or "timeseries.parquet cannot be read" in text
    for name in locked[1:]:
        assert f"results/{name}: a directory; left alone: it cannot be looked into" in shown[3][1]
    assert "results/.state/run: a run that ended before any process had kept anything; removed" in shown[3][1]


def test_a_small_timeseries_that_would_fill_the_memory_is_not_read(tmp_path, sidecar):
    path = save(tmp_path / "results", "one", sidecar, experiment_id="one") / "timeseries.parquet"
    part = pa.table({"gpu_index": pa.array([0] * 10**6, pa.int32())})
    with pq.ParquetWriter(path, part.schema, compression="zstd") as writer:
        for _ in range(101):
            writer.write_table(part)
    assert path.stat().st_size < 500_000
    code, shown = llem("results", "verify", tmp_path / "results")
    assert code == 1
    assert "timeseries.parquet: has 101,000,000 rows, and at most 100,000,000 are read" in shown


def test_a_long_text_is_cut_in_a_table_and_whole_in_json(tmp_path):
    save(tmp_path / "results", "one", experiment_id="A" * 100_000)
    for command in (["list", tmp_path / "results"], ["sql", "from results", "-d", tmp_path / "results"]):
        code, shown = llem("results", *command)
        assert (code, "A" * 299 + "…" in shown, "A" * 300 in shown) == (0, True, False)
        assert "A" * 100_000 in llem("results", *command, "--json")[1]
