"""A sum that could pass an int64 is refused when it is loaded, or on the drawn payments, never computed wrongly."""

from fractions import Fraction
from math import lcm

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scenarios import act, make_scenario, pay, play

from labledger.errors import ConfigError
from payment_simulator import Scenario, draw_arrivals, simulate
from payment_simulator.engine.simulate import prepare
from payment_simulator.scenario.numbers import exact, half_up
from properties import examples

LARGEST = 2**61
HOLDS = {"policy_id": "holds", "payment_tree": act("Hold")}


def refusal(scenario):
    with pytest.raises(ConfigError) as refused:
        simulate(scenario, draw_arrivals(scenario))
    return str(refused.value)


@pytest.mark.parametrize("amount", [2**61 + 1, 2**63 - 1, 2**63, 10**30])
def test_an_amount_near_the_end_of_int64_is_refused(amount):
    for agent in ({"opening_balance": amount}, {"unsecured_cap": amount}, {"liquidity_pool": amount}):
        with pytest.raises(ValueError, match="less than or equal to 2305843009213693952"):
            make_scenario({"A": agent})
    with pytest.raises(ValueError, match="less than or equal to 2305843009213693952"):
        make_scenario({"A": {}, "B": {}}, pay("A", "B", amount))


TOGETHER = [
    ({"A": {"opening_balance": LARGEST}, "B": {"unsecured_cap": 1}}, []),
    ({"A": {}, "B": {}}, [pay("A", "B", LARGEST // 2), pay("A", "B", LARGEST // 2 + 1)]),
    ({"A": {"opening_balance": 1}, "B": {}}, [pay("A", "B", LARGEST // 2), pay("A", "B", LARGEST // 2)]),
]


@pytest.mark.parametrize(("banks", "events"), TOGETHER)
def test_amounts_that_are_large_together_are_refused(banks, events):
    assert "could" in refusal(make_scenario(banks, *events))


@pytest.mark.parametrize(("banks", "events"), TOGETHER)
def test_of_amounts_that_are_too_large_with_no_cost_at_all_the_amounts_are_named(banks, events):
    assert "cost_rates" not in refusal(make_scenario(banks, *events))


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("liquidity_cost_per_tick_bps", 100),
        ("overdraft_bps_per_tick", 100),
        ("collateral_cost_per_tick_bps", 100),
    ],
)
def test_a_rate_on_money_that_could_overflow_is_named(name, rate):
    scenario = make_scenario({"A": {"opening_balance": LARGEST // 2}}, ticks=1_000, costs={name: rate})
    assert refusal(scenario).startswith(f"cost_rates.{name}: ")


@pytest.mark.parametrize(
    ("name", "rate", "ticks"),
    [
        ("eod_borrowing_bps", 1e6, 1),
        ("delay_cost_per_tick_per_cent", 0.5, 1_000),
        ("deadline_penalty", {"mode": "rate", "bps_per_event": 1e6}, 1),
        ("eod_penalty_per_transaction", {"mode": "rate", "bps_per_event": 1e6}, 1),
        ("eod_penalty_per_transaction", LARGEST, 1),
        ("deadline_penalty", LARGEST, 1),
    ],
)
def test_a_rate_on_payments_that_could_overflow_is_named(name, rate, ticks):
    events = [pay("A", "B", 2**55), pay("A", "B", 2**55)]
    scenario = make_scenario({"A": {}, "B": {}}, *events, ticks=ticks, costs={name: rate})
    assert f"cost_rates.{name}: " in refusal(scenario)


@pytest.mark.parametrize("haircut", [0.12345678901234567, 1 / 3, 1e-17])
@pytest.mark.parametrize("posted", [10**6, LARGEST // 8])
def test_a_haircut_of_any_digits_leaves_credit_to_the_cent(haircut, posted, engine):
    worth = posted * (1 - exact(haircut)) // 1
    banks = {"A": {"posted_collateral": posted, "max_collateral_capacity": posted, "collateral_haircut": haircut}}
    events = [pay("A", "B", int(worth)), pay("A", "B", 1)]
    assert play(make_scenario(banks | {"B": {}}, *events), engine).settled.tolist() == [1, 0]


def test_a_tree_counts_to_what_a_double_holds():
    banks = {"A": {"opening_balance": 2**53, "policy": HOLDS}, "B": {}}
    assert play(make_scenario(banks)).final_balance[0] == 2**53
    assert "decision trees count to 2^53" in refusal(make_scenario(banks, pay("A", "B", 1)))


def test_what_is_as_large_as_it_may_be_is_computed_to_the_cent(engine):
    amount = LARGEST // 4
    banks = {"A": {"opening_balance": amount, "unsecured_cap": amount}, "B": {}}
    outcome = play(make_scenario(banks, pay("A", "B", 2 * amount)), engine)
    assert outcome.final_balance.tolist() == [-amount, 2 * amount]


@pytest.mark.parametrize(
    ("costs", "kind"),
    [
        ({"delay_cost_per_tick_per_cent": 0.29}, "delay"),
        ({"delay_cost_per_tick_per_cent": 0.1 + 0.2, "overdue_delay_multiplier": 1.003}, "delay"),
        ({"eod_borrowing_bps": 1 / 3}, "eod_borrowing"),
        ({"deadline_penalty": {"mode": "rate", "bps_per_event": 2 / 3}}, "deadline_penalty"),
        ({"eod_borrowing_bps": 1250.5}, "eod_borrowing"),
        ({"deadline_penalty": {"mode": "rate", "bps_per_event": 0.07}}, "deadline_penalty"),
        ({"eod_penalty_per_transaction": {"mode": "rate", "bps_per_event": 33.3}}, "eod_penalty"),
    ],
)
@pytest.mark.parametrize("rounding", ["nearest", "carry"])
def test_the_largest_payments_that_are_allowed_cost_alike_in_both_engines(costs, kind, rounding):
    """Up to the limit that the scenario itself sets."""

    def scenario(*amounts):
        payments = [pay("A", "B", amount, deadline=0) for amount in amounts]
        return make_scenario({"A": {}, "B": {}}, *payments, ticks=2, costs=costs, cost_rounding=rounding)

    largest = prepare(scenario()).limits.value
    assert largest > 10**12
    found = {engine: play(scenario(largest), engine) for engine in ("reference", "kernel")}
    assert found["reference"].total_cost.tolist() == found["kernel"].total_cost.tolist()
    assert found["reference"].rounding.tolist() == found["kernel"].rounding.tolist()
    assert found["kernel"].agents()["A"]["costs"][kind] > largest // 10**6
    with pytest.raises(ConfigError):
        play(scenario(largest, 1))


@pytest.mark.parametrize(
    ("name", "of_bank", "costs"),
    [
        ("A: collateral_haircut", {"collateral_haircut": 1e-300}, {}),
        ("cost_rates.overdraft_bps_per_tick", {}, {"overdraft_bps_per_tick": 1e-40}),
        ("cost_rates.deadline_penalty", {}, {"deadline_penalty": {"mode": "rate", "bps_per_event": 1e-40}}),
        (
            "cost_rates.delay_cost_per_tick_per_cent: with its multipliers it",
            {},
            {"delay_cost_per_tick_per_cent": 1e-20, "overdue_delay_multiplier": 1e-20},
        ),
    ],
)
def test_a_rate_too_fine_to_be_counted_exactly_is_named(name, of_bank, costs):
    told = refusal(make_scenario({"A": of_bank, "B": {}}, costs=costs))
    remedy = "round them, to 37 together" if "multipliers" in name else "round it to 30"
    assert told == f"{name} has more decimals than are counted exactly: {remedy}"


RATE = st.floats(1e-9, 3) | st.sampled_from([0.5, 1.5, 0.1, 1e-12, 0])
MULTIPLIER = st.sampled_from([1, 0.5, 2.75, 1.0001, 0, 1 / 1024])


@examples(300)
@given(st.lists(st.integers(1, 2**45), min_size=1, max_size=3), RATE, MULTIPLIER, RATE)
def test_rates_of_any_digits_are_charged_to_the_cent(amounts, delay, multiplier, borrowing):
    """Two kinds of delay are added up before they are rounded."""
    costs = {
        "delay_cost_per_tick_per_cent": delay,
        "priority_delay_multipliers": {"urgent_multiplier": multiplier},
        "eod_borrowing_bps": borrowing,
    }
    payments = [pay("A", "B", amount, priority=4 + 4 * (place % 2)) for place, amount in enumerate(amounts)]
    charged = play(make_scenario({"A": {}, "B": {}}, *payments, costs=costs), "kernel").agents()["A"]["costs"]
    urgent, normal = sum(amounts[1::2]), sum(amounts[::2])
    assert charged["delay"] == half_up(exact(delay) * (normal + urgent * exact(multiplier)))
    assert charged["eod_borrowing"] == half_up((urgent + normal) * exact(borrowing) / 10_000)


ANY_RATE = st.floats(0, 1e6, allow_nan=False) | st.floats(1e-6, 10) | st.sampled_from([0.0, 1.0, 2.5])
BANDS = st.lists(st.sampled_from([1.0, 0.0, 0.7, 1.5]) | ANY_RATE, min_size=3, max_size=3)
ANY_MONEY = st.lists(st.integers(1, 10**6) | st.integers(1, LARGEST // 100), min_size=3, max_size=3)


@examples(60)
@example(0.5938797985827466, [1.0] * 3, 0.0010110258367541647, [100, 1, 1])
@example(1.6666666666666667e-05, [1.0] * 3, 0.3333333333333333, [100_000, 33_333, 7])
@example(0.1234567890123456, [0.7, 1.0, 1.3], 1.234567890123456, [10**15, 10**14 + 1, 10**13 + 7])
@given(ANY_RATE, BANDS, ANY_RATE, ANY_MONEY)
def test_any_rates_of_delay_on_any_money_are_charged_to_the_cent_or_refused_as_documented(base, bands, overdue, money):
    names = ("low_multiplier", "normal_multiplier", "urgent_multiplier")
    costs = {
        "delay_cost_per_tick_per_cent": base,
        "priority_delay_multipliers": dict(zip(names, bands, strict=True)),
        "overdue_delay_multiplier": overdue,
    }
    payments = [pay("A", "B", cents, deadline=0, priority=at) for cents, at in zip(money, (0, 5, 10), strict=True)]
    scenario = make_scenario({"A": {}, "B": {}}, *payments, ticks=2, costs=costs)
    early = [exact(base) * exact(band) for band in bands]
    late = [rate * exact(overdue) for rate in early]
    if told := refusal_if_any(scenario):
        finest = lcm(*(rate.denominator for rate in early + late))
        most = 2 * sum(money) * max(early + late)
        assert ("decimals" in told and 10**37 % finest != 0) or ("could overflow" in told and most > LARGEST // 10)
        return
    exactly = [sum((cents * rate for cents, rate in zip(money, at, strict=True)), Fraction()) for at in (early, late)]
    for engine in ("reference", "kernel"):
        assert play(scenario, engine).agents()["A"]["costs"]["delay"] == sum(map(half_up, exactly))


RATES = [
    "overdraft_bps_per_tick",
    "collateral_cost_per_tick_bps",
    "eod_borrowing_bps",
    "delay_cost_per_tick_per_cent",
    "liquidity_cost_per_tick_bps",
    "overdue_delay_multiplier",
]


def refusal_if_any(scenario):
    """Return the message of a scenario that is refused; an empty one if it runs."""
    try:
        simulate(scenario, draw_arrivals(scenario))
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("rate", [1e-300, 1e17])
@pytest.mark.parametrize("name", RATES)
def test_a_rate_of_any_size_is_run_or_refused(name, rate):
    scenario = make_scenario({"A": {"opening_balance": 5}, "B": {}}, pay("A", "B", 9), costs={name: rate})
    assert refusal_if_any(scenario) == "" or "cost_rates." in refusal_if_any(scenario)


@pytest.mark.parametrize("name", RATES[:4])
def test_a_rate_beyond_every_number_is_run_or_refused_where_there_is_no_money(name):
    assert isinstance(refusal_if_any(make_scenario({"A": {}, "B": {}}, costs={name: 1e300})), str)


def test_a_scenario_needs_a_bank():
    with pytest.raises(ValueError, match="at least 1 item"):
        Scenario.model_validate({"simulation": {"ticks_per_day": 1}, "agents": []})
