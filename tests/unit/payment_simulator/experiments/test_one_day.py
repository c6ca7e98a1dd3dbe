"""The one day that costs are of: drawn once, observed, or none."""

import numpy as np
import pytest

from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.observed_day import one_day
from payment_simulator.experiments.persistence import Ending
from payment_simulator.experiments.result import ExperimentResult
from payment_simulator.experiments.setup import ExperimentSetup
from payment_simulator.scenario.arrivals import arrivals_from
from payment_simulator.scenario.schema import Scenario
from small_experiment import MOMENT

STREAM = {
    "rate_per_tick": 2.0,
    "amount_distribution": {"type": "Uniform", "min": 100, "max": 300},
    "deadline_range": [1, 2],
}
WRITTEN = {
    "type": "CustomTransactionArrival",
    **{"from_agent": "B", "to_agent": "A", "amount": 50, "deadline": 1},
    "schedule": {"type": "OneTime", "tick": 0},
}


def config(mode):
    evaluation = {"mode": mode, "num_samples": 1 if mode == "deterministic" else 4}
    return ExperimentConfig.model_validate(
        {"name": "game", "scenario": "game.yaml", "evaluation": evaluation, "master_seed": 3}
    )


def setup(*, drawn=True, observed=None):
    scenario = Scenario.model_validate(
        {
            "simulation": {"ticks_per_day": 5, "num_days": 1},
            "agents": [{"id": "A", **({"arrival_config": STREAM} if drawn else {})}, {"id": "B"}],
            "scenario_events": [WRITTEN],
        }
    )
    return ExperimentSetup(scenario, None if observed is None else arrivals_from(scenario, observed))


def payments(sender, amounts):
    """Payments of a bank in tick 0, as an observed day has them."""
    count = len(amounts)
    columns = {"tick": 0, "sender": sender, "receiver": 1 - sender, "priority": 5, "deadline": 2, "divisible": 0}
    return {**{name: [value] * count for name, value in columns.items()}, "amount": amounts}


def test_a_drawn_day_is_the_one_that_is_evaluated_in_a_bootstrap_as_in_a_deterministic_game():
    days = [one_day(config(mode), setup()) for mode in ("deterministic", "bootstrap")]
    assert days[0].banks == days[1].banks
    assert [day.is_resampled for day in days] == [False, True]
    arrivals = setup().evaluator(config("deterministic")).arrivals(0)
    assert days[0].banks["A"].number == np.count_nonzero(arrivals.sender == 0)
    assert days[0].banks["A"].value == arrivals.amount[arrivals.sender == 0].sum()
    assert (days[0].banks["A"].expected.number, days[0].banks["A"].expected.value) == (10, 2_000)
    assert (days[0].banks["B"].number, days[0].banks["B"].value, days[0].banks["B"].expected.value) == (1, 50, 50)


@pytest.mark.parametrize(("mode", "drawn"), [("monte_carlo", True), ("deterministic", False), ("bootstrap", False)])
def test_many_draws_and_a_game_that_draws_nothing_have_no_such_day(mode, drawn):
    assert one_day(config(mode), setup(drawn=drawn)) is None


def test_an_observed_day_is_held_against_what_the_scenario_expects_also_if_that_is_nothing():
    observed = payments(0, [700, 800])
    day = one_day(config("bootstrap"), setup(observed=observed))
    assert day.words == (
        "every cost and gap is of one observed day, redrawn: "
        "B sent 0 payments of 0 cents that day; 1 ± 0 of 50 are expected"
    )
    day = one_day(config("bootstrap"), setup(drawn=False, observed=observed))
    assert day.banks["A"].words == "sent 2 payments of 1,500 cents that day; 0 ± 0 of 0 are expected"


def test_a_result_keeps_the_day(tmp_path):
    day = one_day(config("bootstrap"), setup())
    ending = Ending(
        completed_at=MOMENT,
        converged=False,
        convergence_reason="max_iterations",
        num_iterations=1,
        final_cost=3,
        final_costs_by_agent={"A": 3},
        final_policies={"A": {"type": "Fifo"}},
        total_duration_seconds=1.0,
    )
    path = ExperimentResult.from_ending(ending, "run-1", "game", {}, day).save(tmp_path)
    assert ExperimentResult.from_json(path).one_day == day
