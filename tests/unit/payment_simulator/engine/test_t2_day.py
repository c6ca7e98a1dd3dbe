"""The day under rules like T2's and under plain RTGS: every figure that docs/payments.md has of it."""

import re
from pathlib import Path

import pytest
from kept import sim

from payment_simulator import draw_arrivals, load_day, load_scenario, simulate

ROOT = Path(__file__).parents[4]
DAY = ROOT / "examples" / "payments" / "t2_day.yaml"
PAGE = (ROOT / "docs" / "payments.md").read_text().split("\n## A day under rules like T2's")[1].split("\n## ")[0]
ROWS = [[cell.strip() for cell in line.strip("| ").split("|")] for line in PAGE.splitlines() if "| 0" in line[:5]]
WITHOUT = {
    "classes of priority": "queue2={}",
    "reservations": "agent_defaults.reservations=null",
    "limits": "agent_defaults.limits=null",
    "offsets on entry": "lsm_config.entry_disposition_offsetting=false",
    "multilateral netting": "lsm_config.enable_multilateral=false",
}
ROUTES = {"at once": "at_once", "queue": "from_queue", "entry": "on_entry", "multilateral": "multilateral"}
TICKS = 660


@pytest.fixture(autouse=True)
def _beside_the_ledger(ledger, monkeypatch):
    monkeypatch.chdir(ledger)


def simulated(level, rules):
    """The day with one of the rules, none or all of them."""
    off = [] if rules == "together" else [change for rule, change in WITHOUT.items() if rule != rules]
    scenario = load_scenario(DAY, [*off, f"balances.level={level}"])
    return simulate(scenario, draw_arrivals(scenario), record_events=True, engine="kernel")


def delay_of(payments, priority):
    """The delay indicator of the payments of one priority, from a table of pandas."""
    those = payments[payments.priority == priority]
    waited = those.amount * (those.settled.fillna(TICKS) - those.arrived)
    return waited.sum() / (those.amount * (TICKS - those.arrived)).sum()


def millions(cents):
    return f"{cents / 1e8:.1f} M" if cents else "0"


@pytest.mark.parametrize(("level", "rules", "shown"), [(level, rules, rest) for level, rules, *rest in ROWS])
def test_a_row_of_the_table_is_what_its_rules_give(level, rules, shown):
    outcome = simulated(level, rules)
    system, payments = outcome.indicators.system, outcome.payments().to_pandas()
    delays = [system.delay_indicator, delay_of(payments, 9), delay_of(payments, 5)]
    shares = {name: system.share_by_route[key] for name, key in ROUTES.items() if system.share_by_route[key]}
    routes = ", ".join(f"{name} {share * 100:.1f}" for name, share in shares.items())
    assert shown == [millions(system.used), millions(system.unsettled), *(f"{each:.4f}" for each in delays), routes]


def test_the_table_has_each_rule_alone_at_two_levels_and_the_page_says_how_it_is_turned_off():
    assert [row[:2] for row in ROWS] == [
        [level, rules] for level in ("0.25", "0") for rules in ("plain RTGS", *WITHOUT, "together")
    ]
    assert [change for change in WITHOUT.values() if f"`--set {change}`" not in PAGE] == []


def test_limits_bind_between_eight_pairs_and_stop_more_than_they_forbid():
    outcome = simulated("0.25", "limits")
    payments, events = outcome.payments().to_pandas(), outcome.events().to_pandas()
    blocked = payments[payments.payment.isin(events[events.event == "LimitBlocked"].payment)]
    unsettled, stopped = payments[payments.settled.isna()], blocked[blocked.settled.isna()]
    assert (len(blocked), len(set(zip(blocked.sender, blocked.receiver, strict=True)))) == (25, 8)
    assert (len(stopped), round(stopped.amount.sum() / 1e8)) == (5, 55)
    assert (len(unsettled) - len(stopped), round(unsettled.amount.sum() / 1e8)) == (61, 153)


def test_the_day_has_the_payments_and_the_liquidity_that_the_page_says():
    rich, poor = (load_scenario(DAY, [f"balances.level={level}"]) for level in (0.25, 0))
    opening = [sum(agent.opening_balance for agent in day.agents) for day in (rich, poor)]
    reserved = [agent for agent in rich.agents if agent.opening_balance < agent.reservations.urgent]
    arrivals = draw_arrivals(rich)
    urgent = arrivals.amount[arrivals.priority == 9].sum() / arrivals.amount.sum()
    assert (len(rich.agents), len(arrivals), round(arrivals.amount.sum() / 1e8)) == (40, 49_462, 2_923)
    assert ([round(each / 1e8) for each in opening], len(reserved), round(urgent, 2)) == ([263, 219], 11, 0.1)
    assert [f"{size} M" in PAGE for size in (263, 219)] == [True, True]


def test_the_commands_of_the_page_print_what_it_shows(tmp_path, ledger):
    commands = re.findall(r"^\$ payment-sim (.+)$", PAGE, re.M)
    places = {"examples/payments/": f"{DAY.parent}/", "results/": f"{tmp_path}/"}
    shown = "\n".join(_run(command, places) for command in commands)
    wanted = re.search(r"^```text\n(.*?)^```", PAGE, re.S | re.M).group(1)
    assert wanted in shown
    by_priority = dict(_asked(re.search(r"^```sql\n(.*?)^```", PAGE, re.S | re.M).group(1), places))
    payments = load_day(tmp_path / "t2").payments.to_pandas()
    assert by_priority == pytest.approx({priority: delay_of(payments, priority) for priority in (5, 9)})


def _run(command, places):
    ended = sim(*_placed(command, places).split())
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def _asked(query, places):
    duckdb = pytest.importorskip("duckdb")
    return duckdb.sql(_placed(query, places)).fetchall()


def _placed(text, places):
    for name, place in places.items():
        text = text.replace(name, place)
    return text
