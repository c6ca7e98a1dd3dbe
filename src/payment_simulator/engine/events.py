"""The event table: what happened, row by row, so that balances can be computed again from it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labledger.errors import ConfigError
from labledger.parquet_files import read_parquet
from labledger.untrusted_text import reason_of
from payment_simulator.engine.vocabulary import COSTS, OFFSETS, EventColumn, EventKind, Skipped

if TYPE_CHECKING:
    import pyarrow

    from payment_simulator.scenario.arrivals import Arrivals
    from payment_simulator.scenario.schema import Scenario

SCHEMA_VERSION = "1.0"
MAX_ROWS = 20_000_000
"""A day of five million payments: each arrives, is released, and settles, at times from a queue or in pieces."""
LONGEST_REASON = 1_000
REPRIORITIZED = (EventKind.PolicyReprioritize, EventKind.PriorityEscalated, EventKind.PolicyResubmit)
"""Events that give a payment another priority."""


def event_table(rows: NDArray[np.int64], arrivals: "Arrivals", scenario: "Scenario") -> "pyarrow.Table":
    """The recorded `rows` (their columns: `EventColumn`) with names for numbers; null where a column does not apply.

    `payment` is the sender's id and the payment's place among the sender's, so it depends on nothing drawn elsewhere.
    `offset` numbers the offsets of a run: all payments of one settle at once, by their net. `priority`, `deadline` (a
    tick) and `divisible` are given with the arrival, `priority` also where a policy or escalation changes it. `amount`
    of `CreditLimitChanged` and `LimitChanged` is the new limit, of `BalanceReset` what is added to the balance, or
    below 0 taken from it; `count` of `OutageBegan` is how many ticks it lasts. The metadata has what its reader needs
    to compute balances again: `opening_balances`, cents by bank in JSON, and `deferred_crediting`, true or false.
    """
    import json

    import pyarrow as pa

    agent_ids = scenario.agent_ids
    column = {column.name: rows[:, column] for column in EventColumn}
    kind, note, payment = column["event"], column["note"], column["payment"]
    arrives, paid = kind == EventKind.Arrival, payment >= 0
    ids = payment_names(arrivals, agent_ids)

    def arrived(values: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(values)[np.where(arrives, payment, 0)] if len(arrivals) else np.zeros(len(rows), np.int64)

    reprioritized = np.isin(kind, REPRIORITIZED)
    offset = np.isin(kind, OFFSETS)
    counted = np.isin(kind, (EventKind.PolicySplit, EventKind.EndOfDay, EventKind.OutageBegan))
    columns = {
        "tick": pa.array(column["tick"].astype(np.int32)),
        "event": named(kind, [each.name for each in EventKind], kind >= 0),
        "agent": named(column["agent"], agent_ids, column["agent"] >= 0),
        "counterparty": named(column["counterparty"], agent_ids, column["counterparty"] >= 0),
        "payment": named(payment, ids, paid),
        "piece": numbered(column["piece"], paid, pa.int64()),
        "amount": pa.array(column["amount"]),
        "priority": numbered(
            np.where(reprioritized, note, arrived(arrivals.priority)), arrives | reprioritized, pa.int8()
        ),
        "deadline": numbered(arrived(arrivals.deadline), arrives, pa.int32()),
        "divisible": numbered(arrived(arrivals.divisible), arrives, pa.int8()).cast(pa.bool_()),
        "cost": named(note, COSTS, kind == EventKind.CostAccrual),
        "count": numbered(note, counted, pa.int64()),
        "offset": numbered(note, offset, pa.int64()),
        "reason": named(note, [each.name.lower() for each in Skipped], kind == EventKind.EventSkipped),
    }
    metadata = {
        "schema_version": SCHEMA_VERSION,
        "opening_balances": json.dumps({agent.id: agent.opening_balance for agent in scenario.agents_by_id()}),
        "deferred_crediting": json.dumps(scenario.deferred_crediting),
    }
    return pa.table(columns).replace_schema_metadata(metadata)


def write_events(table: "pyarrow.Table", path: Path) -> None:
    """Write an event table to a Parquet file (zstd, page checksums).

    Raises:
        OSError: it could not be written; what stood there is unharmed.
    """
    from labledger.files import write_durably
    from labledger.parquet_files import parquet_bytes

    write_durably(path, parquet_bytes(table))


def read_arrivals(path: Path, scenario: "Scenario") -> "Arrivals":
    """The payments that arrived in a recorded run, from its event table, as far as the scenario's ticks go.

    Raises:
        ConfigError: the file is not an event table, or has banks that the scenario does not have.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from payment_simulator.scenario.arrivals import arrivals_from

    columns = {name: name for name in ("tick", "amount", "priority", "deadline", "divisible")}
    columns |= {"agent": "sender", "counterparty": "receiver"}
    try:
        table = read_parquet(path, ["event", *columns], max_rows=MAX_ROWS, follow=True)
        arrived = table.filter(pc.field("event") == "Arrival").select([*columns])
        arrived = arrived.filter(pc.field("tick") < scenario.simulation.ticks)
        found = {kept: arrived[name] for name, kept in columns.items()}
        if any(column.null_count for column in found.values()):
            raise ValueError("an arrival lacks a value")
        names = {key: found.pop(key).cast(pa.string()) for key in ("sender", "receiver")}
        numbers = {name: column.cast(pa.int64()).to_numpy() for name, column in found.items()}
    except (OSError, ValueError, KeyError, NotImplementedError) as error:  # Arrow's are of these kinds
        raise ConfigError(
            f"{path}: not an event table of `payment-sim run --events`: {reason_of(error, LONGEST_REASON)}"
        ) from error
    banks = {key: pc.index_in(column, pa.array(scenario.agent_ids)) for key, column in names.items()}
    strangers = [name for key, places in banks.items() for name in names[key].filter(pc.is_null(places)).unique()]
    if strangers:
        unknown = min(map(str, strangers))
        raise ConfigError(f"{path}: unknown bank {unknown!r}; take the scenario that the events were recorded with")
    return arrivals_from(scenario, {**numbers, **{key: places.to_numpy() for key, places in banks.items()}})


def payment_names(arrivals: "Arrivals", agent_ids: Sequence[str]) -> "pyarrow.Array":
    """Return each payment's name: its sender's id, and its place among the sender's."""
    import pyarrow as pa
    import pyarrow.compute as pc

    sender = np.asarray(arrivals.sender)
    order = np.argsort(sender, kind="stable")
    begins = np.searchsorted(sender[order], np.arange(len(agent_ids)))
    place = np.empty(len(sender), dtype=np.int64)
    place[order] = np.arange(len(sender)) - begins[sender[order]]
    senders = named(sender, agent_ids, np.ones(len(sender), dtype=np.bool_))
    return pc.binary_join_element_wise(senders, pa.array(place).cast(pa.string()), "-")


def named(numbers: NDArray[Any], names: "Sequence[str] | pyarrow.Array", holds: NDArray[np.bool_]) -> "pyarrow.Array":
    """Return names for numbers, which count them; null where none holds."""
    import pyarrow as pa

    indices = pa.array(np.where(holds, numbers, 0).astype(np.int32), mask=~holds)
    values = names if isinstance(names, pa.Array) else pa.array(names, pa.string())
    return pa.DictionaryArray.from_arrays(indices, values).cast(pa.string())


def numbered(values: NDArray[Any], holds: NDArray[np.bool_], of: "pyarrow.DataType") -> "pyarrow.Array":
    """Return numbers as an Arrow array of a type; null where none holds."""
    import pyarrow as pa

    return pa.array(np.where(holds, values, 0), mask=~holds).cast(of)
