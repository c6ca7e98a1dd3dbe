"""Two kept days compared, worked by hand; rows matched by name, on any names."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kept import outcome_of, sim

from payment_simulator import load_day, save_day
from payment_simulator.days.comparing import compare_days
from payment_simulator.days.matching import matched, shared_codes

GRIDLOCK = Path(__file__).parents[4] / "examples" / "payments" / "gridlock.yaml"
AGENTS = {"A": {"unsecured_cap": 100}, "B": {}, "C": {}}
ROWS = [
    (0, "A", "B", 100),  # p: at once in both
    (0, "A", "B", 40),  # q: with 70 of B's payments in the first, at once in the second
    (1, "B", "A", 70),  # r: alike, but for its route
    (2, "A", "C", 150),  # s: never in the first
    (3, "C", "B", 7),  # t: never in the first, as C has nothing
]
IDS = ["p", "q", "r", "s", "t"]
DELAY = {"costs": {"delay_cost_per_tick_per_cent": 0.1}}


def keep(folder, agents=AGENTS, rows=ROWS, ids=IDS, ticks=5, **further):
    return save_day(outcome_of(agents, rows, ids=ids, ticks=ticks, **DELAY, **further), folder)


def compared(*folders, **options):
    return compare_days(*map(load_day, folders), **options)


def counts(found):
    return {name: (each.count, each.value) for name, each in found.payments.groups().items() if each and each.count}


def names(group):
    return [row["id"] for row in group.listed]


def test_two_days_of_one_scenario_are_equal_to_the_cent(tmp_path):
    found = compared(keep(tmp_path / "one"), keep(tmp_path / "other"))
    assert (found.equal, found.settings, counts(found), found.banks) == (True, {}, {}, [])
    assert (found.payments.matched, found.balances.ticks, found.balances.cells) == (5, 5, 0)
    assert {each.difference for each in found.totals} <= {0, None}
    ended = sim("compare", tmp_path / "one", tmp_path / "other")
    assert (ended.exit_code, "The two days are equal to the cent" in ended.stdout) == (0, True)
    assert json.loads(sim("compare", tmp_path / "one", tmp_path / "other", "--json").stdout)["equal"] is True


def test_more_credit_for_one_bank_shows_in_payments_costs_and_balances(tmp_path):
    """With 300 of credit A pays 40 in tick 0, not 1, and 150 in tick 2, with which C can pay its 7."""
    more = {**AGENTS, "A": {"unsecured_cap": 300}}
    found = compared(keep(tmp_path / "one"), keep(tmp_path / "other", more))
    assert not found.equal
    assert found.settings == {"agents.A.unsecured_cap": (100, 300)}
    assert counts(found) == {"settled_only_in_second": (2, 157), "settled_earlier": (1, 40)}
    assert names(found.payments.settled_only_in_second) == ["s", "t"]
    row = {"id": "q", "sender": "A", "receiver": "B", "amount": 40, "arrived": 0}
    assert found.payments.settled_earlier.listed == [row | {"settled": [1, 0], "route": ["from_queue", "at_once"]}]
    # 40 wait for one tick, 150 for three, 7 for two, a tenth of a cent a cent and tick
    assert [(each.bank, each.first, each.second, each.by_kind) for each in found.banks] == [
        ("A", 49, 0, {"delay": -49}),
        ("C", 1 + 1, 0, {"delay": -2}),
    ]
    balances = found.balances
    assert (balances.tick, balances.bank, balances.first, balances.second) == (0, "A", -100, -140)
    totals = {each.name: (each.first, each.second, each.difference) for each in found.totals}
    assert totals["total_cost"] == (51, 0, -51)
    assert totals["settled_value"] == (210, 367, 157)
    assert totals["indicators.unsettled"] == (157, 0, -157)


def test_the_example_of_the_docs_is_as_it_is_worked_there(tmp_path):
    monday, without = tmp_path / "monday", tmp_path / "without"
    assert sim("run", GRIDLOCK, "-o", monday).exit_code == 0
    assert sim("run", monday, "--set", "lsm_config.enable_cycles=false", "-o", without).exit_code == 0
    found = compared(monday, without)
    assert found.settings == {"lsm_config.enable_cycles": (True, False)}
    assert [(each.bank, each.first, each.second, each.difference) for each in found.banks] == [
        ("BANK_A", 200, 400, 200),
        ("BANK_B", 100, 300, 200),
        ("BANK_C", 0, 200, 200),
    ]
    assert counts(found) == {"settled_only_in_first": (3, 30_000)}
    assert (found.balances.cells, found.equal) == (0, False)


def test_a_day_of_other_banks_and_payments_is_compared_in_what_both_have(tmp_path):
    others = {"A": AGENTS["A"], "B": {}, "D": {}}
    rows = [*ROWS[:2], (1, "B", "A", 71), (2, "A", "D", 5)]
    keep(tmp_path / "one")
    found = compared(tmp_path / "one", keep(tmp_path / "other", others, rows, ["p", "q", "r", "u"]))
    assert (found.banks_only_in_first, found.banks_only_in_second, found.settings) == (["C"], ["D"], {})
    assert names(found.payments.only_in_first) == ["s", "t"]
    assert names(found.payments.only_in_second) == ["u"]
    assert found.payments.facts.listed == [
        {"id": "r", "sender": "B", "receiver": "A", "amount": [70, 71], "arrived": 1, "settled": 1, "route": "at_once"}
    ]
    shown = sim("compare", tmp_path / "one", tmp_path / "other").stdout
    assert "1 bank only in the first: C\n1 bank only in the second: D\nThe others are compared" in shown
    assert "only in the first" in shown
    assert "70 / 71" in shown


def test_days_of_different_length_are_not_compared_tick_by_tick(tmp_path):
    keep(tmp_path / "one")
    found = compared(tmp_path / "one", keep(tmp_path / "other", ticks=6))
    assert (found.balances, found.payments.settled_later, found.payments.settled_earlier) == (None, None, None)
    assert counts(found) == {}
    shown = sim("compare", tmp_path / "one", tmp_path / "other").stdout
    assert "A day has 5 ticks in the first and 6 in the second: times and balances are not compared" in shown
    longer = compared(tmp_path / "one", keep(tmp_path / "days", days=2))
    assert (longer.balances.ticks, longer.balances.cells, longer.settings) == (5, 0, {"simulation.num_days": (1, 2)})


def test_all_that_differ_are_listed_where_asked_for(tmp_path):
    rows = [(0, "A", "B", 1)] * 30
    first = keep(tmp_path / "one", rows=rows, ids=None)
    second = keep(tmp_path / "other", {**AGENTS, "A": {}}, rows, None)
    assert len(compared(first, second).payments.settled_only_in_first.listed) == 10
    assert len(compared(first, second, listed=None).payments.settled_only_in_first.listed) == 30
    assert "(the first 10 of 30)" in sim("compare", first, second).stdout
    assert "A-29" in sim("compare", first, second, "--all").stdout


def test_days_without_payments_and_one_day_twice_are_compared(tmp_path):
    empty = keep(tmp_path / "empty", rows=[], ids=[])
    assert compared(empty, empty).equal
    assert not compared(empty, keep(tmp_path / "other")).equal
    assert "These are one folder" in sim("compare", empty, empty).stdout


NAMES = st.lists(st.sampled_from([None, "", "a", "b", "ä", "c" * 40]), max_size=12)


@settings(max_examples=60, deadline=None)
@given(NAMES, NAMES)
def test_rows_are_matched_by_name_and_those_of_one_name_in_order(first, second):
    expected = []
    for place, name in enumerate(first):
        rows = [row for row, each in enumerate(second) if each == name]
        before = first[:place].count(name)
        expected.append(rows[before] if before < len(rows) else -1)
    one, other = (pa.chunked_array([each[:3], each[3:]], pa.string()) for each in (first, second))
    assert matched(one, other).tolist() == expected
    codes = shared_codes(one, other)
    assert [[a == b for b in codes[1]] for a in codes[0]] == [[a == b for b in second] for a in first]


def test_settings_of_many_banks_are_one_row_and_events_are_told_by_what_they_are():
    from payment_simulator.cli.compare_settings import setting_rows
    from payment_simulator.scenario.money import MoneyStyle

    outage = {"type": "Outage", "agent": "A", "start_tick": 3, "end_tick": 5}
    transfer = {"type": "DirectTransfer", "from_agent": "A", "to_agent": "B", "schedule": {"tick": 2}}
    banks = {f"agents.B{n}.opening_balance": (n, 10 * n) for n in range(4)}
    found = {"seed": (1, 2), **banks, "agents.B0.policy.type": ("Fifo", "Deadline")}
    rows = setting_rows({**found, "scenario_events": ([outage], [outage, transfer])}, MoneyStyle(in_cents=True))
    assert rows == [
        ("seed", "1", "2"),
        ("opening_balance of 4 banks, all together", "6", "60"),
        ("agents.B0.policy.type", "Fifo", "Deadline"),
        ("scenario_events", "", "DirectTransfer A->B tick 2"),
    ]
    assert setting_rows({"scenario_events[0]": (outage, None)}, MoneyStyle(in_cents=True)) == [
        ("scenario_events[0]", "Outage A tick 3 to 5", "")
    ]


def test_days_are_equal_only_where_every_row_of_their_tables_is(tmp_path):
    posts = {"type": "CollateralAdjustment", "agent": "A", "delta": 10}
    rich = {"A": {"unsecured_cap": 1000, "max_collateral_capacity": 50}, "B": {}, "C": {}}
    costs = {"costs": {"collateral_cost_per_tick_bps": 100}}
    at = [{**posts, "schedule": {"type": "OneTime", "tick": tick}} for tick in (0, 2)]
    days = [save_day(outcome_of(rich, ROWS, each, ticks=5, **costs), tmp_path / str(n)) for n, each in enumerate(at)]
    found = compared(*days)
    assert not found.equal
    assert "balances.posted_collateral" in found.columns
    assert "Columns that differ, row by row: balances." in sim("compare", *days).stdout

    rows = [(0, "A", "B", 50), (0, "B", "C", 50)]
    funded = {"A": {"unsecured_cap": 50}, "B": {"unsecured_cap": 50}, "C": {}}
    orders = ((tmp_path / "x", rows, ["p", "q"]), (tmp_path / "y", rows[::-1], ["q", "p"]))
    swapped = compared(*(keep(folder, funded, each, ids) for folder, each, ids in orders))
    assert (swapped.columns, swapped.payments.equal, swapped.equal) == ([], True, False)
    assert {each.name: each.difference for each in swapped.totals}["indicators.used"] == 50  # B pays before it is paid


def test_a_run_with_other_policies_is_kept_with_them_and_simulated_again_to_the_same_tables(tmp_path):
    from payment_simulator import draw_arrivals, load_policy, load_scenario, simulate

    (tmp_path / "hold.json").write_text(
        '{"version": "1", "policy_id": "h", "payment_tree": {"type": "action", "action": "Hold"}}'
    )
    scenario = load_scenario(GRIDLOCK)
    arrivals = draw_arrivals(scenario)
    held = simulate(scenario, arrivals, [load_policy(tmp_path / "hold.json")] * 3, record_events=True)
    day = load_day(save_day(held, tmp_path / "day"))
    again = simulate(day.scenario, day.arrivals, record_events=True)
    assert int(held.settled.sum()) == int(again.settled.sum()) == 0
    assert held.total_cost.tolist() == again.total_cost.tolist()
    assert sim("run", tmp_path / "day", "-o", tmp_path / "other").exit_code == 0
    assert compared(tmp_path / "day", tmp_path / "other").equal


def test_another_amount_is_no_other_way_to_settle(tmp_path):
    rich = {**AGENTS, "A": {"unsecured_cap": 1_000}, "C": {"unsecured_cap": 9}}
    found = compared(keep(tmp_path / "one", rich), keep(tmp_path / "other", rich, [(0, "A", "B", 101), *ROWS[1:]]))
    assert counts(found) == {"facts": (1, 100)}
    assert found.payments.facts.listed[0]["amount"] == [100, 101]


def test_another_priority_or_deadline_is_told_with_the_payment(tmp_path):
    header = "time,sender,receiver,amount,priority,deadline\n"
    for name, row in (("one", "5,9"), ("other", "7,8")):
        (tmp_path / f"{name}.csv").write_text(f"{header}0,A,B,3,{row}\n")
        text = "simulation: {ticks_per_day: 10}\nagents: from_payments\nagent_defaults: {unsecured_cap: 900}\n"
        (tmp_path / f"{name}.yaml").write_text(f"{text}payments: {{file: {name}.csv}}\n")
        assert sim("run", tmp_path / f"{name}.yaml", "-o", tmp_path / name).exit_code == 0
    shown = sim("compare", tmp_path / "one", tmp_path / "other").stdout
    assert "deadline 9 / 8, priority 5 / 7" in " ".join(shown.split())


def older(folder, drop):
    """A day as an earlier version kept it: without what `drop` takes out of its report."""
    path = folder / "outcome.json"
    document = json.loads(path.read_text())
    drop(document["report"])
    path.write_text(json.dumps(document))


def test_what_an_earlier_version_did_not_keep_makes_no_difference_and_is_told_with_the_reason(tmp_path):
    def drop(report):
        del report["cycle_search_cuts"]
        for indicators in (report["indicators"]["system"], *report["indicators"]["banks"].values()):
            del indicators["share_by_route"]["batch"]

    first, second = keep(tmp_path / "one"), keep(tmp_path / "other")
    older(first, drop)
    for days, which in (((first, second), "first"), ((second, first), "second")):
        with pytest.warns(UserWarning, match="was changed after it was saved"):
            found = compared(*days)
        assert found.equal
        assert [*found.not_compared] == ["cycle_search_cuts", "indicators.share_by_route.batch"]
        assert {each.name for each in found.totals}.isdisjoint(found.not_compared)
        shown = " ".join(sim("compare", *days).stdout.split())
        assert "The two days are equal to the cent" in shown
        assert f"Not compared: cycle search cuts, share batch: not kept in the {which}, which `payment-sim run" in shown


def test_indicators_that_one_day_does_not_know_are_not_compared_for_its_reason(tmp_path):
    first, second = keep(tmp_path / "one"), keep(tmp_path / "other")
    older(second, lambda report: report.update(indicators=None, indicators_unknown="too many payments"))
    with pytest.warns(UserWarning, match="was changed"):
        found = compared(first, second)
    assert found.equal
    assert {*found.not_compared.values()} == {"unknown in the second: too many payments"}


def test_figures_that_differ_never_look_equal(tmp_path):
    """The payments are of a currency without decimals: 8,000 of 1.18 billion do not show in three digits."""
    amounts = (1_181_234_500, 1_181_242_500)
    folders = [
        keep(tmp_path / str(amount), {"A": {"unsecured_cap": 2 * amount}, "B": {}}, [(0, "A", "B", amount)], ["p"])
        for amount in amounts
    ]
    shown = sim("compare", *folders, "--all").stdout
    rows = [re.split(r" {2,}", line.strip()) for line in shown.splitlines()]
    table = {row[0]: row[1:] for row in rows if len(row) == 4}
    assert table["settled value"] == table["peak use"] == ["1.18123 bn", "1.18124 bn", "+8,000"]
    assert "1.18123 bn / 1.18124 bn" in shown
    assert "used" not in table


def test_events_that_differ_in_a_value_are_told_by_it_and_other_events_in_words(tmp_path):
    text = "simulation: {ticks_per_day: 4}\nagents: [{id: A, opening_balance: 90}, {id: B}]\n"
    text += "scenario_events:\n- {type: DirectTransfer, from_agent: A, to_agent: B, amount: %s, "
    text += "schedule: {type: OneTime, tick: 1}}\n"
    other = "- {type: Outage, agent: A, start_tick: 1, end_tick: 2}\n"
    texts = {"one": text % 5, "more": text % 7, "out": text.partition("- {type: Dir")[0] + other}
    for name, each in texts.items():
        (tmp_path / f"{name}.yaml").write_text(each)
        assert sim("run", tmp_path / f"{name}.yaml", "-o", tmp_path / name).exit_code == 0
    shown = " ".join(sim("compare", tmp_path / "one", tmp_path / "more").stdout.split())
    assert "scenario_events[0].amount 5 7 " in shown
    shown = " ".join(sim("compare", tmp_path / "one", tmp_path / "out").stdout.split())
    assert "scenario_events DirectTransfer A->B tick 1 Outage A tick 1 to 2 " in shown
