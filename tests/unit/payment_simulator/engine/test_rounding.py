"""Rounding is told, by bank and kind of cost, and may be carried to the next tick."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenarios import act, charged, make_scenario, on_any_scenario, pay, play, trees

from labledger.errors import ConfigError
from payment_simulator import draw_arrivals, simulate_batch
from payment_simulator.engine.rounding import rounding_by_bank, rounding_warnings
from payment_simulator.engine.vocabulary import Cost
from payment_simulator.scenario.numbers import exact, half_up
from properties import examples

SMALL = {"A": {"unsecured_cap": 10_000}, "B": {"opening_balance": 100}}


def small(ticks=401, **further):
    """A debt of 9,975 cents at 0.5 bps a tick: 0.49875 cents, which round to 0."""
    return make_scenario(SMALL, pay("A", "B", 9_975), ticks=ticks, costs={"overdraft_bps_per_tick": 0.5}, **further)


def test_a_rate_so_small_that_it_rounds_away_is_told_with_its_remedy(engine):
    outcome = play(small(), engine)
    assert outcome.total_cost.tolist() == [0, 0]
    assert outcome.rounding[0, Cost.OVERDRAFT] == float(Fraction("0.49875") * 401)
    assert rounding_by_bank(outcome) == {"A": {"overdraft": 199.99875}, "B": {}}
    assert [*rounding_warnings(outcome)] == [
        "rounding to whole cents in every tick changes the cost of A by over 1 %: overdraft 0 cents where 200.00 were "
        "due; take coarser ticks, or cost_rounding: carry"
    ]


def test_what_is_carried_is_charged_as_soon_as_it_is_half_a_cent(engine):
    """0.49875, 0.9975, 1.49625, 1.995, 2.49375 in all: rounded 0, 1, 1, 2, 2."""
    outcome = play(small(ticks=5, cost_rounding="carry"), engine)
    assert charged(outcome, "A", "overdraft") == {1: 1, 3: 1}
    whole = play(small(cost_rounding="carry"), engine)
    assert whole.total_cost.tolist() == [200, 0]
    assert [*rounding_warnings(whole)] == []


def test_every_kind_with_a_rate_is_carried_penalties_too(engine):
    """Two payments of 50 cents, overdue at tick 1: 1.5 % and 2 ticks of 0.9 %, on each day's end 2.5 and 1.5 %."""
    costs = {
        "liquidity_cost_per_tick_bps": 40,
        "collateral_cost_per_tick_bps": 30,
        "delay_cost_per_tick_per_cent": 0.006,
        "overdue_delay_multiplier": 1.5,
        "deadline_penalty": {"mode": "rate", "bps_per_event": 150},
        "eod_penalty_per_transaction": {"mode": "rate", "bps_per_event": 250},
        "eod_borrowing_bps": 150,
        "split_friction_cost": 3,
    }
    banks = {"A": {"liquidity_pool": 100, "posted_collateral": 100, "policy": trees(act("Hold"))}, "B": {}}
    scenario = make_scenario(
        banks,
        pay("A", "B", 50, deadline=0),
        pay("A", "B", 50, deadline=0),
        ticks=1,
        days=3,
        costs=costs,
        cost_rounding="carry",
    )
    outcome = play(scenario, engine)
    assert charged(outcome, "A", "liquidity") == {1: 1}  # 0.4, 0.8, 1.2
    assert charged(outcome, "A", "collateral") == {1: 1}  # 0.3, 0.6, 0.9
    assert charged(outcome, "A", "delay") == {0: 1, 1: 1}  # 0.6, 1.5, 2.4: rounded 1, 2, 2
    assert charged(outcome, "A", "deadline_penalty") == {1: 2}  # 1.5
    assert charged(outcome, "A", "eod_penalty") == {0: 3, 1: 2, 2: 3}  # 2.5, 5, 7.5
    assert charged(outcome, "A", "eod_borrowing") == {0: 2, 1: 1, 2: 2}  # 1.5, 3, 4.5
    assert np.allclose(outcome.rounding[0], [0.2, 0, -0.1, 0.4, -0.5, -0.5, -0.5, 0])


def test_penalties_in_cents_and_friction_leave_nothing_to_round(engine):
    costs = {"deadline_penalty": 3, "eod_penalty_per_transaction": 5, "split_friction_cost": 2}
    banks = {"A": {"policy": trees(act("Split", num_splits=2))}, "B": {}}
    payments = [pay("A", "B", 9, deadline=0, is_divisible=True)]
    for rounding in ("nearest", "carry"):
        outcome = play(make_scenario(banks, *payments, ticks=2, costs=costs, cost_rounding=rounding), engine)
        assert outcome.total_cost[0] == 2 + 2 * 3 + 2 * 5
        assert not outcome.rounding.any()


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_what_is_carried_is_never_off_by_more_than_half_a_cent_in_all(times):
    @on_any_scenario(12 * times)
    def holds(drawn):
        scenario = drawn.scenario.model_copy(update={"cost_rounding": "carry"})
        outcome = replace(drawn, scenario=scenario).play("kernel")
        assert (np.abs(outcome.rounding) <= 0.5).all()

    holds()


RATE = st.floats(1e-9, 3) | st.sampled_from([0.5, 0.1, 1e-12, 1 / 3])


@examples(80)
@given(st.integers(1, 2**45), RATE, RATE, RATE, st.integers(1, 60))
def test_rates_of_any_digits_are_carried_to_the_cent(amount, delay, overdraft, liquidity, ticks):
    costs = {
        "delay_cost_per_tick_per_cent": delay,
        "overdraft_bps_per_tick": overdraft,
        "liquidity_cost_per_tick_bps": liquidity,
    }
    banks = {"A": {"unsecured_cap": amount, "liquidity_pool": amount}, "B": {}}
    payments = [pay("A", "B", 2 * amount), pay("A", "B", amount)]
    outcome = play(make_scenario(banks, *payments, ticks=ticks, costs=costs, cost_rounding="carry"), "kernel")
    due = {"delay": exact(delay), "overdraft": exact(overdraft) / 10_000, "liquidity": exact(liquidity) / 10_000}
    found = outcome.agents()["A"]["costs"]
    assert {kind: found[kind] for kind in due} == {kind: half_up(rate * amount * ticks) for kind, rate in due.items()}
    assert outcome.rounding[0, Cost.DELAY] == float(due["delay"] * amount * ticks - found["delay"])


def test_the_rounding_of_a_batch_is_that_of_its_samples():
    scenario = small(ticks=3)
    batch = simulate_batch(scenario, draw_arrivals(scenario, samples=2), engine="reference")
    assert batch.rounding.tolist() == [play(scenario).rounding.tolist()] * 2


@pytest.mark.parametrize(
    ("name", "costs", "remedy"),
    [
        ("overdraft_bps_per_tick", {"overdraft_bps_per_tick": 1e-27}, "round it to 26"),
        (
            "delay_cost_per_tick_per_cent",
            {"delay_cost_per_tick_per_cent": 1e-20, "overdue_delay_multiplier": 1e-11},
            "round them, to 30 together",
        ),
    ],
)
def test_rates_too_fine_to_be_added_up_exactly_are_refused_where_they_are_carried(name, costs, remedy):
    play(make_scenario(SMALL, costs=costs))
    with pytest.raises(ConfigError) as refused:
        play(make_scenario(SMALL, costs=costs, cost_rounding="carry"))
    assert str(refused.value).startswith(f"cost_rates.{name}")
    assert str(refused.value).endswith(f"counted exactly: with cost_rounding: carry, {remedy}")


def test_run_tells_of_rounding_and_has_it_in_json(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from payment_simulator.cli.main import app

    path = tmp_path / "small.yaml"
    path.write_text(json.dumps(small().model_dump(mode="json", exclude_none=True)))
    found = CliRunner().invoke(app, ["run", str(path), "--json"])
    assert json.loads(found.stdout)["rounding"] == {"A": {"overdraft": 199.99875}, "B": {}}
    assert "warning: rounding to whole cents" in found.stderr
