"""What is told beforehand of limits and reservations that let payments wait."""

from scenarios import make_scenario, once, pay

from payment_simulator.scenario.limit_advice import advice_on_limits


def advice(banks, *events):
    return [*advice_on_limits(make_scenario(banks, *events))]


def test_a_payment_over_its_banks_limit_is_told_of_with_the_limit_and_its_place():
    limits = {"bilateral_limits": {"B": 30}, "multilateral_limit": 60}
    found = advice({"A": limits, "B": {}, "C": {}}, pay("A", "B", 31), pay("A", "C", 61), pay("A", "B", 30))
    assert [each.partition(":")[0] for each in found] == ["scenario_events.0", "scenario_events.1"]
    assert "31 from A to B is over the limit of A to B, 30" in found[0]
    assert "61 from A to C is over the limit of A to all, 60" in found[1]


def test_a_payment_that_a_later_limit_allows_is_not_told_of():
    raised = once("LimitChange", agent="A", counterparty="B", limit=50)
    assert advice({"A": {"bilateral_limits": {"B": 30}}, "B": {}}, pay("A", "B", 50), raised) == []


def test_reservations_over_what_a_bank_begins_with_are_told_of_with_what_it_has():
    funds = {"opening_balance": 50, "liquidity_pool": 29, "unsecured_cap": 10, "posted_collateral": 30}
    haircut = {"collateral_haircut": 0.5, "liquidity_allocation_fraction": 0.5}
    enough = {**funds, **haircut, "reservations": {"urgent": 60, "normal": 29}}
    assert advice({"A": enough, "B": {}}) == []
    (of_both,) = advice({"A": {**enough, "reservations": {"urgent": 60, "normal": 30}}, "B": {}})
    assert "90 are reserved, and it begins with 89 of balance and credit: low payments wait" in of_both
    (of_one,) = advice({"A": {**enough, "reservations": {"urgent": 90}}, "B": {}})
    assert "normal and low payments wait" in of_one
