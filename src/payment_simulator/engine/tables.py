"""The outcome of a run as tables: its payments, its balances and queues, its costs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from labledger.extras import missing
from payment_simulator.engine.events import named, numbered, payment_names
from payment_simulator.engine.recorded import Ints, Recorded
from payment_simulator.engine.vocabulary import COSTS, ROUTES, EventColumn, EventKind

if TYPE_CHECKING:
    import pandas
    import pyarrow

    from payment_simulator.scenario.arrivals import Arrivals
    from payment_simulator.scenario.schema import Scenario

MIXED = "mixed"
"""The route of a payment whose pieces settled in several ways."""
IN_QUEUE2 = {EventKind.Submitted: 1, **dict.fromkeys(ROUTES, -1)}
"""What is released and has not settled waits in the central queue: an offset on entry begins with what never did."""


def payments_table(run: Recorded) -> "pyarrow.Table":
    """Return the payments of a run, a row each, in sequence; null where something did not happen, or is not known.

    `id` is the payment's name in the file that it came from, else as `payment`, the name in the event table. `released`
    is the tick of its release to settlement, `settled` that in which the last piece of it settled, `settled_in_file`
    that in which the file says that it settled in reality; ticks are of the whole run. `route` is a name of
    `vocabulary.ROUTES`, or "mixed". `settled_value`, in cents, is of a split payment that of the pieces that settled.
    """
    import pyarrow as pa

    arrivals, count = run.arrivals, len(run.arrivals)
    is_settled = run.settled_tick >= 0
    released = run.of([EventKind.Submitted])
    released_tick = np.full(count, -1)
    released_tick[released[:, EventColumn.payment]] = released[:, EventColumn.tick]  # all pieces in one tick
    names = payment_names(arrivals, run.agent_ids)
    every = np.ones(count, dtype=np.bool_)
    columns = {
        "id": payment_ids(run.scenario, arrivals, names),
        "payment": names,
        "sender": named(arrivals.sender, run.agent_ids, every),
        "receiver": named(arrivals.receiver, run.agent_ids, every),
        "amount": pa.array(arrivals.amount, pa.int64()),
        "priority": pa.array(arrivals.priority, pa.int8()),
        "divisible": pa.array(arrivals.divisible, pa.bool_()),
        "arrived": pa.array(arrivals.tick, pa.int32()),
        "deadline": pa.array(arrivals.deadline, pa.int32()),
        "released": numbered(released_tick, released_tick >= 0, pa.int32()),
        "settled": numbered(run.settled_tick, is_settled, pa.int32()),
        "route": _routes(count, run.settlements),
        "settled_value": pa.array(run.settled_value),
        "delay": numbered(run.settled_tick - arrivals.tick, is_settled, pa.int32()),
        "dropped": pa.array(_happened(run, EventKind.PolicyDrop)),
        "overdue": pa.array(_happened(run, EventKind.WentOverdue)),
        "settled_in_file": _settled_in_file(run),
    }
    return pa.table(columns)


def _happened(run: Recorded, kind: EventKind) -> NDArray[np.bool_]:
    found = np.zeros(len(run.arrivals), dtype=np.bool_)
    found[run.of([kind])[:, EventColumn.payment]] = True
    return found


def _routes(count: int, rows: Ints) -> "pyarrow.Array":
    """The name of the one way in which a payment's pieces settled, or that there were several."""
    names = [*ROUTES.values(), MIXED]
    place = np.zeros(max(ROUTES) + 1, dtype=np.int64)
    place[[*ROUTES]] = np.arange(len(ROUTES))
    payment, ways = rows[:, EventColumn.payment], place[rows[:, EventColumn.event]]
    first, last = np.full(count, -1), np.full(count, -1)
    last[payment] = ways
    first[payment[::-1]] = ways[::-1]
    found = last
    found[payment[ways != first[payment]]] = len(ROUTES)
    return named(found, names, found >= 0)


def payment_ids(scenario: "Scenario", arrivals: "Arrivals", names: "pyarrow.Array | None" = None) -> "pyarrow.Array":
    """Return each payment's id: its name in the file that it came from, else `names`, those in the event table.

    Where a payment of the file has such a name already, that of the other ends with an apostrophe.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    names = payment_names(arrivals, scenario.agent_ids) if names is None else names
    given, place = scenario.given_payments, arrivals.given
    if given is None or given.ids is None or place is None or not len(given):
        return names
    of_file = given.ids.take(pa.array(np.where(place >= 0, place, 0), mask=place < 0)).cast(pa.string())
    of_file = of_file.combine_chunks() if isinstance(of_file, pa.ChunkedArray) else of_file
    of_file = pc.if_else(pc.equal(of_file, ""), None, of_file)
    while pc.any(is_taken := pc.and_(pc.is_null(of_file), pc.is_in(names, of_file.drop_null()))).as_py():
        names = pc.if_else(is_taken, pc.binary_join_element_wise(names, "'", ""), names)
    return of_file.fill_null(names)


def _settled_in_file(run: Recorded) -> "pyarrow.Array":
    """The tick in which each payment settled in reality, null where no file says."""
    import pyarrow as pa

    given, place = run.scenario.given_payments, run.arrivals.given
    if given is None or place is None or given.settled is None or not len(given):
        return pa.nulls(len(run.arrivals), pa.int32())
    ticks = given.settled[np.where(place >= 0, place, 0)]
    return numbered(ticks, (place >= 0) & (ticks >= 0), pa.int32())


def balances_table(run: Recorded) -> "pyarrow.Table":
    """Return balances and queues at the end of each tick, when costs accrue: a row per tick and bank; cents.

    `queue1` is what waits at the bank, `queue2` what waits in the central queue. A piece of a split payment counts as a
    payment; a dropped payment waits in neither.
    """
    import pyarrow as pa

    banks, ticks = len(run.agent_ids), run.ticks
    agents = run.scenario.agents_by_id()
    balance = np.array([agent.opening_balance for agent in agents]) + balance_changes(run).cumsum(axis=0)
    posted = _summed(run, {EventKind.CollateralPosted: 1, EventKind.CollateralWithdrawn: -1})
    columns = {
        "balance": balance,
        "credit_used": np.maximum(0, -balance),
        "posted_collateral": np.array([agent.posted_collateral for agent in agents]) + posted,
        "queue1_value": _summed(run, {EventKind.Arrival: 1, EventKind.Submitted: -1, EventKind.PolicyDrop: -1}),
        "queue1_payments": queue1_payments(run),
        "queue2_value": _summed(run, IN_QUEUE2),
        "queue2_payments": queue2_payments(run),
    }
    return pa.table(
        {
            "tick": pa.array(np.repeat(np.arange(ticks, dtype=np.int32), banks)),
            "bank": named(np.tile(np.arange(banks), ticks), run.agent_ids, np.ones(ticks * banks, dtype=np.bool_)),
            **{name: pa.array(values.ravel()) for name, values in columns.items()},
        }
    )


def settled_value(run: Recorded) -> Ints:
    """Return the value of each bank's payments that has settled up to the end of each tick, in cents: ticks x banks."""
    return _summed(run, dict.fromkeys(ROUTES, 1))


def waiting_value(run: Recorded) -> Ints:
    """Return the value of each bank's payments that wait at the end of each tick, at the bank or in the central queue,
    in cents: an array of ticks x banks."""
    return _summed(run, {EventKind.Arrival: 1, EventKind.PolicyDrop: -1, **dict.fromkeys(ROUTES, -1)})


def balance_changes(run: Recorded) -> Ints:
    """Return the change of each bank's balance in each tick, in cents: an array of ticks x banks."""
    moves = run.of([EventKind.Transfer, *ROUTES])
    found = _by_tick(run, moves[:, EventColumn.counterparty], moves, moves[:, EventColumn.amount])
    found -= _by_tick(run, moves[:, EventColumn.agent], moves, moves[:, EventColumn.amount])
    lent = run.of([EventKind.LiquidityAllocated, EventKind.BalanceReset])
    return found + _by_tick(run, lent[:, EventColumn.agent], lent, lent[:, EventColumn.amount])


def queue1_payments(run: Recorded) -> Ints:
    """Return the number of payments that wait at each bank at the end of each tick: an array of ticks x banks."""
    found = _summed(run, {EventKind.Arrival: 1, EventKind.Submitted: -1, EventKind.PolicyDrop: -1}, counted=True)
    splits = run.of([EventKind.PolicySplit])
    more = _by_tick(run, splits[:, EventColumn.agent], splits, splits[:, EventColumn.note] - 1)
    waiting: Ints = found + more.cumsum(axis=0)
    return waiting


def queue2_payments(run: Recorded) -> Ints:
    """Return the number of each bank's payments in the central queue at the end of each tick: ticks x banks."""
    return _summed(run, IN_QUEUE2, counted=True)


def costs_by_tick(run: Recorded) -> Ints:
    """Return what each bank was charged in each tick, in cents: an array of ticks x banks."""
    charged = run.of([EventKind.CostAccrual])
    return _by_tick(run, charged[:, EventColumn.agent], charged, charged[:, EventColumn.amount])


def costs_table(run: Recorded) -> "pyarrow.Table":
    """Return what was charged, in cents: a row per tick, bank and kind of cost; what is not there is 0."""
    import pyarrow as pa

    charged = run.of([EventKind.CostAccrual])
    every = np.ones(len(charged), dtype=np.bool_)
    return pa.table(
        {
            "tick": pa.array(charged[:, EventColumn.tick].astype(np.int32)),
            "bank": named(charged[:, EventColumn.agent], run.agent_ids, every),
            "cost": named(charged[:, EventColumn.note], COSTS, every),
            "amount": pa.array(charged[:, EventColumn.amount].copy()),
        }
    )


def to_pandas(table: "pyarrow.Table") -> "pandas.DataFrame":
    """Return a table as a pandas frame: numbers of which some are missing are of pandas' nullable types.

    Raises:
        ConfigError: pandas is not installed.
    """
    from labledger.errors import ConfigError

    if missing("pandas"):
        raise ConfigError("to_pandas: pandas is not installed; run pip install pandas")
    import pandas as pd

    frame = table.to_pandas()
    kinds = {"int8": pd.Int8Dtype(), "int32": pd.Int32Dtype(), "int64": pd.Int64Dtype(), "double": pd.Float64Dtype()}
    for name in table.column_names:
        if table[name].null_count and (kind := kinds.get(str(table.schema.field(name).type))):
            frame[name] = table[name].to_pandas(types_mapper=lambda _, kind=kind: kind)
    return frame


def _summed(run: Recorded, signs: Mapping[EventKind, int], *, counted: bool = False) -> Ints:
    """Sum cents, or count rows, of these kinds of events up to each tick, with their signs: ticks x banks."""
    rows = run.of(signs)
    sign = np.zeros(len(EventKind), dtype=np.int64)
    sign[[*signs]] = [*signs.values()]
    values = sign[rows[:, EventColumn.event]]
    if not counted:
        values = values * rows[:, EventColumn.amount]
    return _by_tick(run, rows[:, EventColumn.agent], rows, values).cumsum(axis=0)


def _by_tick(run: Recorded, bank: Ints, rows: Ints, values: Ints) -> Ints:
    found = np.zeros(run.ticks * len(run.agent_ids), dtype=np.int64)
    np.add.at(found, rows[:, EventColumn.tick] * len(run.agent_ids) + bank, values)
    return found.reshape(run.ticks, len(run.agent_ids))
