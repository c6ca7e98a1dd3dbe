"""Arrivals fitted to recorded days."""

from dataclasses import replace

import numpy as np
import pytest

from labledger.errors import ConfigError
from payment_simulator import Scenario, draw_arrivals, load_scenario
from payment_simulator.calibration.fitting import fit_arrivals
from payment_simulator.calibration.goodness import goodness_of_fit, ks_distance
from payment_simulator.calibration.writing import write_scenario
from payment_simulator.scenario.given_payments import COLUMNS, GivenPayments

TICKS = 20
BANKS = ("A", "B", "C")


def recorded(payments=2_000, days=2, seed=1, **columns):
    """Days of three banks, of which C sends nothing; most payments come in the second half of a day."""
    rng = np.random.default_rng(seed)
    day = rng.integers(0, days, payments)
    tick = np.sort(day * TICKS + np.minimum(rng.triangular(0, TICKS, TICKS, payments).astype(int), TICKS - 1))
    sender = rng.choice([0, 1], payments, p=[0.75, 0.25])
    found = {
        "tick": tick,
        "sender": sender,
        "receiver": np.where(rng.random(payments) < 0.2, 2, 1 - sender),
        "amount": np.round(np.exp(rng.normal(8, 1, payments))) + 1,
        "priority": rng.choice([3, 9], payments, p=[0.9, 0.1]),
        "deadline": (tick // TICKS + 1) * TICKS - 1,
        "divisible": np.zeros(payments),
    } | columns
    typed = {name: np.asarray(found[name]).astype(kind) for name, kind in COLUMNS.items()}
    return GivenPayments(banks=BANKS, **typed, ticks_per_day=TICKS, num_days=days)


def test_a_fit_has_the_rates_weights_priorities_and_amounts_that_were_seen():
    given = recorded()
    fit = fit_arrivals(given, "empirical", 0.5)
    scenario = Scenario.model_validate(fit.scenario(None))
    own = given.sender == 0
    first = scenario.agents_by_id()[0].arrival_config
    assert first.rate_per_tick == pytest.approx(own.sum() / (2 * TICKS))
    assert np.mean(first.profile) == pytest.approx(1, abs=1e-5)
    assert first.profile[-1] > 4 * first.profile[0]
    assert first.counterparty_weights == {
        "B": (own & (given.receiver == 1)).sum(),
        "C": (own & (given.receiver == 2)).sum(),
    }
    assert first.priority_distribution.weights == [
        (own & (given.priority == 3)).sum(),
        (own & (given.priority == 9)).sum(),
    ]
    assert first.amount_distribution.values == sorted(given.amount[own].tolist())
    assert fit.silent == ("C",)
    assert scenario.deadline_cap_at_eod


def test_a_bank_begins_between_the_bounds_of_its_own_liquidity():
    """A pays 100, gets 60 and pays 20: it needs 60 at the least, and 100 to wait for nothing."""
    flows = {"tick": [0, 1, 2], "sender": [0, 1, 0], "receiver": [1, 0, 1], "amount": [100, 60, 20]}
    given = recorded(payments=3, days=1, deadline=[19] * 3, **flows)
    for level, cents in ((0, 60), (0.5, 80), (1, 100)):
        assert fit_arrivals(given, "empirical", level).opening_balance == {"A": cents, "B": 0, "C": 0}


def test_drawn_days_are_like_the_days_that_they_were_fitted_to():
    given = recorded(payments=1_000)
    fit = fit_arrivals(given, "empirical", 0.5)
    found = goodness_of_fit(fit, Scenario.model_validate(fit.scenario(None)), given, samples=20, seed=5, workers=1)
    for bank in found.banks:
        assert bank.drawn_payments == pytest.approx(bank.payments, rel=0.1)
        assert bank.ks_amount < 0.05
        assert bank.ks_tick < 0.1
    assert all(curve.in_band > 0.6 for curve in found.curves)


def test_a_day_unlike_the_drawn_ones_is_outside_of_their_band():
    given = recorded(payments=1_000)
    fit = fit_arrivals(given, "empirical", 0.5)
    other = recorded(payments=1_000, seed=2, amount=np.full(len(given), 10_000_000))
    found = goodness_of_fit(fit, Scenario.model_validate(fit.scenario(None)), other, samples=10, seed=5, workers=1)
    assert all(curve.in_band < 0.5 for curve in found.curves)
    assert all(bank.ks_amount > 0.9 for bank in found.banks)


def test_log_normal_amounts_have_the_moments_of_the_logarithms():
    amounts = np.exp(np.random.default_rng(3).normal(9, 1.2, 2_000)).round() + 1
    fit = fit_arrivals(recorded(amount=amounts), "lognormal", 0)
    scenario = Scenario.model_validate(fit.scenario(None))
    drawn = np.log(draw_arrivals(scenario, samples=30).amount)
    assert drawn.mean() == pytest.approx(9, abs=0.1)
    assert drawn.std() == pytest.approx(1.2, abs=0.1)


def test_what_is_written_loads_as_what_was_fitted(tmp_path):
    fit = fit_arrivals(recorded(), "empirical", 0.5)
    files = write_scenario(fit, 7, ["day.csv"], tmp_path / "fitted.yaml", tmp_path / "fitted_amounts.parquet")
    loaded = load_scenario(files[-1])
    fitted = Scenario.model_validate(fit.scenario(None))
    assert loaded.simulation.rng_seed == 7
    assert loaded.agents == fitted.agents
    assert (draw_arrivals(loaded, 1).table == draw_arrivals(fitted, 1).table).all()


def test_no_payments_cannot_be_fitted():
    nothing = recorded(payments=0)
    with pytest.raises(ConfigError, match="nothing to fit"):
        fit_arrivals(nothing, "empirical", 0.5)
    with pytest.raises(ConfigError, match="how many a day has is not said"):
        fit_arrivals(replace(recorded(), ticks_per_day=None), "empirical", 0.5)


def test_the_distance_of_kolmogorov_and_smirnov_is_the_largest_difference_of_shares():
    assert ks_distance(np.array([1, 2, 3, 4]), np.array([3, 4, 5, 6])) == 0.5
    assert ks_distance(np.array([1, 1, 2]), np.array([1, 1, 2])) == 0
    assert ks_distance(np.array([1]), np.array([], dtype=int)) == 1


def early(given, share, seed=4):
    """The deadlines of payments of which a share has one 5 to 12 ticks after arrival, if before its end."""
    rng = np.random.default_rng(seed)
    some = rng.random(len(given)) < share
    return np.where(some, np.minimum(given.tick + rng.integers(5, 13, len(given)), given.deadline), given.deadline)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.7])
def test_as_many_drawn_payments_have_a_deadline_before_the_days_end_as_were_seen(share):
    given = recorded(deadline=early(recorded(), share))
    fit = fit_arrivals(given, "empirical")
    seen = float((given.deadline % TICKS != TICKS - 1).mean())
    drawn = draw_arrivals(Scenario.model_validate(fit.scenario(None)), 3, samples=20)
    assert float((drawn.deadline % TICKS != TICKS - 1).mean()) == pytest.approx(seen, abs=0.01)
    after = (drawn.deadline - drawn.tick)[drawn.deadline % TICKS != TICKS - 1]
    assert not len(after) or (after.min(), after.max()) == (5, 12)
    found = goodness_of_fit(fit, Scenario.model_validate(fit.scenario(None)), given, samples=3, seed=5, workers=1)
    assert found.own_deadlines == seen


def test_deadlines_on_later_days_stay_beside_those_of_the_days_end():
    given = recorded()
    given = recorded(deadline=np.where(np.arange(len(given)) % 4 == 0, given.tick + TICKS, given.deadline))
    bank = fit_arrivals(given, "empirical").scenario(None)
    assert "deadline_cap_at_eod" not in bank
    config = bank["agents"][0]["arrival_config"]
    assert config["deadline_range"] == [TICKS, TICKS]
    assert config["deadline_share"] == pytest.approx(0.25, abs=0.03)
