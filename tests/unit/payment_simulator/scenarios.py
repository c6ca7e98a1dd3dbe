"""Scenarios for tests: any at all, drawn by hypothesis, and small ones that are written by hand."""

from collections import Counter
from dataclasses import dataclass
from itertools import count, groupby
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payment_simulator import Scenario, draw_arrivals, simulate
from payment_simulator.engine.outcome import Outcome
from payment_simulator.policy.derived_fields import known_fields
from payment_simulator.policy.fields_and_actions import (
    ACTIONS,
    COMPARISONS,
    MANY_SIDED,
    ONE_SIDED,
    REFERENCE_ACTIONS,
    REFERENCE_FIELDS,
    TREE_KINDS,
    TWO_SIDED,
)
from payment_simulator.policy.tree import MAX_PIECES
from payment_simulator.scenario.arrivals import Arrivals

# By hand


def make_scenario(agents, *events, ticks=1, days=1, costs=None, lsm=None, **further):
    """A scenario of `agents`, fields by id, in which `events` happen."""
    return Scenario.model_validate(
        {
            "simulation": {"ticks_per_day": ticks, "num_days": days},
            "agents": [{"id": name, **fields} for name, fields in agents.items()],
            "cost_rates": costs or {},
            "lsm_config": lsm or {},
            "scenario_events": list(events),
            **further,
        }
    )


def once(kind, tick=0, **fields):
    """A scenario event of this type, in one tick."""
    return {"type": kind, "schedule": {"type": "OneTime", "tick": tick}, **fields}


def pay(sender, receiver, amount, tick=0, deadline=100, **fields):
    """A payment that arrives in `tick` and has `deadline` ticks from then."""
    names = {"from_agent": sender, "to_agent": receiver}
    return once("CustomTransactionArrival", tick, **names, amount=amount, deadline=deadline, **fields)


def act(action, **parameters):
    """A tree that is one action; numbers stand for values."""
    return {"type": "action", "action": action, "parameters": parameters}


def ask(field, op, value, on_true, on_false):
    """A tree that compares a field with a number."""
    condition = {"op": op, "left": {"field": field}, "right": {"value": value}}
    return {"type": "condition", "condition": condition, "on_true": on_true, "on_false": on_false}


def play(scenario, engine="reference", **options):
    """One run, its events recorded."""
    return simulate(scenario, draw_arrivals(scenario), record_events=True, engine=engine, **options)


def happened(outcome, *kinds):
    """Events of these kinds: (tick, kind, agent, counterparty, amount)."""
    rows = outcome.events().to_pylist()
    return [
        (row["tick"], row["event"], row["agent"], row["counterparty"], row["amount"])
        for row in rows
        if row["event"] in kinds
    ]


NETTED = ("LsmMultilateralOffset", "LsmBatchSettlement")
SETTLEMENTS = (
    "SettledImmediately",
    "SettledFromQueue",
    "LsmEntryOffset",
    "LsmBilateralOffset",
    "LsmCycleSettlement",
    *NETTED,
)


def settled(outcome):
    """Every settlement: (tick, kind, agent, counterparty, amount)."""
    return happened(outcome, *SETTLEMENTS)


def charged(outcome, bank, kind):
    """Return a bank's charges of one kind of cost, by tick."""
    rows = outcome.events().to_pylist()
    return {row["tick"]: row["amount"] for row in rows if row["agent"] == bank and row["cost"] == kind}


def costs_of(outcome, bank):
    """A bank's costs that are not 0, by kind."""
    return {kind: cents for kind, cents in outcome.agents()[bank]["costs"].items() if cents}


def computed(op, *sides, **named):
    """A value that a tree works out of its sides."""
    names = ("left", "right") if len(sides) == 2 else ("value",)
    return (
        {"compute": {"op": op, **dict(zip(names, sides, strict=True)), **named}}
        if sides
        else {"compute": {"op": op, **named}}
    )


def trees(payment_tree=None, **further):
    """A policy document with these decision trees."""
    return {"version": "1", "policy_id": "a", "payment_tree": payment_tree or act("Release"), **further}


def agents(policy, **fields):
    """Two banks, of which A has this policy."""
    return {"A": {"policy": policy, **fields}, "B": {}}


def released(outcome):
    """Every release: (tick, amount)."""
    return [(row[0], row[4]) for row in happened(outcome, "Submitted")]


# What events say


@dataclass
class Moment:
    """The banks' balances and queues at a moment of a run, from its events."""

    tick: int
    balance: dict[str, int]
    posted: dict[str, int]
    cap: dict[str, int]


def at_once(events):
    """Lists of the events that happen at once: the payments of an offset, or a single event."""
    number = count()
    for _, rows in groupby(events, lambda row: (row["offset"], None if row["offset"] is not None else next(number))):
        yield [*rows]


def replayed(events, scenario):
    """The moments after every event that moved money or collateral; all payments of an offset move together."""
    balance = {agent.id: agent.opening_balance for agent in scenario.agents}
    posted = {agent.id: agent.posted_collateral for agent in scenario.agents}
    cap = {agent.id: agent.unsecured_cap for agent in scenario.agents}
    for rows in at_once(events):
        net: Counter[str] = Counter()
        for row in rows:
            kind, bank, cents = row["event"], row["agent"], row["amount"]
            if kind in ("Transfer", *SETTLEMENTS):
                net[bank] -= cents
                net[row["counterparty"]] += cents
            elif kind in ("LiquidityAllocated", "CreditApplied", "BalanceReset"):
                balance[bank] += cents
            elif kind in ("CollateralPosted", "CollateralWithdrawn"):
                posted[bank] += cents if kind == "CollateralPosted" else -cents
            elif kind == "CreditLimitChanged":
                cap[bank] = cents
        for bank, change in net.items():
            balance[bank] += change if change < 0 or not scenario.deferred_crediting else 0
        yield Moment(row["tick"], dict(balance), dict(posted), dict(cap))


# Any at all


@dataclass(frozen=True)
class DrawnScenario:
    """A scenario, the document that says it, and three samples of its payments."""

    document: dict[str, Any]
    scenario: Scenario
    arrivals: Arrivals

    def play(self, engine, sample=0) -> Outcome:
        return simulate(self.scenario, self.arrivals.sample(sample), record_events=True, engine=engine)


SAMPLES = 3
REGISTERS = ["bank_state_x", "bank_state_y"]
NUMBERS = st.sampled_from([0, 1, 2, 3, 5, 9, 100, 1000, 0.5, -1, 2.5, 1e18, -1e18, 1e299, -1e299])
RATES = st.sampled_from([0, 0.2, 0.0125, 0.29])
BPS = st.sampled_from([0, 83, 1.5, 12.5, 100 / 3])
FRACTIONS = st.sampled_from([0, 0.29, 0.3, 0.5, 0.77, 1])
PENALTIES = st.sampled_from([0, 7, {"mode": "fixed", "amount": 5}, {"mode": "rate", "bps_per_event": 33.3}])
AMOUNTS = st.sampled_from(
    [
        {"type": "Uniform", "min": 1, "max": 300},
        {"type": "LogNormal", "mean": 200, "std_dev": 150},
        {"type": "Exponential", "mean": 150},
        {"type": "Normal", "mean": 100, "std_dev": 80},
    ]
)
PRIORITIES = st.sampled_from(
    [
        {},
        {"priority": 8},
        {"priority_distribution": {"type": "Uniform", "min": 0, "max": 10}},
        {"priority_distribution": {"type": "Categorical", "values": [1, 5, 9], "weights": [1, 2, 0.5]}},
    ]
)


@st.composite
def _values(draw, fields, depth):
    """A number that a tree works out."""
    kind = draw(st.sampled_from(["field", "field", "value", "param", "plain"] + ["compute"] * (3 if depth else 0)))
    if kind != "compute":
        simple = {"field": st.sampled_from(fields), "param": st.just("p"), "value": NUMBERS, "plain": NUMBERS}
        found = draw(simple[kind])
        return found if kind == "plain" else {kind: found}
    inner = _values(fields, depth - 1)
    op = draw(st.sampled_from([*TWO_SIDED, *MANY_SIDED, *ONE_SIDED, "clamp"]))
    if op in MANY_SIDED:
        return {"compute": {"op": op, "values": draw(st.lists(inner, min_size=1, max_size=3))}}
    sides = ("left", "right") if op in TWO_SIDED else ("value", "min", "max") if op == "clamp" else ("value",)
    return {"compute": {"op": op, **{side: draw(inner) for side in sides}}}


@st.composite
def _conditions(draw, fields, depth):
    op = draw(st.sampled_from([*COMPARISONS] + ["and", "or", "not"] * (depth > 0)))
    if op == "not":
        return {"op": op, "condition": draw(_conditions(fields, depth - 1))}
    if op in ("and", "or"):
        return {"op": op, "conditions": draw(st.lists(_conditions(fields, depth - 1), min_size=1, max_size=3))}
    return {"op": op, "left": draw(_values(fields, 1)), "right": draw(_values(fields, 1))}


def _is_no_refused_number_of_pieces(value):
    return (value.get("value", 0) if isinstance(value, dict) else value) <= MAX_PIECES


def _budgets(values):
    """A budget of a tick or until it is set again, to each bank so much, perhaps for some banks alone."""
    amounts = st.integers(0, 1000) | values
    total = st.one_of(st.fixed_dictionaries({name: amounts}) for name in ("amount", "max_value_to_release"))
    further = st.fixed_dictionaries(
        {"max_per_counterparty": st.sampled_from([0, 100, 400]) | values},
        optional={"focus_counterparties": st.lists(st.sampled_from(["B0", "B1"]), unique=True)},
    )
    return st.tuples(total, further).map(lambda both: both[0] | both[1])


FURTHER = {
    "Release": lambda _: st.fixed_dictionaries({"priority_flag": st.sampled_from(["HIGH", "MEDIUM", "LOW"])}),
    "PostCollateral": lambda values: st.fixed_dictionaries(
        {"amount": st.integers(0, 500), "auto_withdraw_after_ticks": st.integers(-1, 6) | values}
    ),
    "SetReleaseBudget": _budgets,
}


@st.composite
def _trees(draw, kind, depth):
    fields = [*(each for each in known_fields(kind) if each not in REFERENCE_FIELDS), *REGISTERS]
    if depth and draw(st.booleans()):
        below = _trees(kind, depth - 1)
        found = {"condition": draw(_conditions(fields, 2)), "on_true": draw(below), "on_false": draw(below)}
        return {"type": "condition", **found}
    action = draw(st.sampled_from(sorted({*ACTIONS[kind]} - {*REFERENCE_ACTIONS})))
    given_for = {
        "key": st.sampled_from(REGISTERS),
        "num_splits": st.sampled_from([2, 3]) | _values(fields, 1).filter(_is_no_refused_number_of_pieces),
        "priority": st.integers(-1, 12) | _values(fields, 1),
        "amount": st.integers(0, 1000) | _values(fields, 1),
        "value": _values(fields, 1),
    }
    given = {name: draw(given_for[name]) for name in ACTIONS[kind][action]}
    if action in FURTHER and draw(st.booleans()):
        given = draw(FURTHER[action](_values(fields, 1)))
    return act(action, **given)


@st.composite
def _documents(draw):
    """A policy of trees."""
    found = {"version": "1", "policy_id": "any", "parameters": {"p": draw(st.sampled_from([2, 0.5]))}}
    found["payment_tree"] = draw(_trees("payment_tree", 3))
    for kind in TREE_KINDS[1:]:
        if draw(st.booleans()):
            found[kind] = draw(_trees(kind, 2))
    if draw(st.booleans()):
        found["parameters"]["initial_liquidity_fraction"] = draw(FRACTIONS)
    return found


POLICIES = st.one_of(
    st.fixed_dictionaries(
        {}, optional={"parameters": st.fixed_dictionaries({"initial_liquidity_fraction": FRACTIONS})}
    ),
    st.fixed_dictionaries({"type": st.just("Deadline"), "urgency_threshold": st.integers(-1, 5)}),
    st.fixed_dictionaries(
        {
            "type": st.just("LiquidityAware"),
            "target_buffer": st.sampled_from([0, 100, 1000, -500]),
            "urgency_threshold": st.integers(-1, 4),
        }
    ),
    _documents(),
)


@st.composite
def _configs(draw, others, priorities):
    weights = draw(st.none() | st.fixed_dictionaries({name: st.sampled_from([0, 1, 2.5]) for name in others}))
    return {
        "rate_per_tick": draw(st.sampled_from([0.2, 1, 3])),
        "amount_distribution": draw(AMOUNTS),
        "deadline_range": draw(st.sampled_from([[0, 2], [1, 6], [0, 0]])),
        "divisible": draw(st.booleans()),
        **draw(priorities),
        **({"counterparty_weights": weights} if weights and any(weights.values()) else {}),
    }


LIMITS = st.sampled_from([0, 30, 150, 600])


def _rules(others):
    """Limits and reservations of a bank."""
    to_one = st.dictionaries(st.sampled_from(others), LIMITS, max_size=2)
    section = st.fixed_dictionaries(
        {"bilateral_limits": to_one, "measure": st.sampled_from(["net", "net", "gross"])},
        optional={"multilateral_limit": LIMITS},
    )
    reserved = st.fixed_dictionaries({}, optional={"urgent": LIMITS, "normal": LIMITS})
    bare = st.fixed_dictionaries({"bilateral_limits": to_one, "reservations": reserved})
    return st.one_of(st.fixed_dictionaries({"limits": section}, optional={"reservations": reserved}), bare)


@st.composite
def _agents(draw, name, names, tight):
    """A bank; where money is tight, most of what it sends has to wait."""
    found = {
        "id": name,
        "opening_balance": draw(st.sampled_from([0, 50] if tight else [0, 100, 1000])),
        "unsecured_cap": draw(st.sampled_from([0, 20] if tight else [0, 0, 200])),
        "liquidity_pool": draw(st.sampled_from([0, 33] if tight else [0, 500, 333])),
        "liquidity_allocation_fraction": draw(FRACTIONS),
        "posted_collateral": draw(st.sampled_from([0, 30] if tight else [0, 300])),
        "max_collateral_capacity": draw(st.sampled_from([0, 1000])),
        "collateral_haircut": draw(st.sampled_from([0, 0.1, 1 / 3, 1])),
        "policy": draw(st.just({"type": "Fifo"}) | POLICIES if tight else POLICIES),
    }
    others = [other for other in names if other != name]
    found |= draw(st.just({}) | _rules(others))
    kind = draw(st.sampled_from(["config"] if tight else ["config", "config", "bands", "none"]))
    if kind == "config":
        found["arrival_config"] = draw(_configs(others, PRIORITIES))
    elif kind == "bands":
        bands = draw(st.sets(st.sampled_from(["urgent", "normal", "low"]), min_size=1))
        found["arrival_bands"] = {band: draw(_configs(others, st.just({}))) for band in sorted(bands)}
    return found


@st.composite
def _events(draw, names, ticks):
    one, other = draw(st.permutations(names))[:2]
    kind = draw(
        st.sampled_from(
            ["CustomTransactionArrival"] * 4 + ["DirectTransfer", "CollateralAdjustment"] + LIQUIDITY + OTHERS
        )
    )
    fields = {
        "CustomTransactionArrival": {
            "from_agent": st.just(one),
            "to_agent": st.just(other),
            "amount": st.integers(1, 500),
            "priority": st.integers(0, 10),
            "deadline": st.integers(0, 4),
            "is_divisible": st.booleans(),
        },
        "DirectTransfer": {"from_agent": st.just(one), "to_agent": st.just(other), "amount": st.integers(1, 300)},
        "CollateralAdjustment": {"agent": st.just(one), "delta": st.sampled_from([-300, -50, 100, 500])},
        "CreditLimitChange": {"agent": st.just(one), "unsecured_cap": st.sampled_from([0, 20, 400])},
        "LimitChange": {"agent": st.just(one), "counterparty": st.sampled_from([None, other]), "limit": LIMITS},
        "BalanceReset": {"agent": st.just(one), "opening_balance": st.sampled_from([0, 60, 700])},
        "GlobalArrivalRateChange": {"multiplier": st.sampled_from([0, 0.5, 2])},
        "AgentArrivalRateChange": {"agent": st.just(one), "multiplier": st.sampled_from([0, 0.5, 2])},
        "CounterpartyWeightChange": {
            "agent": st.just(one),
            "counterparty": st.just(other),
            "weight": st.sampled_from([0.5, 3]),
        },
        "DeadlineWindowChange": {
            "agent": st.none() | st.just(one),
            "deadline_range": st.sampled_from([[0, 1], [2, 3]]),
        },
    }[kind]
    schedule = st.one_of(
        st.fixed_dictionaries({"type": st.just("OneTime"), "tick": st.integers(0, ticks - 1)}),
        st.fixed_dictionaries(
            {"type": st.just("Repeating"), "start_tick": st.integers(0, ticks - 1), "interval": st.integers(1, 4)}
        ),
    )
    found = {name: draw(values) for name, values in fields.items()}
    return {"type": kind, "schedule": draw(schedule), **found}


LIQUIDITY = ["CreditLimitChange", "CreditLimitChange", "BalanceReset", "LimitChange"]
OTHERS = ["GlobalArrivalRateChange", "AgentArrivalRateChange", "CounterpartyWeightChange", "DeadlineWindowChange"]


@st.composite
def _outages(draw, names, ticks):
    """Outages of some banks, of several at once; after one a bank may be out again."""
    found = []
    for name in draw(st.lists(st.sampled_from(names), unique=True, max_size=3)):
        edges = sorted(draw(st.sets(st.integers(0, ticks), min_size=2, max_size=4)))
        for begin, end in zip(edges[::2], edges[1::2], strict=False):
            until = {"start_tick": begin, "end_tick": end - 1, "incoming": draw(st.booleans())}
            found.append({"type": "Outage", "agent": name, **until})
    return found


ESCALATION = st.fixed_dictionaries({"start_escalating_at_ticks": st.integers(1, 5), "max_boost": st.integers(0, 10)})
ORDERS = ["priority", "priority", "bands", "fifo"]
RELEASE = st.sampled_from(["bypass", "bypass", "strict"])
QUEUES = st.one_of(
    st.fixed_dictionaries({"queue2": st.fixed_dictionaries({"order": st.sampled_from(ORDERS), "release": RELEASE})}),
    st.fixed_dictionaries({"priority_mode": st.booleans()}),
).flatmap(
    lambda found: st.sampled_from(["Fifo", "priority_deadline"]).map(lambda order: {**found, "queue1_ordering": order})
)


@st.composite
def _batches(draw, ticks):
    """Ticks of the day at which the queue is netted, and whether payments settle at others."""
    found = draw(st.lists(st.integers(0, ticks - 1), unique=True, min_size=1, max_size=3))
    return {"netting_batches": found, "rtgs": draw(st.sampled_from([True, True, False]))}


@st.composite
def drawn_scenarios(draw):
    """Any scenario: every feature that there is, or not."""
    tight = draw(st.booleans())
    names = [f"B{number}" for number in range(draw(st.integers(3 if tight else 2, 5)))]
    ticks, days = draw(st.integers(1, 8)), draw(st.integers(1, 3))
    outages = draw(_outages(names, ticks * days)) if draw(st.booleans()) else []
    document = {
        "simulation": {"ticks_per_day": ticks, "num_days": days, "rng_seed": draw(st.integers(0, 2**32))},
        "agents": [draw(_agents(name, names, tight)) for name in draw(st.permutations(names))],
        "scenario_events": draw(st.lists(_events(names, ticks * days), max_size=6)) + outages,
        "outage_response": draw(st.none() | st.fixed_dictionaries({"stop_sending_after": st.integers(0, 3)})),
        "priority_escalation": draw(st.none() | ESCALATION),
        **draw(st.one_of(st.just({}), st.just({}), _batches(ticks))),
        **draw(QUEUES),
        "queue2_passes": draw(st.sampled_from(["until_nothing_fits", "until_nothing_fits", "once"])),
        "daily_balances": draw(st.sampled_from(["keep", "keep", "reset"])),
        "registers": draw(st.sampled_from(["keep", "keep", "daily"])),
        "cost_rounding": draw(st.sampled_from(["nearest", "nearest", "carry"])),
        "deferred_crediting": draw(st.booleans()),
        "deadline_cap_at_eod": draw(st.booleans()),
        "lsm_config": {
            "enable_bilateral": draw(st.booleans()),
            "enable_cycles": draw(st.just(True) | st.booleans()),
            "max_cycle_length": draw(st.integers(3, 5)),
            "enable_multilateral": draw(st.booleans()),
            "entry_disposition_offsetting": draw(st.booleans()),
            "max_cycles_per_tick": draw(st.sampled_from([1, 3, 10])),
            "max_cycle_edges": draw(st.sampled_from([1, 4, 9, 10_000])),
        },
        "cost_rates": {
            "liquidity_cost_per_tick_bps": draw(BPS),
            "overdraft_bps_per_tick": draw(BPS),
            "collateral_cost_per_tick_bps": draw(BPS),
            "delay_cost_per_tick_per_cent": draw(RATES),
            "priority_delay_multipliers": {"urgent_multiplier": 1.5, "low_multiplier": draw(FRACTIONS)},
            "overdue_delay_multiplier": draw(st.sampled_from([1, 2.5, 0, 0.333333])),
            "deadline_penalty": draw(PENALTIES),
            "eod_penalty_per_transaction": draw(PENALTIES),
            "eod_penalty_scope": draw(st.sampled_from(["unsettled", "overdue"])),
            "eod_borrowing_bps": draw(BPS),
            "split_friction_cost": draw(st.sampled_from([0, 3])),
        },
    }
    scenario = Scenario.model_validate(document)
    return DrawnScenario(document, scenario, draw_arrivals(scenario, samples=SAMPLES))


def on_any_scenario(number):
    """Give a test `drawn`, any scenario, this many of them in any profile: the slow tests have twenty times as many."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    limits = settings(max_examples=number, suppress_health_check=checks)
    return lambda test: limits(given(drawn=drawn_scenarios())(test))
