"""What a killed run has left is shown: its requests, tokens and joules, and the command that shows each process."""

import json
import re
import shlex
from pathlib import Path

import pytest
from hostile_folders import llem
from measurements import two_gpus
from unfinished_runs import RUN, answer, begun, joules, leave_journal, leave_parts

from llenergymeasure.results.persistence import save_raw_result, state_folder
from llenergymeasure.results.raw_results import load_raw_result


@pytest.fixture
def results(tmp_path):
    (tmp_path / "my results").mkdir()
    return tmp_path / "my results"


@pytest.fixture
def killed(results):
    """A run that was killed after two requests of four tokens, each in two seconds, at 300 W."""
    leave_journal(results, answer(0, 0.0, 2.0), answer(1, 2.0, 4.0), [joules(-0.1), joules(4.5)])
    return state_folder(results, RUN)


def shown_commands(text):
    return [shlex.split(command)[1:] for command in re.findall("llem results show .*", text)]


def test_recover_shows_the_figures_of_a_killed_run_and_the_command_that_shows_it(results, killed):
    code, shown = llem("results", "recover", results)
    path = killed / "process_0.recovered.json"
    assert code == 0
    assert shown.splitlines()[:2] == [
        f"{killed}: 2 finished requests of 1 process(es); it ended early",
        f"  process 0: 2 requests, 2.00 output tokens/s, 1,200 J: llem results show '{path}'",
    ]
    ((*command, file),) = shown_commands(shown)
    assert (Path(file), command) == (path, ["results", "show"])
    code, shown = llem(*command, file)
    assert code == 0
    facts = dict(re.findall(r"^ (\S.*?)  +(\S.*?) *$", shown, re.MULTILINE))
    assert facts["run"] == f"{RUN}, process 0"
    assert facts["requests"].startswith("2 finished; it was stopped before it had served all")
    assert (facts["tokens"], facts["duration"]) == ("21 in, 8 out", "4.00 s")
    assert (facts["output tokens/s"], facts["energy"]) == ("2.00", "1,200 J")
    assert facts["energy/output token"] == "150 J/token, bound unknown"
    assert facts["TTFT"].startswith("500 ms mean")
    assert "not a result" in shown
    assert shown.splitlines()[-1] == f"kept in {path}"


def test_recover_one_level_above_the_runs_says_where_they_are(results, killed):
    code, shown = llem("results", "recover", results.parent)
    assert (code, shown.splitlines()[0].split("; ")) == (
        0,
        [f"nothing to recover in {results.parent}", f"runs are one level down: llem results recover '{results}'"],
    )


def test_a_raw_result_is_shown_as_json_too_and_one_from_before_there_were_kinds(results, killed):
    llem("results", "recover", results)
    path = killed / "process_0.recovered.json"
    code, shown = llem("results", "show", path, "--json")
    assert (code, json.loads(shown)) == (0, json.loads(path.read_text()))
    document = json.loads(path.read_text())
    del document["kind"]
    path.write_text(json.dumps(document | {"schema_version": "1.9"}))
    code, shown = llem("results", "show", path)
    assert code == 0
    assert "2 finished" in shown
    assert f'Warning: Result file schema_version="1.9"; current schema is "2.0".\n  File: {path}\n' in shown


def test_each_process_of_a_run_that_did_not_end_is_shown_by_its_own_command(results):
    run = leave_parts(results, two_gpus())
    (run / ".completed_1").unlink()
    _, shown = llem("results", "recover", results)
    commands = shown_commands(shown)
    assert [Path(file).name for *_, file in commands] == ["process_0.json", "process_1.json"]
    for *command, file in commands:
        assert llem(*command, file)[0] == 0


def test_a_run_that_becomes_a_result_is_shown_with_its_figures_and_the_command_that_shows_it(results):
    leave_parts(results, two_gpus())
    _, shown = llem("results", "recover", results)
    (path,) = results.glob("*/result.json")
    assert re.search(r"^  8 requests, \S+ output tokens/s, [\d.,]+ J: llem results show ", shown, re.MULTILINE)
    assert shown_commands(shown) == [["results", "show", str(path.parent)]]


def test_what_is_removed_is_shown_once_more_without_a_command(results, killed):
    llem("results", "recover", results)
    _, shown = llem("results", "recover", results, "--remove")
    assert shown.endswith("it ended early; removed\n  process 0: 2 requests, 2.00 output tokens/s, 1,200 J\n")
    assert not killed.exists()


def test_where_the_raw_result_cannot_be_written_its_figures_are_shown(results, killed):
    (killed / "process_0.recovered.json").mkdir()
    _, shown = llem("results", "recover", results)
    assert "2 requests, 2.00 output tokens/s, 1,200 J; its raw result could not be written beside" in shown


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"gpu_power_w": None, "cpu_power_w": None}, "1,200 J (an estimate)"),
        ({"total_energy_j": None, "gpu_power_w": None, "cpu_power_w": None}, "unknown"),
    ],
)
def test_joules_without_a_measured_power_are_called_an_estimate(results, killed, changed, said):
    llem("results", "recover", results)
    raw = load_raw_result(killed / "process_0.recovered.json")
    path = save_raw_result(
        raw.model_copy(update={"energy_metrics": raw.energy_metrics.model_copy(update=changed)}), results
    )
    assert f", {said if 'J' in said else 'joules unknown'}: llem" in llem("results", "recover", results)[1]
    assert f" energy                {said}\n" in llem("results", "show", path)[1]


def test_the_cpu_seconds_of_a_process_are_shown_with_what_they_may_be_off(results, killed):
    llem("results", "recover", results)
    raw = load_raw_result(killed / "process_0.recovered.json")
    spent = {"cpu_seconds": 1.5, "cpu_seconds_resolution_s": 0.04}
    compute = raw.compute_metrics.model_copy(update=spent)
    path = save_raw_result(raw.model_copy(update={"compute_metrics": compute}), results)
    assert " CPU time              1.50 ± 0.0400 CPU s\n" in llem("results", "show", path)[1]


def test_a_raw_result_without_any_figure_is_shown(results):
    path = save_raw_result(begun().raw, results)
    document = json.loads(path.read_text())
    path.write_text(json.dumps({name: document[name] for name in ("kind", "schema_version", "process_index")}))
    code, shown = llem("results", "show", path)
    assert code == 0
    assert "0 finished" in shown


def test_a_file_that_is_neither_a_result_nor_a_raw_one_is_an_error_that_says_what_reads_it(results, killed):
    code, shown = llem("results", "show", killed / "process_0.jsonl")
    assert code == 1
    assert "its kind is llem.journal, which `llem results recover` reads" in shown
