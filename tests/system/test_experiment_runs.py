"""Experiments as users run them: killed, interrupted, resumed, two at once."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import warm
from payment_simulator.cli.main import app
from payment_simulator.experiments.persistence import ExperimentRepository

PROGRAM = Path(sys.executable).with_name("payment-sim")
EXAMPLES = Path(__file__).parents[2] / "examples" / "payments"
PATIENCE_S = 300
CONFIG = """\
name: stubborn
scenario: scenario.yaml
evaluation: {mode: bootstrap, num_samples: 4, nash_gap: final}
policy_constraints: {allowed_parameters: [{name: initial_liquidity_fraction, allowed_values: [0.0, 0.1, 0.2, 0.5]}]}
convergence: {starts: 2, max_iterations: 3, stability_window: 4}
output: {directory: results, database: runs.db}
master_seed: 7
"""
LASTING = ("converged", "convergence_reason", "num_iterations", "final_cost", "final_costs_by_agent", "final_policies")
GAP = ("final_nash_gap", "final_nash_gap_half_width", "resting_points")
OF_ITS_OWN = ("experiment_resumed", "experiment_interrupted")


@pytest.fixture
def work(user):
    """A folder with an experiment of many steps, each a short one, that never converges."""
    scenario = (EXAMPLES / "castro_exp2.yaml").read_text().replace("ticks_per_day: 12", "ticks_per_day: 4")
    user.write("scenario.yaml", scenario)
    user.write("experiment.yaml", CONFIG)
    return user.folder


@pytest.fixture
def start(user, work, compiled):
    def started(*arguments):
        return warm.Popen(
            [PROGRAM, "experiment", *arguments],
            cwd=work,
            env=user.environment(**compiled),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return started


@pytest.fixture
def sim(work, monkeypatch):
    """Calls what `payment-sim experiment` calls, in the folder, in this process."""
    monkeypatch.chdir(work)
    return lambda *arguments: CliRunner().invoke(app, ["experiment", *arguments])


def kept(work):
    with ExperimentRepository(work / "results" / "runs.db", must_exist=True) as repository:
        return repository.list_experiments()


def story(work, run_id):
    """All that must be the same in a run that was left alone."""
    with ExperimentRepository(work / "results" / "runs.db", must_exist=True) as repository:
        record = repository.load_experiment(run_id)
        iterations = repository.get_iterations(run_id)
        events = repository.get_events(run_id)
    result = [getattr(record, name) for name in (*LASTING, *GAP)]
    steps = [
        (each.iteration_number, each.start, each.total_cost, each.per_agent_costs, each.policies) for each in iterations
    ]
    gaps = [(each.nash_gap, each.nash_gap_half_width) for each in iterations]
    told = [
        (each.iteration, each.event_type, {k: v for k, v in each.event_data.items() if k != "result_file"})
        for each in events
        if each.event_type not in OF_ITS_OWN
    ]
    return result, steps, gaps, told


def whole_steps(work, run_id):
    """Every iteration with its evaluation, every decision with its proposal and its end."""
    with ExperimentRepository(work / "results" / "runs.db", must_exist=True) as repository:
        numbers = [each.iteration_number for each in repository.get_iterations(run_id)]
        events = repository.get_events(run_id)
    assert numbers == [each.iteration for each in events if each.event_type == "evaluation"]
    assert numbers == list(range(1, len(numbers) + 1))
    proposed = [each for each in events if each.event_type == "policy_proposed"]
    decided = [each for each in events if each.event_type in ("policy_accepted", "policy_rejected")]
    assert [(each.iteration, each.event_data["agent_id"]) for each in proposed] == [
        (each.iteration, each.event_data["agent_id"]) for each in decided
    ]


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_and_resumed_ends_as_one_that_was_left_alone(work, start, sim, kills):
    began_s = time.monotonic()
    assert start("run", "experiment.yaml").wait(PATIENCE_S) == 0
    whole_s = time.monotonic() - began_s
    # In this process, sets of texts have another order than in all that are forks of one interpreter.
    assert sim("run", "experiment.yaml").exit_code == 0
    undisturbed, forked = kept(work)
    assert story(work, undisturbed.experiment_id) == story(work, forked.experiment_id)
    moments = random.Random(kills)  # noqa: S311
    killed = 0
    while killed < kills:
        known = {record.experiment_id for record in kept(work)}
        process = start("run", "experiment.yaml")
        while process.poll() is None:
            time.sleep(moments.uniform(0.45, 0.95) * whole_s)  # until then it only loads
            process.kill()
            _, told = process.communicate()
            killed += 1
            begun = [record for record in kept(work) if record.experiment_id not in known]
            if not begun:
                break
            (record,) = begun
            whole_steps(work, record.experiment_id)
            if record.status != "completed":
                assert record.status == "interrupted", told
                process = start("run", "experiment.yaml", "--resume", record.experiment_id)
                if moments.random() < 0.5:
                    _, told = process.communicate(timeout=PATIENCE_S)
                    assert process.returncode == 0, told
        for record in kept(work):
            if record.experiment_id not in known:
                assert story(work, record.experiment_id) == story(work, undisturbed.experiment_id)


def test_ctrl_c_keeps_what_is_done_says_interrupted_and_how_to_go_on(work, start):
    longer = CONFIG.replace("max_iterations: 3", "max_iterations: 12").replace("window: 4", "window: 13")
    (work / "experiment.yaml").write_text(longer)
    process = start("run", "experiment.yaml")
    for line in process.stderr:
        if line.startswith("start 1/2   iteration 2 "):
            break
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    (record,) = kept(work)
    assert (record.status, record.convergence_reason, record.converged) == ("interrupted", "interrupted", False)
    assert record.num_iterations >= 2
    assert f"go on: payment-sim experiment run experiment.yaml --resume {record.experiment_id}" in told
    assert "Traceback" not in told
    resumed = start("run", "experiment.yaml", "--resume", record.experiment_id)
    assert resumed.wait(PATIENCE_S) == 0
    alone = start("run", "experiment.yaml")
    assert alone.wait(PATIENCE_S) == 0
    assert story(work, record.experiment_id) == story(work, kept(work)[0].experiment_id)


def test_two_experiments_write_to_one_file_at_once_while_it_is_read(work, start, sim):
    both = [start("run", "experiment.yaml", "--json") for _ in range(2)]
    looked = 0
    while any(process.poll() is None for process in both):
        if (work / "results" / "runs.db").exists():
            listed = sim("results", "results/runs.db")
            assert (listed.exit_code, listed.stderr) == (0, "")
            looked += "stubborn" in listed.stdout
        time.sleep(0.2)
    answers = [json.loads(process.communicate(timeout=PATIENCE_S)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert looked > 0
    stories = [story(work, answer["experiment_id"]) for answer in answers]
    assert stories[0] == stories[1]
    assert [record.status for record in kept(work)] == ["completed", "completed"]


def test_a_run_is_resumed_with_the_configuration_that_it_began_with_and_only_if_it_did_not_end(work, sim):
    (work / "experiment.yaml").write_text(CONFIG.replace("max_iterations: 3", "max_iterations: 1"))
    assert sim("run", "experiment.yaml").exit_code == 0
    run_id = kept(work)[0].experiment_id
    ended = sim("run", "experiment.yaml", "--resume", run_id)
    assert "is completed; there is nothing to resume" in ended.stderr
    assert ended.exit_code == 1
    assert f"run {run_id}, kept in" not in ended.stderr
    (work / "experiment.yaml").write_text(CONFIG.replace("master_seed: 7", "master_seed: 8"))
    other = sim("run", "experiment.yaml", "--resume", run_id)
    assert "convergence.max_iterations: 3 here, 1 in the run that is to be resumed\n" in other.stderr
    assert "master_seed: 8 here, 7 in the run that is to be resumed; give" in other.stderr
    assert f"run {run_id}, kept in" not in other.stderr
    assert other.exit_code == 2
