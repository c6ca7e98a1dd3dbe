"""Payments that a Python user puts together are checked, and what is wrong is named with its column and row."""

import numpy as np
import pytest
from scenarios import make_scenario

from payment_simulator import Arrivals, simulate

TWO = {"tick": [0, 1], "sender": [0, 1], "receiver": [1, 0], "amount": [5, 7], "priority": [5, 5], "deadline": [3, 3]}


def arrivals(**columns):
    return Arrivals(**{**TWO, "divisible": [False, False], "bounds": [0, 2], **columns})


def test_payments_of_lists_are_simulated_as_they_stand():
    scenario = make_scenario({"A": {"opening_balance": 5}, "B": {}}, ticks=4)
    outcome = simulate(scenario, arrivals(), engine="reference")
    assert outcome.settled.tolist() == [1, 0]
    assert arrivals().amount.dtype == np.int64


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"amount": [5.0, 7.5]}, "amount: holds float64 values, which are no whole numbers; round amounts to whole"),
        ({"amount": [5, 0]}, "row 1: amount: 0 is not possible: amounts are cents, from 1 to 2^61"),
        ({"amount": [5, 2**63]}, "row 1: amount: 9223372036854775808 is not possible"),
        ({"tick": [3, 1]}, "row 1: tick: 1 comes after 3: payments stand in sequence, by tick; sort them"),
        ({"tick": [-1, 1]}, "row 0: tick: -1 is not possible: ticks are counted from 0"),
        ({"sender": ["A", "B"]}, "sender: holds <U1 values"),
        ({"sender": [[0], [1]]}, "sender: an array of 2 dimensions"),
        ({"receiver": [0, 1]}, "row 0 (and 1 other rows): receiver: 0 is the sender itself"),
        ({"priority": [5, 11]}, "row 1: priority: 11 is not possible: priorities are from 0 to 10"),
        ({"deadline": [3, 0]}, "row 1: deadline: 0 is before the payment's tick, 1"),
        ({"amount": [5]}, "tick has 2, amount 1"),
        ({"bounds": [0, 1]}, "bounds: should rise from 0 to the number of payments, 2; of one sample they are [0, 2]"),
        ({"given": [0, -2]}, "row 1: given: -2"),
    ],
)
def test_payments_that_cannot_be_are_refused_with_column_and_row(wrong, said):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the text is looked at
        arrivals(**wrong)
    assert said in str(refused.value)


def test_each_sample_has_a_sequence_of_its_own():
    assert arrivals(tick=[3, 1], bounds=[0, 1, 2]).samples == 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sender": [0, 2]}, "row 1: sender: 2 is no bank: the scenario has 2, 0 to 1 in the order of their ids"),
        ({"tick": [0, 4], "deadline": [4, 4]}, "row 1: tick: 4 is past the end: the run has 4 ticks, counted from 0"),
    ],
)
def test_payments_of_another_scenario_are_refused_with_the_row(wrong, said):
    scenario = make_scenario({"A": {}, "B": {}}, ticks=4)
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the text is looked at
        simulate(scenario, arrivals(**wrong), engine="reference")
    assert said in str(refused.value)
