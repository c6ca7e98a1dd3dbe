"""The mean and the spread that a scenario makes a bank expect are those of what is drawn."""

import numpy as np
import pytest
from pydantic import TypeAdapter

from payment_simulator.scenario.arrivals import draw_arrivals
from payment_simulator.scenario.distributions import AmountDistribution
from payment_simulator.scenario.expected_arrivals import amount_moments, draws_payments, expected_payments
from payment_simulator.scenario.schema import Scenario

SAMPLES = 1_500


def scenario(amounts, rate=0.5, events=()):
    stream = {"rate_per_tick": rate, "amount_distribution": amounts, "deadline_range": [1, 2]}
    return Scenario.model_validate(
        {
            "simulation": {"ticks_per_day": 4, "num_days": 2},
            "agents": [{"id": "A", "arrival_config": stream}, {"id": "B"}],
            "scenario_events": list(events),
        }
    )


def at(tick, kind, **fields):
    return {"type": kind, "schedule": {"type": "OneTime", "tick": tick}, **fields}


PAID = {"from_agent": "A", "to_agent": "B", "amount": 700, "deadline": 1}
AMOUNTS = {
    "uniform": {"type": "Uniform", "min": 3, "max": 9},
    "normal": {"type": "Normal", "mean": 1_000, "std_dev": 200},
    "normal that is cut at 1": {"type": "Normal", "mean": 10, "std_dev": 300},
    "normal without spread": {"type": "Normal", "mean": 7.5, "std_dev": 0},
    "log-normal": {"type": "LogNormal", "mean": 10_000, "std_dev": 5_000},
    "log-normal by its logarithm": {"type": "LogNormal", "mu": 9.1, "sigma": 0.47},
    "log-normal without spread": {"type": "LogNormal", "mean": 10_000, "std_dev": 0},
    "exponential": {"type": "Exponential", "mean": 500},
}


@pytest.mark.parametrize("amounts", AMOUNTS.values(), ids=AMOUNTS)
def test_expected_number_and_value_are_those_of_many_draws(amounts):
    made = scenario(amounts)
    expected = expected_payments(made)["A"]
    draws = draw_arrivals(made, 5, samples=SAMPLES)
    totals = np.add.reduceat(np.append(draws.amount, 0), np.minimum(draws.bounds[:-1], len(draws)))
    totals[np.diff(draws.bounds) == 0] = 0
    assert np.diff(draws.bounds).mean() == pytest.approx(expected.number, abs=4 * expected.number_std / SAMPLES**0.5)
    assert totals.mean() == pytest.approx(expected.value, abs=4 * expected.value_std / SAMPLES**0.5)
    assert totals.std() == pytest.approx(expected.value_std, rel=0.12)


def test_events_change_what_is_expected_and_those_that_pay_are_in_every_draw():
    events = [
        at(2, "GlobalArrivalRateChange", multiplier=3.0),
        at(6, "AgentArrivalRateChange", agent="A", multiplier=0.0),
    ]
    paid = {
        **at(0, "CustomTransactionArrival", **PAID),
        "schedule": {"type": "Repeating", "start_tick": 0, "interval": 3},
    }
    expected = expected_payments(scenario({"type": "Uniform", "min": 100, "max": 100}, 1.0, [*events, paid]))
    drawn = 2 * 1 + 4 * 3
    assert (expected["A"].number, expected["A"].value) == (drawn + 3, drawn * 100 + 3 * 700)
    assert expected["A"].number_std == pytest.approx(drawn**0.5)
    assert (expected["B"].number, expected["B"].value, expected["B"].value_std) == (0, 0, 0)


def test_a_scenario_without_a_rate_draws_nothing():
    assert draws_payments(scenario(AMOUNTS["uniform"]))
    assert not draws_payments(scenario(AMOUNTS["uniform"], rate=0.0))


@pytest.mark.parametrize(
    "amounts",
    [
        {"type": "Normal", "mean": 1.4, "std_dev": 0.05},
        {"type": "Normal", "mean": 1.6, "std_dev": 0.05},
        {"type": "Normal", "mean": 2.5, "std_dev": 0.01},
        {"type": "Normal", "mean": 2, "std_dev": 5},
        {"type": "LogNormal", "mean": 1.4, "std_dev": 0.05},
        {"type": "LogNormal", "mean": 3, "std_dev": 2},
        {"type": "Exponential", "mean": 0.4},
        {"type": "Exponential", "mean": 900},
    ],
)
def test_amounts_of_a_few_cents_are_expected_as_they_are_rounded(amounts):
    made = scenario(amounts, rate=4.0)
    drawn = draw_arrivals(made, 5, samples=4_000).amount.astype(float)
    first, second = amount_moments(TypeAdapter(AmountDistribution).validate_python(amounts))
    assert first == pytest.approx(drawn.mean(), abs=4.5 * drawn.std() / len(drawn) ** 0.5 + 1e-9)
    assert second == pytest.approx((drawn**2).mean(), abs=4.5 * (drawn**2).std() / len(drawn) ** 0.5 + 1e-9)


@pytest.mark.parametrize(
    "amounts",
    [
        {"type": "Normal", "mean": 1e300, "std_dev": 1e300},
        {"type": "LogNormal", "mean": 1e-300, "std_dev": 1e300},
        {"type": "LogNormal", "mean": 1e300, "std_dev": 1e-300},
        {"type": "Exponential", "mean": 1e-320},
        {"type": "Exponential", "mean": 1e300},
        {"type": "Normal", "mean": 1.0, "std_dev": 1e-320},
    ],
)
def test_moments_of_the_most_extreme_amounts_are_numbers(amounts):
    for moment in amount_moments(TypeAdapter(AmountDistribution).validate_python(amounts)):
        assert 1 <= moment <= 2.0**106
