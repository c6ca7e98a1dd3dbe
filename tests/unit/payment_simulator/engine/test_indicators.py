"""Indicators of a run: on any scenario as an independent calculation has them, and on a day worked by hand."""

from collections import defaultdict
from pathlib import Path

import pytest
from indicators_by_hand import added, days_by_hand, ratios
from scenarios import make_scenario, on_any_scenario, once, pay, play

from payment_simulator import draw_arrivals, load_scenario, simulate
from payment_simulator.engine.vocabulary import ROUTES, EventColumn

SUMS = ("due", "settled", "unsettled", "lower_bound", "upper_bound", "used")


def check(outcome, scenario):
    """Compare every figure of every day, of the run, of every bank and of the system."""
    found = outcome.indicators.to_dict()
    events = outcome.events().to_pylist()
    of_day, of_bank = defaultdict(dict), defaultdict(list)
    for day, bank, sums in days_by_hand(events, scenario):
        of_day[day][bank] = sums
        of_bank[bank].append(sums)
    for day, banks in of_day.items():
        for bank, sums in banks.items():
            same(found["days"][day]["banks"][bank], sums, sums["receivers"])
        senders = {bank: sums["due"] for bank, sums in banks.items()}
        of_bank[None].append(system := added([*banks.values()]))
        same(found["days"][day]["system"], system, senders)
    for bank, days in of_bank.items():
        run, sums = found["system"] if bank is None else found["banks"][bank], added(days)
        whole = {each: sum(sums["due"] for sums in of_bank[each]) for each in scenario.agent_ids}
        same(run, sums, sums["receivers"] if bank else whole, but=SUMS)
        assert run["settled"] == sums["settled"]
        assert run["unsettled"] == days[-1]["unsettled"]
        assert run["due"] == run["settled"] + run["unsettled"]
        for name in ("lower_bound", "upper_bound", "used"):
            assert run[name] == max(day[name] for day in days)


def same(figures, sums, shares, but=()):
    assert {name: figures[name] for name in SUMS if name not in but} == {
        name: sums[name] for name in SUMS if name not in but
    }
    expected = ratios(sums, shares)
    route = expected.pop("share_by_route")
    assert {name: figures[name] for name in expected} == pytest.approx(expected)
    assert figures["share_by_route"] == pytest.approx(route)


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_the_indicators_of_any_run_are_those_of_an_independent_calculation(times):
    @on_any_scenario(10 * times)
    def holds(drawn):
        check(drawn.play("reference"), drawn.scenario)

    holds()


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_both_engines_give_the_same_indicators_and_tables(times):
    @on_any_scenario(4 * times)
    def holds(drawn):
        reference, kernel = drawn.play("reference"), drawn.play("kernel")
        assert reference.indicators.to_dict() == kernel.indicators.to_dict()
        for table in ("payments", "balances", "costs_by_tick"):
            assert getattr(reference, table)().equals(getattr(kernel, table)())

    holds()


WORKED = Path(__file__).parents[4] / "examples" / "payments" / "indicators.yaml"
OF_DAY_0 = {  # bank: due, settled, unsettled, lower, upper, used, place, delay, waited, ticks, turnover, shares, HHI
    "A": (130, 130, 0, 0, 130, 60, 60 / 130, 80 / 520, 80 / 130, (0, 1, 1), 130 / 60, (50, 0, 80), 8900 / 16900),
    "B": (80, 40, 40, 30, 30, 0, None, 40 / 110, 0, (2, 2, 3), None, (40, 0, 0), 1 / 2),
    "C": (130, 130, 0, 10, 20, 10, 0, 60 / 330, 60 / 130, (1, 1, 3), 13, (0, 60, 70), 1),
    None: (340, 300, 40, 40, 180, 70, 30 / 140, 180 / 960, 140 / 300, (1, 1, 3), 300 / 70, (90, 60, 150), 402 / 1156),
}
OF_DAY_1 = {
    "A": (30, 30, 0, 0, 0, 30, None, 0, 0, (1, 1, 1), 1, (30, 0, 0), 1),
    "B": (40, 40, 0, 10, 40, 10, 0, 40 / 160, 1, (1, 1, 1), 4, (0, 40, 0), 1),
    "C": (0, 0, 0, 0, 0, 0, None, None, None, (None, None, None), None, None, None),
    None: (70, 70, 0, 10, 40, 40, 1, 40 / 250, 40 / 70, (1, 1, 1), 70 / 40, (30, 40, 0), 25 / 49),
}
OF_RUN = {
    "B": (80, 80, 0, 30, 40, 10, -1, 80 / 270, 40 / 80, (1, 1, 2), 8, (40, 40, 0), (40**2 + 80**2) / 120**2),
    None: (370, 370, 0, 40, 180, 70, 60 / 170, 220 / 1210, 180 / 370, (1, 1, 2), 370 / 110, (120, 100, 150), None),
}


def test_two_days_that_are_worked_by_hand_in_the_docs():
    scenario = load_scenario(WORKED)
    found = play(scenario).indicators
    for day, expected in ((found.days[0], OF_DAY_0), (found.days[1], OF_DAY_1), (found, OF_RUN)):
        for bank, figures in expected.items():
            assert_is(day.system if bank is None else day.banks[bank], *figures)
    assert [found.throughput(tick, 0) for tick in range(4)] == [50 / 300, 200 / 300, 230 / 300, 1]
    assert found.throughput(1) == (200 + 70) / 370
    table = found.table()
    assert table.num_rows == 3 * 4
    assert table["used"].to_pylist() == [70, 60, 10, 10, 70, 60, 0, 10, 40, 30, 10, 0]
    assert table["day"].to_pylist() == [None] * 4 + [0] * 4 + [1] * 4


def assert_is(found, due, settled, unsettled, lower, upper, used, place, delay, waited, ticks, turnover, by_route, hhi):
    assert (found.due, found.settled, found.unsettled) == (due, settled, unsettled)
    assert (found.lower_bound, found.upper_bound, found.used) == (lower, upper, used)
    ratios = (found.place, found.delay_indicator, found.value_weighted_delay_ticks, found.turnover)
    assert ratios == pytest.approx((place, delay, waited, turnover))
    assert (found.throughput_30_tick, found.throughput_50_tick, found.throughput_80_tick) == ticks
    shares = [found.share_by_route[name] for name in ("at_once", "from_queue", "bilateral")]
    assert shares == pytest.approx([cents / settled for cents in by_route] if by_route else [None] * 3)
    assert hhi is None or found.herfindahl == pytest.approx(hhi)


def test_with_deferred_crediting_what_is_received_in_a_tick_is_not_used_in_it():
    banks = {"A": {"opening_balance": 9}, "B": {"opening_balance": 9}}
    payments = (pay("A", "B", 5), pay("B", "A", 5))
    for deferred, used in ((False, [5, 0]), (True, [5, 5])):
        found = play(make_scenario(banks, *payments, deferred_crediting=deferred)).indicators
        assert [each.used for each in found.banks.values()] == used


def test_sums_beyond_an_int64_are_exact():
    large = 2**59
    scenario = make_scenario({"A": {}, "B": {}}, pay("A", "B", large), pay("A", "B", large + 1, tick=7), ticks=100)
    system = play(scenario).indicators.system
    assert system.delay_indicator == 1.0
    assert system.due == system.unsettled == 2 * large + 1
    assert system.herfindahl == 1.0


def test_a_transfer_that_is_no_payment_is_left_out():
    transfer = once("DirectTransfer", from_agent="A", to_agent="B", amount=70)
    system = play(make_scenario({"A": {"opening_balance": 99}, "B": {}}, transfer, pay("A", "B", 5))).indicators.system
    assert (system.due, system.settled, system.used, system.upper_bound) == (5, 5, 5, 5)


def test_a_run_without_payments_has_no_ratios():
    outcome = play(make_scenario({"A": {}, "B": {}}, ticks=3))
    system = outcome.indicators.system
    assert system.due == system.used == 0
    assert system.place is system.delay_indicator is system.turnover is system.herfindahl is None
    assert set(system.share_by_route.values()) == {None}
    assert outcome.payments().num_rows == 0
    assert outcome.balances().num_rows == 6


def test_without_events_there_is_an_error_that_says_so():
    scenario = make_scenario({"A": {}, "B": {}}, pay("A", "B", 5))
    outcome = simulate(scenario, draw_arrivals(scenario))
    for name in ("payments", "balances", "costs_by_tick", "events", "to_pandas"):
        with pytest.raises(ValueError, match="no events were recorded: simulate with record_events=True"):
            getattr(outcome, name)()
    with pytest.raises(ValueError, match="no events were recorded"):
        _ = outcome.indicators


@on_any_scenario(40)
def test_settlements_alone_give_the_same_indicators(drawn):
    kinds = [int(kind) for kind in ROUTES]
    whole = drawn.play("kernel")
    for engine in ("reference", "kernel"):
        least = simulate(drawn.scenario, drawn.arrivals.sample(0), record_events="settlements", engine=engine)
        assert least.rows.tolist() == [row for row in whole.rows.tolist() if row[EventColumn.event] in kinds]
        assert least.indicators.to_dict() == whole.indicators.to_dict()


def test_where_only_settlements_were_recorded_a_table_is_refused():
    scenario = make_scenario({"A": {}, "B": {}}, pay("A", "B", 5))
    outcome = simulate(scenario, draw_arrivals(scenario), record_events="settlements")
    for name in ("payments", "balances", "costs_by_tick", "events"):
        with pytest.raises(ValueError, match="only settlements were recorded: simulate with record_events=True"):
            getattr(outcome, name)()
