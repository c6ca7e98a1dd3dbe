import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from payment_simulator.scenario.liquidity_bounds import liquidity_bounds

PAYMENTS = st.lists(
    st.tuples(st.integers(0, 11), st.integers(0, 3), st.integers(0, 3), st.integers(1, 2**40)).filter(
        lambda payment: payment[1] != payment[2]
    ),
    max_size=30,
)


@given(PAYMENTS)
def test_bounds_of_liquidity_are_the_net_and_the_peak_of_each_day(payments):
    payments.sort(key=lambda payment: payment[0])
    tick, sender, receiver, amount = np.array(payments, dtype=np.int64).reshape(-1, 4).T

    lower, upper = liquidity_bounds(sender, receiver, amount, tick, banks=4, ticks_per_day=4, days=3)

    for day in range(3):
        position, peak = [0] * 4, [0] * 4
        for when, payer, payee, cents in payments:
            if when // 4 == day:
                position[payer] += cents
                position[payee] -= cents
                peak[payer] = max(peak[payer], position[payer])
        assert lower[day].tolist() == [max(0, net) for net in position]
        assert upper[day].tolist() == peak


def test_bounds_of_no_payments_are_0():
    none = np.zeros(0, dtype=np.int64)
    lower, upper = liquidity_bounds(none, none, none, none, banks=2, ticks_per_day=5)
    assert lower.tolist() == upper.tolist() == [[0, 0]]
