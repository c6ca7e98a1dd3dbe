"""Profiles of the day, and amounts that were observed."""

import numpy as np
import pytest

from labledger.errors import ConfigError
from payment_simulator import Scenario, draw_arrivals, load_scenario
from payment_simulator.scenario.expected_arrivals import amount_moments, expected_payments

AMOUNTS = {"type": "Empirical", "values": [5, 7, 7, 100]}


def scenario(**config):
    """Two banks, of which A sends as `config` says."""
    arrivals = {"rate_per_tick": 50.0, "amount_distribution": AMOUNTS, "deadline_range": [1, 1], **config}
    return {
        "simulation": {"ticks_per_day": 4, "num_days": 2},
        "agents": [{"id": "A", "arrival_config": arrivals}, {"id": "B"}],
    }


def test_a_profile_multiplies_the_rate_in_steps_of_the_day():
    made = Scenario.model_validate(scenario(profile=[0, 1.5]))
    counts = np.bincount(draw_arrivals(made, samples=200).tick, minlength=8) / 200
    assert counts[[0, 1, 4, 5]].tolist() == [0, 0, 0, 0]
    assert counts[[2, 3, 6, 7]] == pytest.approx(75, rel=0.05)
    assert expected_payments(made)["A"].number == pytest.approx(4 * 75)


def test_a_profile_of_ones_draws_what_no_profile_draws():
    plain, flat = (Scenario.model_validate(scenario(**each)) for each in ({}, {"profile": [1, 1, 1, 1]}))
    assert (draw_arrivals(plain).table == draw_arrivals(flat).table).all()


def test_a_profile_has_at_most_a_multiplier_a_tick():
    with pytest.raises(ValueError, match="5 multipliers, and a day has 4 ticks"):
        Scenario.model_validate(scenario(profile=[1] * 5))


def test_observed_amounts_are_drawn_alike():
    amounts = draw_arrivals(Scenario.model_validate(scenario()), samples=50).amount
    values, counts = np.unique(amounts, return_counts=True)
    assert values.tolist() == [5, 7, 100]
    assert counts / len(amounts) == pytest.approx([0.25, 0.5, 0.25], abs=0.02)
    mean, square = amount_moments(Scenario.model_validate(scenario()).agents[0].arrival_config.amount_distribution)
    assert (mean, square) == (119 / 4, (25 + 49 + 49 + 10_000) / 4)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("amount\n5\n", None),
        ("sender,amount\nB,9\nA,5\n", None),
        ("sender,amount\nB,9\n", "0 amounts of A"),
        ("amount\n5.5\n", "whole cents"),
        ("value\n5\n", "has value"),
        ("", "cannot be read"),
    ],
)
def test_a_file_of_amounts_is_read_where_the_scenario_is(tmp_path, content, problem):
    (tmp_path / "amounts.csv").write_text(content)
    (tmp_path / "s.yaml").write_text(
        "simulation: {ticks_per_day: 2}\nagents:\n- {id: B}\n- id: A\n  arrival_config: {rate_per_tick: 5, "
        "deadline_range: [1, 1], amount_distribution: {type: Empirical, file: amounts.csv}}\n"
    )
    if problem is None:
        assert set(draw_arrivals(load_scenario(tmp_path / "s.yaml"), 1).amount) == {5}
    else:
        with pytest.raises(ConfigError, match=problem):
            load_scenario(tmp_path / "s.yaml")


def test_a_distribution_has_a_file_or_values():
    both = {"type": "Empirical", "values": [1], "file": "x.csv"}
    for amounts in (both, {"type": "Empirical"}):
        with pytest.raises(ValueError, match="one of them"):
            Scenario.model_validate(scenario(amount_distribution=amounts))


def test_a_file_that_was_not_read_draws_nothing():
    made = Scenario.model_validate(scenario(amount_distribution={"type": "Empirical", "file": "x.csv"}))
    with pytest.raises(ConfigError, match="its file is not read"):
        draw_arrivals(made)
