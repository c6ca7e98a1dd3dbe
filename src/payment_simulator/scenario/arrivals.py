"""The payments of a run, drawn before its first tick: all randomness is here.

Each bank draws from a stream of its own, so adding one leaves the others' payments as they were. Samples are drawn in
blocks, the same ones whoever asks for them and in whatever order.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from labledger.errors import ConfigError
from payment_simulator.scenario.numbers import DEFAULT_PRIORITY
from payment_simulator.scenario.scenario_events import (
    AgentArrivalRateChange,
    CounterpartyWeightChange,
    CustomTransactionArrival,
    DeadlineWindowChange,
    Event,
    GlobalArrivalRateChange,
)
from payment_simulator.scenario.schema import (
    PRIORITY_BANDS,
    Agent,
    ArrivalConfig,
    EvenPriorities,
    Exponential,
    LogNormal,
    Normal,
    Scenario,
    Uniform,
    WeightedPriorities,
)

QUANTITIES = ("number", "amount", "deadline", "priority", "receiver")
RESAMPLE = 1_000
"""The stream that payments are redrawn from: far behind those of the quantities, so that it is none of them."""

MAX_BLOCK = 64
BLOCK_PAYMENTS = 2**20
BYTES_PER_PAYMENT = 200
"""As it is drawn, sorted, and laid out for the engine."""

MAX_DRAWN_AMOUNT = 2**53
"""Beyond it a drawn amount, a double, is no longer sure to the cent."""

Ints = NDArray[Any]


@dataclass(frozen=True)
class Arrivals:
    """Payments in *sequence*: by tick, then those of scenario events in file order, then drawn ones by sender and draw.

    All columns have a value per payment. `sender` and `receiver` count banks in the order of their ids; `deadline` is
    the last tick in which a payment is not overdue. `bounds[s]` is where sample s begins.
    """

    tick: Ints
    sender: Ints
    receiver: Ints
    amount: Ints
    priority: Ints
    deadline: Ints
    divisible: Ints
    bounds: Ints

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
        return Arrivals(**columns, bounds=self.bounds[begin : end + 1] - first)

    def __len__(self) -> int:
        return len(self.tick)


COLUMNS = {
    "tick": np.int32,
    "sender": np.int32,
    "receiver": np.int32,
    "amount": np.int64,
    "priority": np.int8,
    "deadline": np.int32,
    "divisible": np.bool_,
}
assert [field.name for field in fields(Arrivals)] == [*COLUMNS, "bounds"]  # noqa: S101 - said twice for its readers


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
    _check_room(sum(bank.expected for bank in banks.values()) * samples)
    parts = [_written(scenario, wanted)]
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
        parts.append({**columns, "sample": np.repeat(wanted, len(own))})
    return _in_sequence(scenario, parts, wanted)


def _without(observed: Arrivals, written: Arrivals) -> dict[str, Ints]:
    """The columns of what is in the one and not in the other; of payments that are alike as many as there are more."""
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
    """Return given payments, a list per column of `Arrivals`, in place of drawn ones."""
    arrays: dict[str, Ints] = {name: np.asarray(columns[name], dtype=kind) for name, kind in COLUMNS.items()}
    order = np.argsort(arrays["tick"], kind="stable")
    return Arrivals(**{name: each[order] for name, each in arrays.items()}, bounds=np.array([0, len(order)]))


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
        for tick in event.schedule.ticks(scenario.simulation.ticks)
    ]
    columns = zip(*rows, strict=True) if rows else ([] for _ in COLUMNS)
    written: dict[str, Ints] = {
        name: np.tile(np.asarray(list(column), dtype=kind), len(wanted))
        for (name, kind), column in zip(COLUMNS.items(), columns, strict=True)
    }
    return {**written, "sample": np.repeat(np.arange(len(wanted)), len(rows))}


def _in_sequence(scenario: Scenario, parts: Sequence[dict[str, Ints]], wanted: range) -> Arrivals:
    joined = {name: np.concatenate([part[name] for part in parts]) for name in (*COLUMNS, "sample")}
    ticks = scenario.simulation.ticks
    order = np.argsort(joined["sample"].astype(np.int64) * ticks + joined["tick"], kind="stable")
    columns: dict[str, Ints] = {name: joined[name][order].astype(kind, copy=False) for name, kind in COLUMNS.items()}
    last_tick = np.minimum(columns["tick"].astype(np.int64) + columns["deadline"], 2**31 - 1)
    if scenario.deadline_cap_at_eod:
        a_day = scenario.simulation.ticks_per_day
        last_tick = np.minimum(last_tick, (columns["tick"] // a_day + 1) * a_day - 1)
    columns["deadline"] = last_tick.astype(np.int32)
    bounds = np.searchsorted(joined["sample"][order], np.arange(len(wanted) + 1))
    return Arrivals(**columns, bounds=bounds)


RATE_CHANGES = (GlobalArrivalRateChange, AgentArrivalRateChange)
CHANGES = (*RATE_CHANGES, CounterpartyWeightChange, DeadlineWindowChange)


@dataclass(frozen=True)
class _Plan:
    """A configuration as scenario events change it, per tick: rate, deadlines and counterparty weights.

    `deadlines` has a least and a most; `weights` are of all banks, one array each time that they differ, and `which`
    is the place of those that hold.
    """

    rates: NDArray[np.float64]
    deadlines: Ints
    weights: list[NDArray[np.float64]]
    which: Ints


class BankArrivals:
    """Draws one bank's payments; `expected` is their mean number, `expected_numbers` those of each configuration."""

    def __init__(self, scenario: Scenario, sender: int, agent: Agent) -> None:
        self._scenario = scenario
        self._ticks = scenario.simulation.ticks
        self._sender = sender
        self._agent = agent
        changes = [event for event in scenario.scenario_events if isinstance(event, CHANGES)]
        self._changes = [event for event in changes if getattr(event, "agent", None) in (None, agent.id)]
        self._configs = [(".".join(map(str, place)), config) for place, config in agent.arrivals()]
        self._plans = {place: self._plan(config) for place, config in self._configs}
        self.expected_numbers = [(config, float(self._plans[place].rates.sum())) for place, config in self._configs]
        self.expected = sum(number for _, number in self.expected_numbers)
        # Of this bank alone, so that another one leaves the blocks, and so the draws, as they were.
        self._block = max(1, min(MAX_BLOCK, int(BLOCK_PAYMENTS // max(self.expected, self._ticks))))

    def draw(self, seed_of: Callable[[int], np.random.SeedSequence], wanted: range) -> Iterator[dict[str, Ints]]:
        """Columns of the wanted samples, which are counted from 0 in "sample"."""
        for block in range(wanted.start // self._block, (wanted.stop - 1) // self._block + 1):
            first = block * self._block
            drawn = self._draw_block(seed_of(block), min(self._block, wanted.stop - first))
            sample = drawn["sample"] + first
            kept = sample >= wanted.start
            yield {**{name: drawn[name][kept] for name in COLUMNS}, "sample": sample[kept] - wanted.start}

    def _draw_block(self, seed: np.random.SeedSequence, samples: int) -> dict[str, Ints]:
        """The first `samples` of a block: each quantity has a stream of its own, so they are the same however many."""
        seeds = iter(seed.spawn(len(QUANTITIES) * len(self._configs)))
        parts = []
        for place, config in self._configs:
            streams = {name: np.random.default_rng(next(seeds)) for name in QUANTITIES}
            parts.append(self._draw_config(streams, place, config, samples))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _draw_config(
        self, streams: dict[str, np.random.Generator], place: str, config: ArrivalConfig, samples: int
    ) -> dict[str, Ints]:
        plan = self._plans[place]
        counts = streams["number"].poisson(plan.rates, (samples, self._ticks))
        cells = np.repeat(np.arange(counts.size), counts.ravel())
        sample, tick = np.divmod(cells, self._ticks)
        low, high = plan.deadlines[tick].T
        deadline = low + (streams["deadline"].random(len(cells)) * (high - low + 1)).astype(np.int64)
        return {
            "tick": tick,
            "sender": np.full(len(cells), self._sender),
            "receiver": _receivers(streams["receiver"].random(len(cells)), plan.which[tick], plan.weights),
            "amount": _amounts(streams["amount"], config, len(cells), f"{self._agent.id}: {place}"),
            "priority": _priorities(streams["priority"], config, place, len(cells)),
            "deadline": deadline,
            "divisible": np.full(len(cells), config.divisible),
            "sample": sample,
        }

    def _plan(self, config: ArrivalConfig) -> _Plan:
        sendings = [
            each for each in self._changes if isinstance(each, GlobalArrivalRateChange | AgentArrivalRateChange)
        ]
        windows = [each for each in self._changes if isinstance(each, DeadlineWindowChange)]
        rates = np.array([*(config.rate_per_tick * each.multiplier for each in sendings), config.rate_per_tick])
        deadlines = np.array([*(each.deadline_range for each in windows), config.deadline_range])
        return _Plan(rates[self._in_force(sendings)], deadlines[self._in_force(windows)], *self._weights(config))

    def _weights(self, config: ArrivalConfig) -> tuple[list[NDArray[np.float64]], Ints]:
        ids, given = self._scenario.agent_ids, config.counterparty_weights
        base = np.array([1.0 if given is None else given.get(name, 0.0) for name in ids])
        base[self._sender] = 0.0
        events = [each for each in self._changes if isinstance(each, CounterpartyWeightChange)]
        if not events:
            return [base], np.zeros(self._ticks, dtype=np.int64)
        changed = sorted({event.counterparty for event in events})
        of_each = [[event for event in events if event.counterparty == name] for name in changed]
        in_force = np.array([self._in_force(each) for each in of_each])
        states, first, which = np.unique(in_force, axis=1, return_index=True, return_inverse=True)
        found = []
        for state in states.T:
            weights = base.copy()
            for name, each, place in zip(changed, of_each, state, strict=True):
                if place >= 0:
                    weights[ids.index(name)] = each[place].weight
            found.append(weights)
        if empty := [int(tick) for tick, weights in zip(first, found, strict=True) if not weights.any()]:
            raise self._left_alone(min(empty), events)
        return found, which.ravel()

    def _left_alone(self, tick: int, events: Sequence[CounterpartyWeightChange]) -> ConfigError:
        """Check the state after all events of a tick; an error names the last of them."""
        last = [event for event in events if tick in event.schedule.ticks(self._ticks)][-1]
        place = next(place for place, event in enumerate(self._scenario.scenario_events) if event is last)
        return ConfigError(f"scenario_events.{place}: from tick {tick} on it leaves {self._agent.id} nobody to pay")

    def _in_force(self, events: Sequence[Event]) -> Ints:
        """Return for each tick the index in `events` of the last that has happened, by file order in a tick; or -1."""
        happened = np.full(self._ticks, -1)
        if not events:
            return happened
        for place, event in enumerate(events):
            ticks = event.schedule.ticks(self._ticks)
            happened[ticks.start : ticks.stop : ticks.step] = place
        last = np.maximum.accumulate(np.where(happened >= 0, np.arange(self._ticks), 0))
        return happened[last]


def _amounts(rng: np.random.Generator, config: ArrivalConfig, count: int, where: str) -> Ints:
    """Whole cents, rounded half up, at least 1."""
    of = config.amount_distribution
    if isinstance(of, Uniform):
        return rng.integers(of.min, of.max, count, endpoint=True)
    if isinstance(of, Normal):
        drawn = rng.normal(of.mean, of.std_dev, count)
    elif isinstance(of, LogNormal):
        variance = 2 * np.log(np.hypot(1.0, of.std_dev / of.mean))
        drawn = rng.lognormal(np.log(of.mean) - variance / 2, np.sqrt(variance), count)
    else:
        assert isinstance(of, Exponential)  # noqa: S101 - the last of them
        drawn = rng.exponential(of.mean, count)
    if count and not drawn.max() <= MAX_DRAWN_AMOUNT:
        raise ConfigError(f"{where}.amount_distribution: draws amounts of over 2^53 cents; reduce its mean or std_dev")
    return np.maximum(np.floor(drawn + 0.5), 1).astype(np.int64)


def _priorities(rng: np.random.Generator, config: ArrivalConfig, place: str, count: int) -> Ints:
    chosen = config.priority_distribution
    band = PRIORITY_BANDS.get(place.rpartition(".")[2])
    if config.priority is not None or (chosen is None and band is None):
        return np.full(count, DEFAULT_PRIORITY if config.priority is None else config.priority)
    if isinstance(chosen, WeightedPriorities):
        shares = np.cumsum(chosen.weights) / np.sum(chosen.weights)
        return np.asarray(chosen.values)[np.searchsorted(shares, rng.random(count), side="right")]
    low, high = (chosen.min, chosen.max) if isinstance(chosen, EvenPriorities) else (band or (0, 0))
    return low + (rng.random(count) * (high - low + 1)).astype(np.int64)


def _receivers(drawn: NDArray[np.float64], of: Ints, weights: Sequence[NDArray[np.float64]]) -> Ints:
    """By the weights that hold for each payment, counterparties in the order of their ids."""
    receiver = np.zeros(len(drawn), dtype=np.int64)
    for place, each in enumerate(weights):
        (banks,) = np.nonzero(each)
        shares = np.cumsum(each[banks])
        mine = of == place
        receiver[mine] = banks[np.searchsorted(shares / shares[-1], drawn[mine], side="right")]
    return receiver
