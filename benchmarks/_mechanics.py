"""What each of the settlement engine's mechanics costs where it is on, beside the same day without it."""

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from _days import TIGHT, bank_names, cpu_s, ready, scenario

from payment_simulator.engine.outcome import Outcome
from payment_simulator.engine.simulate import simulate

OF_PAYMENTS = {"priority_distribution": {"type": "Uniform", "min": 0, "max": 10}}
MEAN_PAYMENT = 10_000
OFF = "all off"


class Day(NamedTuple):
    """A day, by its number of banks, ticks, payments of a bank in a tick, and cents that a bank begins with."""

    banks: int
    ticks: int
    rate: float
    balance: int


DAYS = {"tight": Day(50, 1_000, 0.5, TIGHT), "loaded": Day(50, 1_000, 2, 50 * MEAN_PAYMENT)}
"""Two mean payments a bank, so that many queue; and many payments, of which a few do."""
SMALL = {name: day._replace(banks=10, ticks=150) for name, day in DAYS.items()}
"""For a test that all of it works."""

Sections = dict[str, Any]


def _limits(most: int, day: Day) -> Sections:
    to_each = dict.fromkeys(bank_names(day.banks), most)
    return {"of_banks": {"limits": {"bilateral_limits": to_each}}}


def _reserved(urgent: int, normal: int) -> Sections:
    return {"of_banks": {"reservations": {"urgent": urgent, "normal": normal}}}


def _offsets(**keys: Any) -> Sections:
    return {"lsm_config": keys}


def _every(ticks: int, day: Day, *, rtgs: bool) -> Sections:
    return {"netting_batches": list(range(ticks - 1, day.ticks, ticks)), "rtgs": rtgs}


def _outages(day: Day) -> Sections:
    """A tenth of the banks is out, one after the other, each for a fifth of the day; others stop after five ticks."""
    long = day.ticks // 5
    out = [
        {"type": "Outage", "agent": name, "start_tick": number * long // 2, "end_tick": number * long // 2 + long - 1}
        for number, name in enumerate(bank_names(max(day.banks // 10, 1)))
    ]
    return {"scenario_events": out, "outage_response": {"stop_sending_after": 5}}


def _policy(payment_tree: Any, **trees: Any) -> Sections:
    document = {"version": "1", "policy_id": "of the benchmark", "payment_tree": payment_tree, **trees}
    return {"of_banks": {"policy": {"type": "FromJson", "document": document}, "max_collateral_capacity": 10**6}}


def _act(action: str, **parameters: Any) -> Any:
    return {"type": "action", "action": action, "parameters": parameters}


def _if(left: str, op: str, right: Any, then: Any, other: Any) -> Any:
    compared = {"op": op, "left": {"field": left}, "right": right}
    return {"type": "condition", "condition": compared, "on_true": then, "on_false": other}


COVERED = _if("effective_liquidity", ">=", {"field": "amount"}, _act("Release"), _act("Hold"))
"""What fits is released."""
RELEASE = _act("Release")
QUEUED = {"field": "queue2_own_value"}
POST = _if("queue2_own_value", ">", 0, _act("PostCollateral", amount=QUEUED), _act("HoldCollateral"))
POST_FOR_5 = _if(
    "queue2_own_value",
    ">",
    0,
    _act("PostCollateral", amount=QUEUED, auto_withdraw_after_ticks=5),
    _act("HoldCollateral"),
)
WITHDRAW = _if(
    "excess_collateral",
    ">",
    0,
    _act("WithdrawCollateral", amount={"field": "excess_collateral"}),
    _act("HoldCollateral"),
)
BUDGET = _act("SetReleaseBudget", max_value_to_release=3 * MEAN_PAYMENT, max_per_counterparty=2 * MEAN_PAYMENT)
ESCALATION = {"priority_escalation": {"start_escalating_at_ticks": 20, "max_boost": 3}}

MECHANICS: dict[str, Callable[[Day], Sections]] = {
    "limits to each, never reached": partial(_limits, 10**12),
    "limits to each": partial(_limits, 5 * MEAN_PAYMENT),
    "limit to all": lambda day: {"of_banks": {"multilateral_limit": day.balance // 2}},
    "reservations": lambda day: _reserved(day.balance // 4, day.balance // 4),
    "queue2 in bands": lambda _: {"queue2": {"order": "bands"}},
    "queue2 fifo": lambda _: {"queue2": {"order": "fifo"}},
    "queue2 strict": lambda _: {"queue2": {"release": "strict"}},
    "queue2 fifo and strict": lambda _: {"queue2": {"order": "fifo", "release": "strict"}},
    "queue2 passed once a tick": lambda _: {"queue2_passes": "once"},
    "queue1 by priority and deadline": lambda _: {"queue1_ordering": "priority_deadline"},
    "escalation": lambda _: ESCALATION,
    "pairs and cycles": lambda _: _offsets(enable_bilateral=True, enable_cycles=True),
    "offsets on entry": lambda _: _offsets(entry_disposition_offsetting=True),
    "multilateral netting": lambda _: _offsets(enable_multilateral=True),
    "batches every 10 ticks": partial(_every, 10, rtgs=True),
    "batches alone (rtgs: false)": partial(_every, 10, rtgs=False),
    "outages, others respond": _outages,
    "a payment tree": lambda _: _policy(COVERED),
    "a collateral tree": lambda _: _policy(RELEASE, collateral_tree=POST),
    "collateral trees, both": lambda _: _policy(RELEASE, collateral_tree=POST, end_of_tick_collateral_tree=WITHDRAW),
    "a collateral tree with timers": lambda _: _policy(RELEASE, collateral_tree=POST_FOR_5),
    "budgets, by counterparty too": lambda _: _policy(RELEASE, bank_tree=BUDGET),
}
"""What turns on each mechanic alone; payments have priorities 0 to 10 alike on every day."""


class Timed(NamedTuple):
    """A mechanic's day: its time over that of the day without it, pair by pair, and what came of it."""

    ratios: list[float]
    outcome: Outcome


def measured(day: Day, repeats: int) -> tuple[float, dict[str, Timed]]:
    """Return the seconds of the day with all off, and each mechanic's day: off and on in turns, the first in turns too.

    The first of all is "all off" against itself, which says how much a ratio means.
    """
    made = {OFF: lambda _: {}, **MECHANICS}
    runs = {}
    for name, sections in made.items():
        of_day = scenario(day.banks, day.rate, day.ticks, day.balance, False, of_payments=OF_PAYMENTS, **sections(day))
        runs[name] = partial(simulate, *ready(of_day), engine="kernel")
    outcomes = {name: run() for name, run in runs.items()}
    ratios: dict[str, list[float]] = {name: [] for name in runs}
    off_s = []
    for number in range(repeats):
        for name, run in runs.items():
            turn = [runs[OFF], run] if number % 2 else [run, runs[OFF]]
            first_s, second_s = cpu_s(turn[0]), cpu_s(turn[1])
            off, on = (first_s, second_s) if number % 2 else (second_s, first_s)
            off_s.append(off)
            ratios[name].append(on / off)
    return statistics.median(off_s), {name: Timed(ratios[name], outcomes[name]) for name in runs}


def mechanics(repeats: int, days: dict[str, Day]) -> None:
    """Print a table of each day: the median of each mechanic's ratios, and their middle half."""
    for name, day in days.items():
        off_s, found = measured(day, repeats)
        size = f"{day.banks} banks, {day.ticks:,} ticks, {found[OFF].outcome.arrived.sum():,} payments"
        head = f"{name}: {size}, {day.balance:,} cents a bank; all off: {off_s * 1e3:.2f} ms"
        print(f"\n{head}\n{'alone':<33} {'time':>8}   {'middle half':>14} {'settled':>9} {'mean delay':>11}")
        for mechanic, (ratios, outcome) in found.items():
            low, median, high = statistics.quantiles(ratios, n=4)
            half, settled = f"{low:.2f} to {high:.2f}", outcome.settled.sum()
            share, delay = settled / outcome.arrived.sum(), outcome.delay_ticks.sum() / settled
            print(f"{mechanic:<33} {median:>6.2f} x   {half:>14} {share:>9.2%} {delay:>11.2f}", flush=True)
