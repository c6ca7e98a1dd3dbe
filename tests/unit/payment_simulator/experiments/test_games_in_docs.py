"""The games that docs/experiments.md works out by hand have the costs and gaps that stand there."""

import asyncio
import re
from pathlib import Path

import pytest
from gaps import find_nash_gap

from payment_simulator import load_scenario
from payment_simulator.experiments.config import Evaluation, ExperimentConfig
from payment_simulator.experiments.evaluator import Evaluator, Purpose
from payment_simulator.experiments.nash_gap import NashGap
from payment_simulator.experiments.parameters import ANY_FRACTION
from payment_simulator.experiments.runner import GenericExperimentRunner

PAGE = (Path(__file__).parents[4] / "docs" / "experiments.md").read_text()
SCENARIO, EXPERIMENT = (
    next(block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.S) if mark in block)
    for mark in ("amount: 310000", "name: narrow")
)
OVERDRAFT = """\
simulation: {ticks_per_day: 3}
cost_rates: {liquidity_cost_per_tick_bps: 50, overdraft_bps_per_tick: 100}
agents:
  - {id: BANK_A, liquidity_pool: 10000, unsecured_cap: 10000, liquidity_allocation_fraction: 0}
  - {id: BANK_B}
scenario_events:
  - {type: CustomTransactionArrival, from_agent: BANK_A, to_agent: BANK_B, amount: 10000, deadline: 2,
     schedule: {type: OneTime, tick: 0}}
"""
FIFO = {"BANK_A": {"type": "Fifo"}, "BANK_B": {"type": "Fifo"}}


def borrow(fraction):
    return {"type": "Fifo", "parameters": {"initial_liquidity_fraction": fraction}}


def evaluator_of(path, text):
    path.write_text(text)
    return Evaluator(load_scenario(path), Evaluation(), 0)


def own_costs(evaluator, fractions):
    return evaluator.own_costs(FIFO, "BANK_A", [*map(borrow, fractions)], Purpose.EVALUATION)[:, 0].tolist()


def gap_of(evaluator):
    return find_nash_gap(evaluator, FIFO, ["BANK_A"], [ANY_FRACTION], level=0.95, budget=10**6)


def test_where_no_saving_stands_among_21_values_the_gap_is_exact_and_a_tenth_of_the_cost(tmp_path):
    evaluator = evaluator_of(tmp_path / "narrow.yaml", SCENARIO)
    assert min(own_costs(evaluator, [step / 20 for step in range(21)])) == own_costs(evaluator, [0])[0] == 34_410
    assert own_costs(evaluator, [0.31, 0.309999, 0.35]) == [31_000, 34_410 + 31_000, 35_000]
    gap = gap_of(evaluator)
    assert (gap.words, gap.cents) == ("3,410 (exact)", 3_410)


def test_the_experiment_that_is_shown_ends_at_the_least_cost(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("narrow.yaml").write_text(SCENARIO)
    Path("experiment.yaml").write_text(EXPERIMENT)
    result = asyncio.run(GenericExperimentRunner(ExperimentConfig.from_yaml("experiment.yaml")).run())
    assert (result.final_policies["BANK_A"], result.final_costs_by_agent["BANK_A"]) == (borrow(0.31), 31_000)
    assert (result.final_nash_gap, result.final_nash_gap_kind, result.converged) == (0, "exact", True)


def test_of_one_segment_in_which_overdraft_falls_half_of_the_cost_can_be_saved(tmp_path):
    evaluator = evaluator_of(tmp_path / "overdraft.yaml", OVERDRAFT)
    assert own_costs(evaluator, [0, 0.985, 0.9851, 1]) == [300, 153, 150, 150]
    assert gap_of(evaluator) == NashGap(150, "exact", 0, 10_001)


@pytest.mark.parametrize("kind", ["exact", "bounded", "estimated", "searched"])
def test_every_kind_of_gap_is_explained(kind):
    assert f"| `{kind}` |" in PAGE
