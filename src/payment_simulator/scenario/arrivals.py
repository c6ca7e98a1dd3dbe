"""The payments of a run, drawn before its first tick: all randomness is here.

Each bank draws from a stream of its own, so adding one leaves the others' payments as they were. Samples are drawn in
blocks, the same ones whoever asks for them and in whatever order.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Any, Unpack

import numpy as np
import psutil
from numpy.typing import NDArray

from labledger.errors import ConfigError
from payment_simulator.scenario.arrival_checks import checked_columns
from payment_simulator.scenario.bank_arrivals import BankArrivals
from payment_simulator.scenario.given_payments import COLUMNS, GivenPayments
from payment_simulator.scenario.payment_files.tables import PaymentsKeywords
from payment_simulator.scenario.scenario_events import CustomTransactionArrival
from payment_simulator.scenario.schema import Scenario

RESAMPLE = 1_000
"""The stream that payments are redrawn from: far behind those of the quantities, so that it is none of them."""

BYTES_PER_PAYMENT = 200
"""As it is drawn, sorted, and laid out for the engine."""

Ints = NDArray[Any]
ARRIVAL_COLUMNS = [*COLUMNS, "bounds", "given"]


@dataclass(frozen=True)
class Arrivals:
    """Payments in *sequence*: by tick, then those of scenario events in file order, then those of the scenario's file
    of payments by time, file and row, then drawn ones by sender and draw.

    All columns have a value per payment. `sender` and `receiver` count banks in the order of their ids; `deadline` is
    the last tick in which a payment is not overdue. `bounds[s]` is where sample s begins. `given` is the payment's
    place among `Scenario.given_payments`, -1 of one that is not; None where the scenario has no such payments.

    Raises:
        ValueError: columns are not whole numbers, in sequence, or possible: a line each, with column and row.
    """

    tick: Ints
    sender: Ints
    receiver: Ints
    amount: Ints
    priority: Ints
    deadline: Ints
    divisible: Ints
    bounds: Ints
    given: Ints | None = None

    def __post_init__(self) -> None:
        for name, values in checked_columns({name: getattr(self, name) for name in ARRIVAL_COLUMNS}).items():
            object.__setattr__(self, name, values)

    @classmethod
    def _unchecked(cls, *, given: Ints | None = None, **columns: Ints) -> "Arrivals":
        """Return arrivals of columns that are known to be right, as those that are drawn."""
        found = object.__new__(cls)
        for name, values in {**columns, "given": given}.items():
            object.__setattr__(found, name, values)
        return found

    @classmethod
    def from_table(cls, table: Any, scenario: Scenario, **keywords: Unpack[PaymentsKeywords]) -> "Arrivals":
        """Return the payments of a table, for a scenario that has their banks and days, in place of drawn ones.

        `table` is one of Arrow, pandas, polars or another with their interfaces, or a dict of lists: a row per payment,
        columns and `keywords` as the section `payments` of a scenario has them. Times without a `clock` are ticks.

        Raises:
            ConfigError: a row cannot be used (a line each, with row and column), or a bank or a tick of it is not the
                scenario's.
        """
        from payment_simulator.scenario.resolving import payments_for

        given = payments_for(scenario, table, keywords)
        columns = _repeated(scenario, given, range(1))
        del columns["given"]  # they are not those of the scenario
        return _in_sequence(scenario, [columns], range(1))

    @property
    def samples(self) -> int:
        """The number of samples."""
        return len(self.bounds) - 1

    @cached_property
    def table(self) -> Ints:
        """Eight int64 per payment, flat: the columns, and (10 - priority) * 2^40."""
        found = np.empty((len(self), 8), dtype=np.int64)
        for place, name in enumerate(COLUMNS):
            found[:, place] = getattr(self, name)
        found[:, 7] = (10 - found[:, 4]) << 40
        return found.ravel()

    def sample(self, index: int) -> "Arrivals":
        """Return one sample, as arrivals of their own."""
        return self.part(index, index + 1)

    def part(self, begin: int, end: int) -> "Arrivals":
        """Return the samples from `begin` up to `end`, as arrivals of their own."""
        if (begin, end) == (0, self.samples):
            return self
        first, last = self.bounds[begin], self.bounds[end]
        columns = {name: getattr(self, name)[first:last] for name in COLUMNS}
        given = None if self.given is None else self.given[first:last]
        return Arrivals._unchecked(**columns, bounds=self.bounds[begin : end + 1] - first, given=given)

    def __len__(self) -> int:
        return len(self.tick)


assert [field.name for field in fields(Arrivals)] == ARRIVAL_COLUMNS  # noqa: S101 - said twice for its readers


def draw_arrivals(
    scenario: Scenario,
    seed: int | None = None,
    *,
    purpose: int = 0,
    iteration: int = 0,
    first_sample: int = 0,
    samples: int = 1,
) -> Arrivals:
    """Return the payments of `samples` samples, from `first_sample` on; `seed` None is the scenario's own.

    Raises:
        ConfigError: it would draw too many payments or too large ones, or an event leaves a bank nobody to pay.
    """
    entropy = scenario.simulation.rng_seed if seed is None else seed
    wanted = range(first_sample, first_sample + samples)
    banks = {
        agent.id: BankArrivals(scenario, sender, agent)
        for sender, agent in enumerate(scenario.agents_by_id())
        if any(True for _ in agent.arrivals())
    }
    given = _given(scenario, wanted)
    _check_room(sum(bank.expected for bank in banks.values()) * samples + len(given["tick"]))
    parts = [_written(scenario, wanted), given]
    for name, bank in banks.items():
        parts += bank.draw(partial(_seed, entropy, purpose, iteration, name), wanted)
    return _in_sequence(scenario, parts, wanted)


def resample_arrivals(
    scenario: Scenario, observed: Arrivals, seed: int, *, purpose: int, iteration: int, samples: int
) -> Arrivals:
    """`samples` days alike to the one that was observed: of each sender as many of its payments, with replacement.

    A payment keeps its tick, and all else. Those of scenario events happen once in each sample, as written.
    """
    wanted = range(samples)
    written = _written(scenario, wanted)
    _check_room(len(observed) * samples)
    drawn = _without(observed, _in_sequence(scenario, [_written(scenario, range(1))], range(1)))
    parts = [written]
    for sender, agent_id in enumerate(scenario.agent_ids):
        (own,) = np.nonzero(drawn["sender"] == sender)
        stream = _seed(seed, purpose, iteration, agent_id, 0, RESAMPLE)
        chosen = np.random.default_rng(stream).choice(own, (samples, len(own))) if len(own) else own.reshape(samples, 0)
        columns = {name: drawn[name][chosen.ravel()] for name in COLUMNS}
        columns["deadline"] = columns["deadline"].astype(np.int64) - columns["tick"]
        parts.append({**columns, "cell": _cells(scenario, columns["tick"], samples)})
    return _in_sequence(scenario, parts, wanted)


def _without(observed: Arrivals, written: Arrivals) -> dict[str, Ints]:
    """The columns of what is in the one and not in the other; of payments that are alike as many as there are more."""
    if not len(written):
        return {name: getattr(observed, name) for name in COLUMNS}
    rows = zip(*(getattr(written, name).tolist() for name in COLUMNS), strict=True)
    left = Counter(rows)
    kept = []
    for place, row in enumerate(zip(*(getattr(observed, name).tolist() for name in COLUMNS), strict=True)):
        if left[row] > 0:
            left[row] -= 1
        else:
            kept.append(place)
    return {name: getattr(observed, name)[kept] for name in COLUMNS}


def arrivals_from(scenario: Scenario, columns: dict[str, Sequence[int]]) -> Arrivals:
    """Return given payments, a list per column of `Arrivals`, in place of drawn ones.

    Raises:
        ConfigError: they cannot be payments; a line for each problem.
    """
    arrays: dict[str, Ints] = {name: np.asarray(columns[name]) for name in COLUMNS}
    order = np.argsort(arrays["tick"], kind="stable")
    try:
        return Arrivals(**{name: each[order] for name, each in arrays.items()}, bounds=np.array([0, len(order)]))
    except ValueError as error:
        raise ConfigError(f"payments that cannot be: {error}") from error


def _check_room(expected: float) -> None:
    available = psutil.virtual_memory().available
    if (needed := expected * BYTES_PER_PAYMENT) > available:
        raise ConfigError(
            f"{expected:.3g} payments to draw would take {needed / 1e9:,.0f} GB of memory, and {available / 1e9:,.0f} "
            "are free; reduce rate_per_tick, or the number of ticks or samples"
        )


def _seed(entropy: int, purpose: int, iteration: int, agent_id: str, *block: int) -> np.random.SeedSequence:
    name = int.from_bytes(hashlib.sha256(agent_id.encode()).digest()[:4], "big")
    return np.random.SeedSequence(entropy, spawn_key=(purpose, iteration, name, *block))


def _written(scenario: Scenario, wanted: range) -> dict[str, Ints]:
    """The payments that scenario events name, once in each sample."""
    index = {name: place for place, name in enumerate(scenario.agent_ids)}
    events = [event for event in scenario.scenario_events if isinstance(event, CustomTransactionArrival)]
    rows = [
        (
            tick,
            index[event.from_agent],
            index[event.to_agent],
            event.amount,
            event.priority,
            event.deadline,
            event.is_divisible,
        )
        for event in events
        for tick in event.ticks(scenario.simulation.ticks)
    ]
    columns = zip(*rows, strict=True) if rows else ([] for _ in COLUMNS)
    written: dict[str, Ints] = {
        name: np.tile(np.asarray(list(column), dtype=kind), len(wanted))
        for (name, kind), column in zip(COLUMNS.items(), columns, strict=True)
    }
    return {**written, "cell": _cells(scenario, written["tick"], len(wanted))}


def _given(scenario: Scenario, wanted: range) -> dict[str, Ints]:
    """The payments that the scenario is given, once in each sample; deadlines, as all here, are ticks after arrival.

    Raises:
        ConfigError: the file was not read.
    """
    given = scenario.given_payments
    if given is None:
        if scenario.payments is not None:
            raise ConfigError("payments: the file is not read; take load_scenario, which reads it")
        nothing: dict[str, Ints] = {name: np.zeros(0, dtype=kind) for name, kind in COLUMNS.items()}
        return {**nothing, "cell": np.zeros(0, dtype=np.int64)}
    return _repeated(scenario, given, wanted)


def _repeated(scenario: Scenario, given: GivenPayments, wanted: range) -> dict[str, Ints]:
    columns: dict[str, Ints] = {name: np.tile(getattr(given, name), len(wanted)) for name in COLUMNS}
    columns["deadline"] = columns["deadline"] - columns["tick"]
    places = np.tile(np.arange(len(given), dtype=np.int32), len(wanted))
    return {**columns, "cell": _cells(scenario, columns["tick"], len(wanted)), "given": places}


def _cells(scenario: Scenario, tick: Ints, samples: int) -> Ints:
    """Return sample * ticks + tick of payments that are as many in each sample."""
    first = np.arange(samples, dtype=np.int64) * scenario.simulation.ticks
    return np.repeat(first, len(tick) // max(samples, 1)) + tick


def _in_sequence(scenario: Scenario, parts: Sequence[dict[str, Ints]], wanted: range) -> Arrivals:
    """Return the payments of all parts by sample and tick; in a tick by part, and within one as they stand there."""
    parts = [part for part in parts if len(part["cell"])] or list(parts[:1])
    joined = {name: np.concatenate([part[name] for part in parts]) for name in (*COLUMNS, "cell")}
    if any("given" in part for part in parts):
        none = [part.get("given", np.full(len(part["cell"]), -1, dtype=np.int32)) for part in parts]
        joined["given"] = np.concatenate(none)
    if (np.diff(joined["cell"]) < 0).any():
        order = np.argsort(joined["cell"], kind="stable")
        joined = {name: each[order] for name, each in joined.items()}
    columns: dict[str, Ints] = {name: joined[name].astype(kind, copy=False) for name, kind in COLUMNS.items()}
    last_tick = np.minimum(joined["deadline"].astype(np.int64) + columns["tick"], 2**31 - 1)
    if scenario.deadline_cap_at_eod:
        a_day = scenario.simulation.ticks_per_day
        last_tick = np.minimum(last_tick, (columns["tick"] // a_day + 1) * a_day - 1)
    columns["deadline"] = last_tick.astype(np.int32)
    bounds = np.searchsorted(joined["cell"], np.arange(len(wanted) + 1) * scenario.simulation.ticks)
    return Arrivals._unchecked(**columns, bounds=bounds, given=joined.get("given"))
