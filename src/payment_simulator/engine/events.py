"""The event table: what happened, row by row, so that balances can be computed again from it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from labledger.errors import ConfigError
from labledger.parquet_files import read_parquet
from labledger.untrusted_text import reason_of
from payment_simulator.engine.vocabulary import COSTS, EventColumn, EventKind, Skipped

if TYPE_CHECKING:
    import pyarrow

    from payment_simulator.scenario.arrivals import Arrivals
    from payment_simulator.scenario.schema import Scenario

SCHEMA_VERSION = "1.0"
MAX_ROWS = 10_000_000  # a day of five million payments
LONGEST_REASON = 1_000


def event_table(rows: NDArray[np.int64], arrivals: "Arrivals", agent_ids: Sequence[str]) -> "pyarrow.Table":
    """The recorded `rows` (their columns: `EventColumn`) with names for numbers; null where a column does not apply.

    `payment` is the sender's id and the payment's place among the sender's, so it depends on nothing drawn elsewhere.
    `offset` numbers the offsets of a run: all payments of one settle at once, by their net. `priority`, `deadline` (a
    tick) and `divisible` are given with the arrival, `priority` also where a policy changes it.
    """
    import pyarrow as pa

    column = {column.name: rows[:, column] for column in EventColumn}
    kind, note, payment = column["event"], column["note"], column["payment"]
    arrives, paid = kind == EventKind.Arrival, payment >= 0
    ids = _payment_ids(arrivals, agent_ids)

    def named(numbers: NDArray[np.int64], names: Sequence[str], holds: NDArray[np.bool_]) -> "pyarrow.Array":
        indices = pa.array(np.where(holds, numbers, 0).astype(np.int32), mask=~holds)
        return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string())).cast(pa.string())

    def numbers(values: NDArray[np.int64], holds: NDArray[np.bool_], of: "pyarrow.DataType") -> "pyarrow.Array":
        return pa.array(np.where(holds, values, 0), mask=~holds).cast(of)

    def arrived(values: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(values)[np.where(arrives, payment, 0)] if len(arrivals) else np.zeros(len(rows), np.int64)

    reprioritized = kind == EventKind.PolicyReprioritize
    offset = (kind == EventKind.LsmBilateralOffset) | (kind == EventKind.LsmCycleSettlement)
    pieces = (kind == EventKind.PolicySplit) | (kind == EventKind.EndOfDay)
    columns = {
        "tick": pa.array(column["tick"].astype(np.int32)),
        "event": named(kind, [each.name for each in EventKind], kind >= 0),
        "agent": named(column["agent"], agent_ids, column["agent"] >= 0),
        "counterparty": named(column["counterparty"], agent_ids, column["counterparty"] >= 0),
        "payment": named(payment, ids, paid),
        "piece": numbers(column["piece"], paid, pa.int64()),
        "amount": pa.array(column["amount"]),
        "priority": numbers(
            np.where(reprioritized, note, arrived(arrivals.priority)), arrives | reprioritized, pa.int8()
        ),
        "deadline": numbers(arrived(arrivals.deadline), arrives, pa.int32()),
        "divisible": numbers(arrived(arrivals.divisible), arrives, pa.int8()).cast(pa.bool_()),
        "cost": named(note, COSTS, kind == EventKind.CostAccrual),
        "count": numbers(note, pieces, pa.int64()),
        "offset": numbers(note, offset, pa.int64()),
        "reason": named(note, [each.name.lower() for each in Skipped], kind == EventKind.EventSkipped),
    }
    return pa.table(columns).replace_schema_metadata({"schema_version": SCHEMA_VERSION})


def write_events(table: "pyarrow.Table", scenario: "Scenario", path: Path) -> None:
    """Write the event table of a scenario to a Parquet file (zstd, page checksums).

    The file's metadata has what its reader needs to compute balances again: `opening_balances`, cents by bank in JSON,
    and `deferred_crediting`, true or false.

    Raises:
        OSError: it could not be written; what stood there is unharmed.
    """
    import io
    import json

    import pyarrow.parquet as pq

    from labledger.files import write_durably

    metadata = {
        **table.schema.metadata,
        "opening_balances": json.dumps({agent.id: agent.opening_balance for agent in scenario.agents_by_id()}),
        "deferred_crediting": json.dumps(scenario.deferred_crediting),
    }
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), buffer, compression="zstd", write_page_checksum=True)
    write_durably(path, buffer.getvalue())


def read_arrivals(path: Path, scenario: "Scenario") -> "Arrivals":
    """The payments that arrived in a recorded run, from its event table, as far as the scenario's ticks go.

    Raises:
        ConfigError: the file is not an event table, or has banks that the scenario does not have.
    """
    import pyarrow.compute as pc

    from payment_simulator.scenario.arrivals import arrivals_from

    columns = {name: name for name in ("tick", "amount", "priority", "deadline", "divisible")}
    columns |= {"agent": "sender", "counterparty": "receiver"}
    try:
        table = read_parquet(path, ["event", *columns], max_rows=MAX_ROWS, follow=True)
        arrived = table.filter(pc.field("event") == "Arrival").select([*columns]).to_pylist()
    except (OSError, ValueError, KeyError, NotImplementedError) as error:  # Arrow's are of these kinds
        raise ConfigError(
            f"{path}: not an event table of `payment-sim run --events`: {reason_of(error, LONGEST_REASON)}"
        ) from error
    arrived = [row for row in arrived if row["tick"] < scenario.simulation.ticks]
    banks = {name: place for place, name in enumerate(scenario.agent_ids)}
    if strangers := {row[key] for row in arrived for key in ("agent", "counterparty")} - banks.keys():
        raise ConfigError(
            f"{path}: unknown bank {min(strangers)!r}; take the scenario that the events were recorded with"
        )
    for row in arrived:
        row["agent"], row["counterparty"] = banks[row["agent"]], banks[row["counterparty"]]
    return arrivals_from(scenario, {kept: [row[name] for row in arrived] for name, kept in columns.items()})


def _payment_ids(arrivals: "Arrivals", agent_ids: Sequence[str]) -> list[str]:
    """Each payment's name: its sender's id, and its place among the sender's."""
    seen = [0] * len(agent_ids)
    names = []
    for sender in arrivals.sender.tolist():
        names.append(f"{agent_ids[sender]}-{seen[sender]}")
        seen[sender] += 1
    return names
