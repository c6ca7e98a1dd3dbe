"""Experiments on a scenario whose payments are given by a file."""

import json

import numpy as np
import pytest
from contexts import make_context
from kept import given
from scripted import FRACTION, config_of, run_config

from payment_simulator import load_scenario
from payment_simulator.experiments.evaluator import Purpose
from payment_simulator.experiments.observed_day import one_day
from payment_simulator.experiments.persistence import ExperimentRepository
from payment_simulator.experiments.proposers.prompt import prompt_for
from payment_simulator.experiments.replay import replay
from payment_simulator.experiments.setup import ExperimentSetup
from payment_simulator.experiments.stored_run import StoredRun
from payment_simulator.scenario.expected_arrivals import draws_payments, expected_payments
from payment_simulator.scenario.given_payments import NEVER

DAY = """time,sender,receiver,amount
2026-03-02 07:10,A,B,150.00
2026-03-02 08:10,B,A,100.00
2026-03-02 10:10,B,A,50.00
2026-03-03 10:15,A,B,20.00
"""
SCENARIO = """payments: {file: day.csv, clock: {open: "07:00", close: "11:00", tick: 1h}}
agents: from_payments
agent_defaults: {liquidity_pool: 20000, policy: {type: Fifo, parameters: {initial_liquidity_fraction: 0.5}}}
cost_rates: {liquidity_cost_per_tick_bps: 83, delay_cost_per_tick_per_cent: 0.2}
"""
COARSE = {"allowed_parameters": [{"name": FRACTION, "allowed_values": [0.0, 0.5, 1.0]}]}


@pytest.fixture
def path(tmp_path):
    (tmp_path / "day.csv").write_text(DAY)
    (tmp_path / "game.yaml").write_text(SCENARIO)
    return tmp_path / "game.yaml"


def config(path, mode="deterministic", **evaluation):
    samples = 1 if mode == "deterministic" else 5
    sampled = {"mode": mode, "num_samples": samples, "nash_gap": "off", **evaluation}
    return config_of(path.parent, path, 2, evaluation=sampled, policy_constraints=COARSE)


def test_a_run_on_given_payments_replays_though_their_file_is_gone(path):
    run_config(config(path))
    (path.parent / "day.csv").unlink()
    path.unlink()
    with ExperimentRepository(path.parent / "runs.db") as repository:
        checks = list(replay(StoredRun.load(repository, "latest")))
    assert len(checks) > 10
    assert all(check.is_same for check in checks)


def test_a_stored_setup_has_the_given_payments_as_they_were(path):
    setup = ExperimentSetup.load(config(path))
    again = ExperimentSetup.from_dict(json.loads(json.dumps(setup.to_dict())))
    assert again.scenario.given_payments.digest == setup.scenario.given_payments.digest
    profile = setup.profile()
    costs = [each.evaluator(config(path)).costs(profile, Purpose.EVALUATION).tolist() for each in (setup, again)]
    assert costs[0] == costs[1]


def test_given_payments_are_expected_as_they_are_and_nothing_is_drawn(path):
    scenario = load_scenario(path)
    assert not draws_payments(scenario)
    found = {bank: (each.number, each.value, each.value_std) for bank, each in expected_payments(scenario).items()}
    assert found == {"A": (2, 17_000, 0), "B": (2, 15_000, 0)}


@pytest.mark.parametrize(("mode", "is_drawn"), [("deterministic", False), ("bootstrap", True), ("monte_carlo", False)])
def test_only_a_bootstrap_makes_other_days_of_given_payments(mode, is_drawn, path):
    setup = ExperimentSetup.load(config(path, mode))
    evaluator = setup.evaluator(config(path, mode))
    arrivals = evaluator.arrivals(Purpose.EVALUATION)
    samples = {tuple(arrivals.sample(index).amount.tolist()) for index in range(arrivals.samples)}
    assert (len(samples) > 1) == is_drawn == evaluator.is_drawn == (one_day(config(path, mode), setup) is not None)
    for sample in map(arrivals.sample, range(arrivals.samples)):
        assert np.bincount(sample.sender).tolist() == [2, 2]  # of each sender as many as it sends


def test_the_first_ticks_of_an_experiment_have_the_first_of_the_given_payments(path):
    scenario = ExperimentSetup.load(config(path, ticks=4)).scenario
    given = scenario.given_payments
    assert (len(given), given.num_days, len(given.dates), scenario.simulation.ticks) == (3, 1, 1, 4)


def test_what_settled_in_the_file_after_the_first_ticks_did_not_settle_in_them():
    whole = given(["A", "B"], [(0, "A", "B", 5), (1, "B", "A", 6), (5, "A", "B", 7)], settled=[1, 4, 5])
    assert whole.first_ticks(4).settled.tolist() == [1, NEVER]


def test_a_language_model_is_told_what_its_bank_pays_and_is_paid(path):
    prompt = prompt_for(make_context("A", load_scenario(path)), {})
    told = "your bank sends 2 of 17,000 cents together, and receives 2 of 15,000 cents."
    assert f"Payments that are given, not drawn: {told}" in prompt
