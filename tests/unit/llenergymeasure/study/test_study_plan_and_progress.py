"""The plan of a study, its flags, the time that is left, and the line of a run."""

import io
import json
import sys
from datetime import UTC, datetime, timedelta

import pytest
from small_studies import result_of
from typer.testing import CliRunner

from llenergymeasure.cli.main import app
from llenergymeasure.cli.study_progress import RunLines
from llenergymeasure.config.study.loading import load_study
from llenergymeasure.results.catalog import read_result
from llenergymeasure.results.persistence import save_result
from llenergymeasure.results.study.held import held_study
from llenergymeasure.results.study.manifest import read_manifest, write_manifest
from llenergymeasure.study.checking import check_study
from llenergymeasure.study.durations import earlier_durations, time_of
from llenergymeasure.study.plan import extended, plan
from small_result import make_result

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
TINY = (
    "model: random:llama\nrandom_model: {hidden_size: 64, num_hidden_layers: 2, num_attention_heads: 4, "
    "vocab_size: 512}\ndevice: cpu\nprecision: fp32\nnum_prompts: 4\nenergy: {source: none}\n"
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with `tiny.yaml`, the file of an experiment, and `study.yaml`, of four cells."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("COLUMNS", raising=False)  # lines are not folded
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "study.yaml").write_text("base: tiny.yaml\nsweep: {batch_size: [1, 2], random_seed: [1, 2]}\n")
    return tmp_path


def llem(*arguments):
    return CliRunner().invoke(app, ["run", *arguments])


def lines_of(ended):
    return [" ".join(line.split()) for line in ended.output.splitlines()]


def made(manifest, *taken, gap_s=5.0):
    """Return a manifest of which the first runs have taken so many seconds, with a pause between them."""
    runs, at = list(manifest.runs), BEGAN
    for number, elapsed_s in enumerate(taken):
        done = {"state": "done", "elapsed_s": elapsed_s, "started_at": at, "session": 1, "folder": f"run-{number}"}
        runs[number] = runs[number].model_copy(update=done)
        at += timedelta(seconds=elapsed_s + gap_s)
    return manifest.model_copy(update={"runs": runs})


def test_a_dry_run_prints_cells_order_and_time_and_writes_nothing(place):
    ended = llem("study.yaml", "--dry-run")
    lines = lines_of(ended)
    assert ended.exit_code == 0
    assert "1 batch_size 1, random_seed 1 1 1 unknown" in lines
    assert "runs 12: 4 cells, 3 rounds; each in a process of its own" in lines
    assert "order alternating; cells of round 1: 1, 2, 3, 4; round 2: 4, 3, 2, 1; round 3: 1, 2, 3, 4" in lines
    assert lines[-1] == "checked: 4 cells can run; nothing was run"
    assert sorted(path.name for path in place.iterdir()) == ["study.yaml", "tiny.yaml"]


def test_a_dry_run_of_a_resume_refuses_what_it_refuses_and_else_counts_what_is_left(place):
    study = load_study(place / "study.yaml")
    folder = place / "results/study"
    folder.mkdir(parents=True)
    write_manifest(made(plan(study), *[60.0] * 3), folder)
    for number in range(2):  # the third is no longer there
        save_result(result_of(study.cells[number].config, number), folder).parent.rename(folder / f"run-{number}")
    rest = read_manifest(folder)
    ids = [read_result(folder / f"run-{n}/result.json").experiment_id for n in range(2)]
    runs = [run.model_copy(update={"experiment_id": each}) for run, each in zip(rest.runs, ids, strict=False)]
    write_manifest(rest.model_copy(update={"runs": [*runs, *rest.runs[2:]]}), folder)
    lines = lines_of(llem("study.yaml", "--resume", "--dry-run"))
    assert "runs 10 of 12 still to be made: 4 cells, 3 rounds; each in a process of its own" in lines
    assert "order alternating; cells of round 1: 3, 4; round 2: 4, 3, 2, 1; round 3: 1, 2, 3, 4" in lines
    assert "estimated time 11 min: of 1 cell it is unknown" in lines  # ten of 60 s, and pauses of 5 s
    refused = [llem("study.yaml", "--resume", "--repeat", "1", *more) for more in ([], ["--dry-run"])]
    assert refused[0].output == refused[1].output
    assert refused[0].exit_code == refused[1].exit_code == 2
    assert "error: study.repeats: 3 in the study that was begun, 1 now" in refused[0].output
    assert "undo this to go on with it, or leave out --resume" in refused[0].output
    with held_study(folder):
        assert "is running this study" in llem("study.yaml", "--resume", "--dry-run").output


def test_a_dry_run_warns_of_a_rule_to_stop_on_joules_that_nothing_measures(place):
    (place / "stop.yaml").write_text("base: tiny.yaml\nsweep: {batch_size: [1, 2]}\nstop: {half_width: 3%}\n")
    told = "warning: stop.metric: energy_per_output_token_j is unknown with energy.source: none: no round is added"
    assert told in llem("stop.yaml", "--dry-run").output
    speed = (place / "stop.yaml").read_text().replace("3%", "3%, metric: ttft_ms_median")
    (place / "speed.yaml").write_text(speed)
    assert "stop.metric" not in llem("speed.yaml", "--dry-run").output


@pytest.mark.parametrize("wrong", ["stop: {half_width: 3%, metric: ttft}", "load: {search: {goal: ttft <= 3}}"])
def test_a_column_that_is_none_is_refused_before_the_plan_is_printed(place, wrong):
    server = "backend: openai\nopenai: {base_url: http://127.0.0.1:1/v1}\nmodel: m\nnum_prompts: 4\n"
    search = "load: {search: {goal: ttft <= 3, metric: concurrency, between: [1, 8]}}"
    text = f"{server}{search}\n" if "load" in wrong else f"base: tiny.yaml\nsweep: {{batch_size: [1, 2]}}\n{wrong}\n"
    (place / "wrong.yaml").write_text(text)
    ended = llem("wrong.yaml", "--dry-run")
    assert (ended.exit_code, ended.output.startswith("error: ")) == (2, True), ended.output


def test_a_dry_run_says_what_blocks_and_few_rounds_will_not_tell(place):
    (place / "blocks.yaml").write_text("study: {order: blocks}\nbase: tiny.yaml\nsweep: {batch_size: [1, 2]}\n")
    assert "times and joules will be: cannot tell (order: blocks" in llem("blocks.yaml", "--dry-run").output
    assert "cannot tell (1 round has no spread)" in llem("study.yaml", "--repeat", "1", "--dry-run").output
    assert "cannot tell (2 rounds; 3 are needed)" in llem("study.yaml", "--repeat", "2", "--dry-run").output
    assert "tells" not in llem("study.yaml", "--dry-run").output


def test_a_dry_run_names_the_cells_that_cannot_run_and_gives_the_plan_as_json(place):
    ended = llem("study.yaml", "--sweep", "model=random:llama,nowhere/at/all", "--dry-run")
    assert ended.exit_code == 2
    assert "random_model: has no effect on nowhere/at/all" in ended.output
    (place / "absent.yaml").write_text(
        "base: tiny.yaml\nexperiments: [{batch_size: 2}, {dataset: a.jsonl}, {dataset: a.jsonl, batch_size: 2}]\n"
    )
    (line,) = [line for line in llem("absent.yaml", "--dry-run").output.splitlines() if "a.jsonl: no such" in line]
    assert "(cell 2: dataset a.jsonl; cell 3: dataset a.jsonl, batch_size 2)" in line
    document = json.loads(CliRunner().invoke(app, ["run", "study.yaml", "--dry-run", "--json"]).stdout)
    assert document["cells"][0]["name"] == "batch_size 1, random_seed 1"
    assert (len(document["runs"]), document["estimate"]["seconds"]) == (12, None)


def test_flags_set_fields_of_any_run_and_are_named_where_they_are_wrong(place):
    assert "ignore_eos: true" in llem("tiny.yaml", "--set", "decoder.ignore_eos=true", "--dry-run").output
    repeated = llem("tiny.yaml", "tiny.yaml", "--set", "batch_size=2", "--repeat", "2", "--dry-run")
    assert repeated.output.count("batch_size: 2") == 2
    wrong = llem("tiny.yaml", "--set", "decoder.topk=1", "--set", "batch_size", "--set", "device=cpu", "--sweep", "x=1")
    assert wrong.exit_code == 2
    assert "--set decoder.topk: no field (did you mean decoder.top_k?)" in wrong.output
    assert "--set batch_size: no value; write --set FIELD=VALUE" in wrong.output
    assert "--sweep x: no field" in wrong.output
    value = llem("tiny.yaml", "--set", "batch_size=[", "--set", "num_prompts=x", "--dry-run")
    assert "--set batch_size: cannot be read as YAML" in value.output
    assert "--set num_prompts: should be a valid integer" in llem("tiny.yaml", "--set", "num_prompts=x").output
    twice = llem("tiny.yaml", "--set", "batch_size=1", "--batch-size", "2")
    assert "--set batch_size: --batch-size gives it as well" in twice.output


def test_the_settings_of_a_study_are_set_by_flags_wherever_one_is_made(place):
    flags = ["--set", "study.process=shared", "--set", "gaps.experiment_s=5", "--set", "stop.half_width=3%"]
    flags += ["--set", "study.repeats=4", "--dry-run"]
    for made_by in (["study.yaml"], ["tiny.yaml", "--sweep", "batch_size=1,2"]):
        settings = json.loads(llem(*made_by, *flags, "--json").stdout)["settings"]
        assert (settings["study"]["process"], settings["study"]["repeats"]) == ("shared", 4)
        assert (settings["gaps"]["experiment_s"], settings["stop"]["half_width"]) == (5.0, "3%")
    both = llem("study.yaml", "--set", "study.repeats=2", "--repeat", "3")
    assert both.output == "error: --set study.repeats: --repeat gives it as well; name it once\n"
    wrong = llem("study.yaml", "--set", "study.repeats=x", "--set", "stop.max_repeats=2", "--dry-run")
    assert "--set study.repeats: should be a valid integer" in wrong.output
    assert "\nstop.half_width: required, and missing\n" in wrong.output
    assert (
        "--set study.proces: no field (did you mean study.process?)"
        in llem("study.yaml", "--set", "study.proces=shared").output
    )
    alone = llem("tiny.yaml", *flags)
    assert (alone.exit_code, alone.output.startswith("error: --set study.process and --set gaps.")) == (2, True)
    assert "for a study alone: a file with study:, sweep: or experiments:, or --sweep" in alone.output


def test_values_of_a_sweep_flag_are_yaml_and_may_be_lists_themselves(place):
    window = llem("tiny.yaml", "--sweep", "measurement.window=[[0, 1], [0, 2]]", "--dry-run", "--json")
    cells = json.loads(window.stdout)["cells"]
    assert [cell["config"]["measurement"]["window"] for cell in cells] == [[0, 1], [0, 2]]
    together = llem("tiny.yaml", "--sweep", "batch_size+num_prompts=[1, 8],[2, 9]", "--dry-run", "--json")
    assert [cell["name"] for cell in json.loads(together.stdout)["cells"]] == [
        "batch_size 1, num_prompts 8",
        "batch_size 2, num_prompts 9",
    ]


def test_a_study_beside_other_files_under_torchrun_and_flags_without_one_are_refused(place, monkeypatch):
    assert "study.yaml: is a study, which runs by itself" in llem("tiny.yaml", "study.yaml").output
    assert "--sweep: with 2 files" in llem("tiny.yaml", "tiny.yaml", "--sweep", "batch_size=1").output
    assert "--resume: for a study alone" in llem("tiny.yaml", "--resume").output
    for name in ("RANK", "LOCAL_RANK", "MASTER_PORT", "MASTER_ADDR"):
        monkeypatch.setenv(name, "0")
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    assert "study.yaml: torchrun starts processes for one run" in llem("study.yaml").output


def test_config_show_prints_the_plan_of_a_study(place):
    assert "12: 4 cells, 3 rounds" in CliRunner().invoke(app, ["config", "show", "study.yaml"]).output


def test_a_plan_of_searches_has_the_most_runs_that_they_take_and_steps_have_whole_loads(place, capsys):
    search = 'load: {search: {metric: concurrency, goal: "ttft_ms_p99 <= 500", between: [1, 8]}}'
    (place / "search.yaml").write_text(f"model: m\nbackend: openai\n{search}\nstudy: {{repeats: 2}}\n")
    shown = CliRunner().invoke(app, ["config", "show", "search.yaml"]).output
    assert "up to 10: 1 cell, 2 rounds" in shown
    assert "up to 5 runs a round" in shown
    manifest = plan(load_study(place / "search.yaml"))
    run = manifest.runs[0].model_copy(update={"step": 2, "searched": 8.0, "state": "failed", "error": "no server"})
    RunLines(place, {}).ended(manifest.model_copy(update={"runs": [run, *manifest.runs[1:]]}), 0, None)
    assert "step 2 at 8 · no server" in capsys.readouterr().err


def test_of_cells_that_checks_see_no_difference_between_one_is_checked(place):
    study = load_study(place / "study.yaml")
    seconds = iter([0.0, *[1000.0] * 9])
    found = check_study(study, place / "results", clock=lambda: next(seconds))
    assert (found.looked_at, len(found.study.cells)) == (4, 4)  # two groups, in each a batch size that is new
    more = load_study(place / "study.yaml", sweep={"num_prompts": [4, 5]})
    seconds = iter([0.0, *[1000.0] * 9])
    assert check_study(more, place / "results", clock=lambda: next(seconds)).looked_at == 6  # the budget is spent


def test_the_time_left_is_that_of_a_cells_own_runs_then_of_earlier_ones_then_of_the_others(place):
    manifest = plan(load_study(place / "study.yaml"))
    hashes = [cell.config_hash for cell in manifest.cells]
    assert time_of(manifest, {}).seconds is None
    known = time_of(manifest, {hashes[0]: 10.0, hashes[1]: 20.0})
    assert (known.seconds, known.is_least) == (3 * 30.0, True)
    # cells 1, 2, 3 | 4, 4, 3, 2, 1, ... : two runs of 3 and 5 s are done, with pauses of 5 s; 10 runs wait
    left = time_of(made(manifest, 3.0, 5.0), {hashes[2]: 7.0})
    assert left.seconds == pytest.approx(2 * 3.0 + 2 * 5.0 + 3 * 7.0 + 3 * 4.0 + 10 * 5.0)
    assert not left.is_least


def test_earlier_durations_are_those_of_studies_and_then_of_single_results(place):
    manifest = plan(load_study(place / "study.yaml"))
    hashes = [cell.config_hash for cell in manifest.cells]
    (place / "results" / "study").mkdir(parents=True)
    write_manifest(made(manifest, 3.0, 5.0), place / "results" / "study")
    single = place / "results" / "single"
    single.mkdir()
    (single / "result.json").write_text(make_result(measurement_config_hash=hashes[3]).to_json())
    assert earlier_durations(place / "results", hashes) == {hashes[0]: 3.0, hashes[1]: 5.0, hashes[3]: 10.0}
    assert earlier_durations(place / "nowhere", hashes) == {}


def test_a_run_is_a_line_of_words_or_of_json_and_a_failure_is_an_error(place, capsys):
    manifest = made(plan(load_study(place / "study.yaml")), 34.0, gap_s=0.0)
    result = make_result(
        output_tokens=100, energy_per_output_token_j=0.412, energy_uncertainty_j=0.9, output_tokens_per_second=512.0
    )
    RunLines(place, {}).ended(manifest, 0, result)
    assert capsys.readouterr().err == (
        "1 of 12 · round 1 · batch_size 1, random_seed 1 · 0.412 J/token ± 0.00900 · 512 tokens/s · "
        f"{result.verdict} · 34 s · 6 min left\n"
    )
    failed = manifest.runs[1].model_copy(update={"state": "failed", "error": "no memory", "elapsed_s": 2.0})
    broken = manifest.model_copy(update={"runs": [manifest.runs[0], failed, *manifest.runs[2:]]})
    RunLines(place, {}, quiet=True).ended(broken, 1, None)
    assert capsys.readouterr().err.startswith(
        "error: 2 of 12 · round 1 · batch_size 1, random_seed 2 · no memory · 2 s"
    )
    quiet = RunLines(place, {}, quiet=True, as_json=True)
    quiet.ended(manifest, 0, result)
    told, errors = capsys.readouterr()
    event = json.loads(told)
    assert (event["state"], event["cell"], event["round"], event["folder"]) == ("done", 0, 1, str(place / "run-0"))
    assert (event["energy_per_output_token_bound_j"], event["left_s"], errors) == (pytest.approx(0.009), 11 * 34.0, "")


def test_on_a_terminal_what_a_run_waits_for_and_its_name_are_written_over_by_its_line(place, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    manifest = made(plan(load_study(place / "study.yaml")), 34.0)
    lines = RunLines(place, {})
    lines.waits(manifest, 0, "waiting 5 s")
    lines.begins(manifest, 0)
    lines.ended(manifest, 0, make_result())
    lines.close()
    assert "1 of 12 · waiting 5 s" in terminal.getvalue()
    opening, line, end = terminal.getvalue().split("\n")
    assert "; look with: llem study show " in opening
    assert "J/token" in line.rpartition("\x1b[2K")[2]
    assert end == ""


def test_a_study_begins_with_a_line_of_what_it_is_and_how_to_look(place, capsys):
    manifest = plan(load_study(place / "study.yaml"))
    lines = RunLines(place / "a b", {})
    lines.begins(manifest, 0)
    lines.begins(manifest, 1)
    assert capsys.readouterr().err == (
        f"study study: 4 cells, 3 rounds, 12 runs, in {place}/a b; look with: llem study show '{place}/a b'\n"
    )
    RunLines(place, {cell.config_hash: 30.0 for cell in manifest.cells}).begins(manifest, 0)
    assert f"12 runs, in {place}; about 6 min; look with: " in capsys.readouterr().err
    RunLines(place, {}).begins(made(manifest, 30.0), 1)
    assert f"11 of 12 runs left, in {place}; about 6 min; " in capsys.readouterr().err
    stop = load_study(place / "study.yaml", settings={"stop.half_width": "3%"})
    RunLines(place, {}).begins(plan(stop), 0)
    assert f"12 runs at the least, in {place}; look with: " in capsys.readouterr().err
    RunLines(place, {}, quiet=True).begins(manifest, 0)
    assert capsys.readouterr().err == ""


def test_rounds_of_cells_that_were_added_are_told_as_such(place, capsys):
    begun = made(plan(load_study(place / "tiny.yaml", sweep={"batch_size": [1]})), 1.0, 1.0, 1.0)
    both = extended(begun, plan(load_study(place / "tiny.yaml", sweep={"batch_size": [1, 2]})))
    for number in (2, 3):
        RunLines(place, {}).ended(both, number, make_result())
    before, added = capsys.readouterr().err.splitlines()
    assert before.startswith("3 of 6 · round 3 · batch_size 1 · ")
    assert added.startswith("4 of 6 · round 4, of added cells · batch_size 2 · ")


def test_in_a_log_a_pause_of_the_same_length_is_told_once(place, capsys):
    manifest, lines = plan(load_study(place / "study.yaml")), RunLines(place, {})
    for number in range(3):
        lines.waits(manifest, number, "waiting 5 s")
    assert capsys.readouterr().err == "1 of 12 · waiting 5 s\n"
