"""Runs that are shown, compared and resumed although they are no pair, or have hardly begun."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from payment_simulator.cli.main import app
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.persistence import Ending, ExperimentRepository
from payment_simulator.experiments.setup import ExperimentSetup
from small_experiment import MOMENT, complete, experiment, iteration

GAME = (Path(__file__).parents[4] / "examples" / "payments" / "castro_exp1.yaml").read_text()
POLICIES = {"BANK_A": {"type": "Fifo"}, "BANK_B": {"type": "Fifo"}}
EXPERIMENT = "name: game\nscenario: game.yaml\noutput: {directory: ., database: runs.db}\nmaster_seed: 7\n"


@pytest.fixture
def sim(tmp_path, monkeypatch):
    """Runs `payment-sim experiment` on the database of a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAYMENT_SIM_DB", "runs.db")
    return lambda *words: CliRunner().invoke(app, ["experiment", *words])


def store(run_id, *, game=GAME, is_complete=False):
    """Store a run, interrupted before its first iteration was complete or ended after one, without running it."""
    Path("game.yaml").write_text(game)
    Path("game_experiment.yaml").write_text(EXPERIMENT)
    config = ExperimentConfig.from_yaml(Path("game_experiment.yaml"))
    costs = dict.fromkeys(POLICIES, 15)
    with ExperimentRepository(Path("runs.db")) as repository, repository.transaction() as step:
        record = experiment(run_id, config=config.to_dict(), scenario=ExperimentSetup.load(config).to_dict())
        step.save_experiment(record)
        if is_complete:
            step.save_iteration(iteration(1, run_id, policies=POLICIES, per_agent_costs=costs))
            complete(step, run_id, final_policies=POLICIES, final_costs_by_agent=costs)
        else:
            ending = Ending(completed_at=MOMENT, converged=False, convergence_reason="interrupted", num_iterations=0)
            step.save_ending(run_id, "interrupted", ending)


def test_a_run_that_ended_before_its_first_iteration_shows_its_banks_and_how_to_go_on(sim):
    store("early")
    shown = sim("show", "early").stdout
    assert "optimised banks   BANK_A, BANK_B" in shown
    assert shown.endswith(
        "It has no final policies: it ended before its first iteration was complete\n"
        "go on: payment-sim experiment run CONFIG --resume early\n"
    )
    assert "total cost" not in shown
    assert "proposal" not in shown


def test_costs_of_different_games_have_no_difference(sim):
    store("one", is_complete=True)
    store("policies", game=GAME.replace("fraction: 0.5", "fraction: 0.25"), is_complete=True)
    store("other", game=GAME.replace("ticks_per_day: 2", "ticks_per_day: 4"), is_complete=True)
    for second, is_same in (("policies", True), ("other", False)):
        shown = sim("compare", "one", second).stdout
        assert ("difference" in shown.split("all ")[0].split("bank")[1]) == is_same
        assert ("These are different games" in shown) != is_same
        assert json.loads(sim("compare", "one", second, "--json").stdout)["same_game"] is is_same


def test_values_that_differ_are_shown_as_yaml_has_them_and_long_ones_by_their_size(sim):
    store("one", is_complete=True)
    more = "\n".join(["agents:", *(f"  - {{id: X{number}, opening_balance: 5}}" for number in range(9))])
    game = GAME.replace("agents:", more).replace("deferred_crediting: true", "deferred_crediting: false")
    store("other", game=game, is_complete=True)
    shown = sim("compare", "one", "other").stdout
    assert "2 values: --json shows them   11 values: --json shows them" in shown
    assert "{'" not in shown


def test_a_run_is_resumed_with_its_own_configuration_and_each_key_that_differs_is_named(sim):
    store("early")
    Path("game_experiment.yaml").write_text(EXPERIMENT.replace("master_seed: 7", "master_seed: 8"))
    ended = sim("run", "game_experiment.yaml", "--resume", "early")
    assert ended.exit_code == 2
    assert ended.stderr.splitlines() == [
        "error: game_experiment.yaml:4: master_seed: 8 here, 7 in the run that is to be resumed; give the "
        "configuration that it began with, or begin a new run"
    ]
