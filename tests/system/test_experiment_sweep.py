"""`payment-sim experiment sweep`: many runs in one database, gone on with, and read together."""

import csv
import io
import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from payment_simulator.cli.main import app
from payment_simulator.experiments.persistence import DatabaseError, ExperimentRepository
from payment_simulator.experiments.proposers.search import SearchProposer

RATE = "scenario.cost_rates.delay_cost_per_tick_per_cent"
GAME = """
name: game
scenario: castro.yaml
convergence: {max_iterations: 3, stability_window: 1}
policy_constraints: {allowed_parameters: []}
output: {directory: results, database: runs.db}
"""
PROGRAM = "import sys; from payment_simulator.cli.program import main; main()"


@pytest.fixture
def folder(tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    examples = request.config.rootpath / "examples" / "payments"
    (tmp_path / "castro.yaml").write_text((examples / "castro_exp1.yaml").read_text())
    (tmp_path / "game.yaml").write_text(GAME)
    return tmp_path


def call(*arguments, code=0):
    """Run `payment-sim experiment` in this process."""
    done = CliRunner().invoke(app, ["experiment", *arguments])
    assert done.exit_code == code, done.output + done.stderr
    return done


def sweep(*options, code=0):
    return call("sweep", "game.yaml", "-j", "1", *options, code=code)


def rows():
    return list(csv.DictReader(io.StringIO(call("results", "results/runs.db", "--csv").stdout)))


def test_a_sweep_is_the_product_of_its_settings_each_an_ordinary_run_and_begun_again_it_has_nothing_to_do(folder):
    options = ("--set", "master_seed=1..2", "--set", f"{RATE}=0.2,0.01")
    first = sweep(*options)
    assert "4 of 4 experiments are completed" in first.stdout
    header = rf"^ {re.escape(RATE)} +runs +converged +equilibria +final cost +BANK_A +BANK_B$"
    assert re.search(header, first.stdout, re.M)
    found = {(row["master_seed"], row[RATE]): row for row in rows()}
    assert set(found) == {("1", "0.2"), ("1", "0.01"), ("2", "0.2"), ("2", "0.01")}
    again = sweep(*options)
    assert "4 there already" in again.stderr
    assert len(rows()) == 4
    one = found["2", "0.01"]
    listed = {each["experiment_id"]: each for each in json.loads(call("results", "results/runs.db", "--json").stdout)}
    assert listed[one["experiment_id"]]["settings"] == {RATE: 0.01, "master_seed": 2}
    assert (
        "stored values are as the simulator gives them"
        in call("replay", one["experiment_id"], "--db", "results/runs.db").stdout
    )
    (folder / "alone.yaml").write_text(GAME.replace("runs.db", "alone.db"))
    alone = json.loads(call("run", "alone.yaml", "--set", "master_seed=2", "--set", f"{RATE}=0.01", "--json").stdout)
    assert alone["final_costs_by_agent"] == {bank: int(one[f"cost {bank}"]) for bank in ("BANK_A", "BANK_B")}
    assert RATE in call("results", "results/runs.db").stdout
    several_runs_are_one_table_and_one_picture()


def several_runs_are_one_table_and_one_picture():
    report = json.loads(call("report", "--sweep", "game", "--db", "results/runs.db", "--json").stdout)
    assert [group["settings"] for group in report["groups"]] == [{RATE: 0.01}, {RATE: 0.2}]
    for group in report["groups"]:
        costs = [run["final_cost"] for run in report["runs"] if run["settings"][RATE] == group["settings"][RATE]]
        assert (group["runs"], group["final_cost"]["mean"]) == (2, sum(costs) / 2)
        assert sum(each["reached"] for each in group["equilibria"]) == group["converged"]
    ids = [run["experiment_id"] for run in report["runs"]]
    assert json.loads(call("report", *ids, "--db", "results/runs.db", "--json").stdout) == report
    call("chart", "--sweep", "game", "--db", "results/runs.db", "-o", "one.svg")
    assert "most frequent equilibrium" in Path("one.svg").read_text()
    assert "is neither .png nor .svg" in call("chart", *ids, "-o", "p.html", code=2).stderr
    for wrong, words in (
        ([], "name the runs, or the name that all of them have"),
        (["--sweep", "gane"], "no run in .* has the name 'gane' .did you mean game?"),
        ([ids[0], ids[0]], "is named twice"),
    ):
        assert re.search(words, call("report", *wrong, "--db", "results/runs.db", code=2).stderr)


def test_a_sweep_that_was_interrupted_goes_on_with_what_is_left(folder, monkeypatch):
    options, calls, real = ("--set", "master_seed=1..2"), [], SearchProposer.generate_policy

    async def interrupted(self, **given):
        calls.append(given)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return await real(self, **given)

    with monkeypatch.context() as patched:
        patched.setattr(SearchProposer, "generate_policy", interrupted)
        ended = sweep(*options, code=130)
    assert "go on: payment-sim experiment sweep game.yaml --set master_seed=1..2 -j 1" in ended.stderr
    before = {row["experiment_id"]: row["status"] for row in rows()}
    assert sorted(before.values()) == ["completed", "interrupted"]
    assert "1 there already, 1 to be gone on with" in sweep(*options).stderr
    after = {row["experiment_id"]: row["status"] for row in rows()}
    assert before.keys() == after.keys()
    assert list(after.values()) == ["completed"] * 2
    (folder / "castro.yaml").write_text((folder / "castro.yaml").read_text().replace("15000", "14000"))
    sweep("--set", "master_seed=1")  # of another scenario it is another experiment
    assert len(rows()) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["output.database=a.db,b.db"], "all runs of a sweep have one name and one database"),
        (["name=a,b"], "all runs of a sweep have one name and one database"),
        (["master_seed=1,-1"], "--set master_seed: should be greater than or equal to 0, found -1"),
        ([f"{RATE}=0.1,x"], "with scenario.cost_rates.delay_cost_per_tick_per_cent=x; nothing was run"),
        (["scenario.agents.BANK_C.liquidity_pool=1,2"], "unknown bank 'BANK_C'"),
        (["convergence.max_iteration=1,2"], "did you mean max_iterations"),
        (["master_seed=1,1"], "the value 1 stands twice"),
        (["master_seed.x=1"], "--set master_seed.x: should be a valid integer"),
        (["name=a"], "all runs of a sweep have one name and one database"),
        (["policy_constraints.allowed_parameters.0.name=A,B"], "no such place in the experiment"),
    ],
)
def test_a_sweep_of_which_one_experiment_cannot_run_is_refused_before_any_is_run(folder, options, words):
    assert words in sweep(*(part for each in options for part in ("--set", each)), code=2).stderr
    assert not (folder / "results").exists()


def test_a_sweep_needs_a_database_and_a_place_that_there_is(folder):
    assert "no such place: 'moon'" in sweep("--set", "master_seed=1..2", "--on", "moon", code=2).stderr
    (folder / "game.yaml").write_text(GAME.replace(", database: runs.db", ""))
    assert "game.yaml:6: output.database: a sweep is kept in one" in sweep("--set", "master_seed=1,2", code=2).stderr


def test_a_sweep_whose_database_cannot_be_written_ends_at_once_and_says_how_to_go_on(folder, monkeypatch):
    sweep("--set", "master_seed=1")
    tried = []

    def full(self, *_):
        tried.append(self)
        raise DatabaseError("runs.db: No space left on device")

    monkeypatch.setattr(ExperimentRepository, "save_step", full)
    ended = sweep("--set", "master_seed=1..9", code=1)
    assert "runs.db: No space left on device" in ended.stderr
    assert "go on: payment-sim experiment sweep game.yaml --set master_seed=1..9" in ended.stderr
    assert len(tried) == 1


@pytest.mark.slow
def test_a_sweep_over_processes_that_is_killed_leaves_none_and_two_at_once_run_no_experiment_twice(folder):
    rules = "max_iterations: 3, stability_window: 1"
    (folder / "game.yaml").write_text(GAME.replace(rules, "max_iterations: 40, stability_window: 40"))
    options = ["--set", "master_seed=1..4", "-j", "2"]
    command = [sys.executable, "-c", PROGRAM, "experiment", "sweep", "game.yaml", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        while ": cost " not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    threads = [threading.Thread(target=each.communicate) for each in both]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [each.returncode for each in both] == [0, 0]
    with ExperimentRepository(folder / "results" / "runs.db") as repository:
        completed = [each.config["master_seed"] for each in repository.list_experiments(status="completed")]
    assert sorted(set(completed)) == [1, 2, 3, 4]


def test_of_two_sweeps_that_planned_the_same_experiments_one_runs_each(folder):
    from payment_simulator.experiments.sweep import Sweep

    cells = [{"master_seed": seed} for seed in (1, 2)]
    one, other = (Sweep(Path("game.yaml"), cells) for _ in range(2))
    plans = [each.plan(1.0) for each in (one, other)]
    assert [each.run_id for each in plans[0]] == [each.run_id for each in plans[1]]
    first = [done.result() for _, done in one.run(plans[0], 1.0, workers=1)]
    second = [done.result() for _, done in other.run(plans[1], 1.0, workers=1)]
    assert [each.is_elsewhere for each in (*first, *second)] == [False, False, True, True]
    assert len(rows()) == 2
