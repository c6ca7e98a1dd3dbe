"""One folder with the results of both instruments, and what does not belong to either."""

import csv
import json
import os
import shutil
import warnings
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

import llenergymeasure
from labledger.documents import OtherKindError
from labledger.files import write_durably
from llenergymeasure.cli.main import app as llem_app
from payment_simulator import draw_arrivals, load_day, load_scenario, save_day, simulate
from payment_simulator.cli.main import app as payment_app
from payment_simulator.experiments import result as result_module
from payment_simulator.experiments.result import ExperimentResult
from small_result import make_result

GOLDEN = Path(__file__).parents[1] / "golden"
FOREIGN = {
    "numbers": '{"a": 1}',
    "list": "[1, 2]",
    "newer": '{"kind": "llem.something", "schema_version": "1.0"}',
    "other-tool": '{"kind": "other.tool", "results": []}',
    "raw": '{"kind": "llem.raw_result", "process_index": 0, "experiment_id": "x"}',
}


def ran(app, *arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def llem(*arguments):
    return ran(llem_app, "results", *arguments)


@pytest.fixture(scope="module")
def kept_day(tmp_path_factory):
    """A day that payment-sim has kept."""
    scenario = load_scenario(Path(__file__).parents[2] / "examples" / "payments" / "gridlock.yaml")
    outcome = simulate(scenario, draw_arrivals(scenario), record_events=True, engine="reference")
    return save_day(outcome, tmp_path_factory.mktemp("kept") / "day")


@pytest.fixture
def shared(tmp_path, monkeypatch, kept_day):
    """`results` in the working directory: one result of llem, two experiments and a day of payment-sim, and others'."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results"
    make_result(experiment_id="mine", verdict="valid").save(folder)
    shutil.copytree(GOLDEN / "payments_1.0", folder / "castro1_2026-11-30T02-43")
    shutil.copytree(GOLDEN / "payments_1.0_without_kind", folder / "castro1_2026-11-30T02-31")
    for name, text in FOREIGN.items():
        (folder / name).mkdir()
        (folder / name / "result.json").write_text(text)
    (folder / "castro1.db").write_bytes(b"x")
    shutil.copytree(kept_day, folder / "day")
    return folder


def ids_in(shown):
    return [row["experiment_id"] for row in json.loads(shown.stdout)]


def test_list_has_the_results_of_llem_alone_and_says_no_word_of_the_others(shared):
    shown = llem("list", "--json")
    assert (shown.exit_code, shown.stderr, ids_in(shown)) == (0, "", ["mine"])


def test_verify_looks_at_the_results_of_llem_alone(shared):
    shown = llem("verify", "--require-valid")
    assert (shown.exit_code, shown.stdout) == (0, "1 of 1 results are as they were saved and valid\n")
    assert [row["status"] for row in json.loads(llem("verify", "--json").stdout)] == ["ok"]


def test_export_and_sql_hold_the_results_of_llem_alone(shared):
    shown = llem("export", "-o", "all.csv")
    assert (shown.exit_code, shown.stderr, shown.stdout) == (0, "", "1 results in all.csv\n")
    with Path("all.csv").open(newline="") as file:
        assert [row["experiment_id"] for row in csv.DictReader(file)] == ["mine"]
    asked = llem("sql", "select experiment_id from results", "--json")
    assert (asked.stderr, ids_in(asked)) == ("", ["mine"])


def test_compare_takes_the_results_of_llem_alone(shared):
    make_result(experiment_id="another", effective_config={"model": "another"}).save(shared)
    (comparison,) = json.loads(llem("compare", "--by", "config", "--json").stdout)
    assert comparison["config_differences"]["model"] in (["gpt2", "another"], ["another", "gpt2"])
    assert llem("compare", "results", "mine").exit_code == 0


def test_recover_finds_nothing_and_removes_nothing(shared):
    before = sorted(shared.rglob("*"))
    shown = llem("recover", "--remove")
    assert (shown.exit_code, shown.stdout) == (0, "nothing to recover in results\n")
    assert sorted(shared.rglob("*")) == before


def test_a_folder_that_payment_sim_fills_meanwhile_is_left_alone(shared, monkeypatch):
    """Its name is as one of llem's may be, and nothing is in it yet."""
    shown = []

    def watched(path, content, **options):
        shown.append(llem("recover", "--remove").stdout)
        write_durably(path, content, **options)

    monkeypatch.setattr(result_module, "write_durably", watched)
    result = ExperimentResult.from_json(GOLDEN / "payments_1.0" / "result.json")
    saved = result.model_copy(update={"experiment_name": "my_game"}).save(shared)
    assert shown == ["nothing to recover in results\n"]
    assert ExperimentResult.from_json(saved).final_costs == 2000


def test_python_gives_the_results_of_llem_alone_without_a_warning(shared):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [result.experiment_id for result in llenergymeasure.load_results(shared)] == ["mine"]
        table = llenergymeasure.results_table(shared)
    assert isinstance(table, pa.Table)
    assert table.column("experiment_id").to_pylist() == ["mine"]


def test_a_result_from_before_there_was_a_kind_is_one_of_them(shared):
    shutil.copytree(GOLDEN / "2.0", shared / "older")
    assert len(json.loads(llem("list", "--json").stdout)) == 2
    assert llem("verify").stdout == "2 of 2 results are as they were saved\n"


def test_what_may_be_a_broken_result_is_named(shared):
    (mine,) = shared.glob("gpt2_*/result.json")
    content = mine.read_bytes()
    for broken in (content[: len(content) // 2], b"", b"{", content.replace(b"llem.result", b"llem.rezult")):
        mine.write_bytes(broken)
        shown = llem("list", "--json")
        assert (shown.exit_code, ids_in(shown)) == (0, [])
        assert f"{mine.relative_to(shared.parent)}: " in shown.stderr
        assert llem("verify").stdout.splitlines()[-1] == "0 of 1 results are as they were saved"
        with pytest.warns(UserWarning, match="left out"):
            assert llenergymeasure.load_results(shared) == []


def test_a_broken_experiment_of_payment_sim_is_passed_over(shared):
    path = shared / "castro1_2026-11-30T02-43" / "result.json"
    path.write_bytes(path.read_bytes()[:300])
    shown = llem("list", "--json")
    assert (shown.stderr, ids_in(shown)) == ("", ["mine"])
    assert llem("verify").exit_code == 0


@pytest.mark.parametrize("command", ["show", "list", "verify", "export", "compare"])
def test_an_experiment_that_is_named_to_llem_is_told_with_what_reads_it(shared, command):
    for target in (shared / "castro1_2026-11-30T02-43", shared / "castro1_2026-11-30T02-43" / "result.json"):
        shown = llem(command, target, *(["mine"] if command == "compare" else []))
        assert (shown.exit_code, shown.stdout) == (1, "")
        assert "its kind is payments.experiment, which `payment-sim experiment show` reads" in shown.stderr
    with pytest.raises(OtherKindError):
        llenergymeasure.load_results(shared / "castro1_2026-11-30T02-43")


@pytest.mark.parametrize("command", ["show", "list", "verify", "export", "compare"])
def test_a_day_that_is_named_to_llem_is_told_with_what_reads_it(shared, command):
    for target in (shared / "day", shared / "day" / "outcome.json"):
        shown = llem(command, target, *(["mine"] if command == "compare" else []))
        assert (shown.exit_code, shown.stdout) == (1, "")
        assert "its kind is payments.outcome, which `payment-sim show` reads" in shown.stderr
    with pytest.raises(OtherKindError):
        llenergymeasure.load_results(shared / "day")


def test_payment_sim_reads_its_day_among_the_results_of_llem_and_names_what_reads_those(shared):
    assert load_day(shared / "day").record.report["arrived"] > 0
    (mine,) = shared.glob("gpt2_*")
    shown = ran(payment_app, "show", mine)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert "is of kind llem.result, which `llem results show` reads" in shown.stderr
    (shared / "days").mkdir()
    shutil.move(shared / "day", shared / "days" / "monday")
    assert "has 1 in it: monday; name one" in ran(payment_app, "show", shared / "days").stderr


def test_what_says_no_kind_is_told_so_when_it_is_named(shared):
    shown = llem("show", "numbers")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "numbers/result.json: is no llem.result: it names no kind" in shown.stderr


def test_payment_sim_shows_its_result_files_without_a_database(shared):
    for name in ("castro1_2026-11-30T02-43", "castro1_2026-11-30T02-31"):
        shown = ran(payment_app, "experiment", "show", shared / name)
        assert (shown.exit_code, shown.stderr) == (0, "")
        assert "2,000 cents" in shown.stdout
        asked = ran(payment_app, "experiment", "show", shared / name / "result.json", "--json")
        assert json.loads(asked.stdout)["final_costs_by_agent"] == {"BANK_A": 0, "BANK_B": 2000}


def test_payment_sim_names_a_broken_result_file_and_what_is_none_of_its_own(shared):
    (mine,) = shared.glob("gpt2_*")
    shown = ran(payment_app, "experiment", "show", mine)
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "its kind is llem.result, which `llem results show` reads" in shown.stderr
    path = shared / "castro1_2026-11-30T02-43" / "result.json"
    path.write_bytes(path.read_bytes().replace(b"2000", b"2001"))
    changed = ran(payment_app, "experiment", "show", path)
    assert changed.exit_code == 0
    assert "changed after it was saved" in changed.stderr
    path.write_bytes(path.read_bytes()[:-40])
    broken = ran(payment_app, "experiment", "show", path)
    assert (broken.exit_code, broken.stdout) == (1, "")
    assert f"{path}: not JSON: " in broken.stderr


@pytest.mark.parametrize("instrument", [llem_app, payment_app])
def test_what_is_no_file_in_the_place_of_a_result_is_named(shared, instrument):
    words = ("results", "show") if instrument is llem_app else ("experiment", "show")
    for name, place in (("pipe", os.mkfifo), ("directory", Path.mkdir), ("link", lambda path: path.symlink_to(path))):
        (shared / name).mkdir()
        place(shared / name / "result.json")
        shown = ran(instrument, *words, shared / name)
        assert (shown.exit_code, shown.stdout) == (1, "")
        told = "Too many levels of symbolic links" if (name, instrument) == ("link", payment_app) else "is a "
        assert f"{shared / name / 'result.json'}: {told}" in shown.stderr
