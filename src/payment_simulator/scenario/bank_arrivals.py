"""The draws of one bank's payments: how many in each tick, how large, to whom, until when."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labledger.errors import ConfigError
from payment_simulator.scenario.arrival_sections import PRIORITY_BANDS, ArrivalConfig
from payment_simulator.scenario.banks import Agent
from payment_simulator.scenario.distributions import (
    Empirical,
    EvenPriorities,
    Exponential,
    LogNormal,
    Normal,
    Uniform,
    WeightedPriorities,
)
from payment_simulator.scenario.numbers import DEFAULT_PRIORITY
from payment_simulator.scenario.scenario_events import (
    AgentArrivalRateChange,
    CounterpartyWeightChange,
    DeadlineWindowChange,
    Event,
    GlobalArrivalRateChange,
)
from payment_simulator.scenario.schema import Scenario

QUANTITIES = ("number", "amount", "deadline", "priority", "receiver")
MAX_BLOCK = 64
BLOCK_PAYMENTS = 2**20
MAX_DRAWN_AMOUNT = 2**53
"""Beyond it a drawn amount, a double, is no longer sure to the cent."""

Ints = NDArray[Any]
SeedOf = Callable[[int], np.random.SeedSequence]
"""The seed of a bank's block of samples, by its number."""

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


def profile_steps(steps: int, ticks_per_day: int) -> Ints:
    """Return for each tick of a day the step of a profile that holds: tick x steps / ticks, rounded down."""
    return np.arange(ticks_per_day) * steps // ticks_per_day


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

    def draw(self, seed_of: SeedOf, wanted: range) -> Iterator[dict[str, Ints]]:
        """Yield for each configuration the columns of the wanted samples, and "cell": sample * ticks + tick, from 0.

        Each quantity of a block has a stream of its own, so a block's first samples are the same however many of it
        are wanted.
        """
        begin = wanted.start // self._block
        firsts = range(begin * self._block, wanted.stop, self._block)
        seeds = [seed_of(begin + number) for number in range(len(firsts))]
        sizes = [min(self._block, wanted.stop - first) for first in firsts]
        if not sizes:
            return
        for number, (place, config) in enumerate(self._configs):
            blocks = [_Block(seed, number * len(QUANTITIES), size) for seed, size in zip(seeds, sizes, strict=True)]
            yield self._draw_config(blocks, place, config, (wanted.start - firsts.start) * self._ticks)

    def _draw_config(
        self, blocks: Sequence["_Block"], place: str, config: ArrivalConfig, skipped: int
    ) -> dict[str, Ints]:
        """Return the columns of samples in the blocks, without the first `skipped` cells."""
        plan = self._plans[place]
        counts = [block.stream("number").poisson(plan.rates, (block.samples, self._ticks)) for block in blocks]
        numbers = [int(each.sum()) for each in counts]
        cell = np.repeat(np.arange(sum(each.size for each in counts)), np.concatenate(counts).ravel())
        tick = cell % self._ticks
        of_block = list(zip(blocks, numbers, strict=True))

        def uniform(quantity: str) -> NDArray[np.float64]:
            return np.concatenate([block.stream(quantity).random(count) for block, count in of_block])

        where = f"{self._agent.id}: {place}"
        amounts = [_amounts(block.stream("amount"), config, count, where) for block, count in of_block]
        found: dict[str, Ints] = {
            "cell": cell - skipped,
            "tick": tick.astype(np.int32),
            "sender": np.full(len(cell), self._sender, dtype=np.int32),
            "receiver": _receivers(plan, tick, uniform),
            "amount": np.concatenate(amounts),
            "priority": _priorities(config, place, len(cell), uniform),
            "deadline": _deadlines(plan, config.deadline_share, tick, self._to_day_end(tick), uniform),
            "divisible": np.full(len(cell), config.divisible),
        }
        first = int(np.searchsorted(cell, skipped))
        return {name: each[first:] for name, each in found.items()} if first else found

    def _to_day_end(self, tick: Ints) -> Ints:
        """Return the ticks from each tick to the last of its day."""
        a_day = self._scenario.simulation.ticks_per_day
        return a_day - 1 - tick % a_day

    def _plan(self, config: ArrivalConfig) -> _Plan:
        sendings = [
            each for each in self._changes if isinstance(each, GlobalArrivalRateChange | AgentArrivalRateChange)
        ]
        windows = [each for each in self._changes if isinstance(each, DeadlineWindowChange)]
        rates = np.array([*(config.rate_per_tick * each.multiplier for each in sendings), config.rate_per_tick])
        deadlines = np.array([*(each.deadline_range for each in windows), config.deadline_range])
        multipliers = np.array(config.profile or [1.0])
        steps = profile_steps(len(multipliers), self._scenario.simulation.ticks_per_day)
        rate = rates[self._in_force(sendings)] * np.tile(multipliers[steps], self._scenario.simulation.num_days)
        return _Plan(rate, deadlines[self._in_force(windows)], *self._weights(config))

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


@dataclass(frozen=True)
class _Block:
    """The samples that are drawn together, and the streams of one configuration in them, from `first_stream` on."""

    seed: np.random.SeedSequence
    first_stream: int
    samples: int

    def stream(self, quantity: str) -> np.random.Generator:
        """Return the stream of a quantity: that of the seed's child of this number, as `SeedSequence.spawn` counts."""
        key = (*self.seed.spawn_key, self.first_stream + QUANTITIES.index(quantity))
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed.entropy, spawn_key=key)))


def _amounts(rng: np.random.Generator, config: ArrivalConfig, count: int, where: str) -> Ints:
    """Whole cents, rounded half up, at least 1."""
    of = config.amount_distribution
    if isinstance(of, Uniform):
        return rng.integers(of.min, of.max, count, endpoint=True)
    if isinstance(of, Empirical):
        if of.cents is None:
            raise ConfigError(f"{where}.amount_distribution: its file is not read; take load_scenario, which reads it")
        return of.cents[rng.integers(0, len(of.cents), count)]
    if isinstance(of, Normal):
        drawn = rng.normal(of.mean, of.std_dev, count)
    elif isinstance(of, LogNormal):
        location, variance = of.log_scale
        drawn = rng.lognormal(location, np.sqrt(variance), count)
    else:
        assert isinstance(of, Exponential)  # noqa: S101 - the last of them
        drawn = rng.exponential(of.mean, count)
    if count and not drawn.max() <= MAX_DRAWN_AMOUNT:
        raise ConfigError(f"{where}.amount_distribution: draws amounts of over 2^53 cents; reduce its mean or std_dev")
    drawn += 0.5
    return np.maximum(np.floor(drawn, out=drawn), 1, out=drawn).astype(np.int64)


Uniforms = Callable[[str], NDArray[np.float64]]
"""Draws a number from 0 to 1 for each payment, of a quantity; it is not called where nothing depends on them."""


def _priorities(config: ArrivalConfig, place: str, count: int, uniform: Uniforms) -> Ints:
    chosen = config.priority_distribution
    band = PRIORITY_BANDS.get(place.rpartition(".")[2])
    if config.priority is not None or (chosen is None and band is None):
        return np.full(count, DEFAULT_PRIORITY if config.priority is None else config.priority, dtype=np.int8)
    if isinstance(chosen, WeightedPriorities):
        shares = np.cumsum(chosen.weights) / np.sum(chosen.weights)
        return np.asarray(chosen.values, np.int8)[np.searchsorted(shares, uniform("priority"), side="right")]
    low, high = (chosen.min, chosen.max) if isinstance(chosen, EvenPriorities) else (band or (0, 0))
    return (low + (uniform("priority") * (high - low + 1)).astype(np.int64)).astype(np.int8)


def _deadlines(plan: _Plan, share: float | None, tick: Ints, to_day_end: Ints, uniform: Uniforms) -> Ints:
    """Return ticks after arrival, all in the range that holds with the same probability.

    Where a share of the payments has such deadlines, those of the others are `to_day_end`.
    """
    is_one = bool((plan.deadlines == plan.deadlines[0]).all())
    low, high = plan.deadlines[0] if is_one else plan.deadlines[tick].T
    drawn = uniform("deadline")
    is_end = None
    if share is not None:
        is_end = drawn >= share
        drawn = np.where(is_end, 0.0, drawn / (share or 1.0))  # below the share it is even again, from 0 to 1
    drawn *= high - low + 1
    found: Ints = drawn.astype(np.int64) + low
    return found if is_end is None else np.where(is_end, to_day_end, found)


def _receivers(plan: _Plan, tick: Ints, uniform: Uniforms) -> Ints:
    """By the weights that hold for each payment, counterparties in the order of their ids."""
    of_state = [np.nonzero(each)[0].astype(np.int32) for each in plan.weights]
    if len(of_state) == 1 and len(of_state[0]) == 1:
        return np.full(len(tick), of_state[0][0], dtype=np.int32)
    drawn = uniform("receiver")
    receiver = np.zeros(len(drawn), dtype=np.int32)
    for place, (banks, weights) in enumerate(zip(of_state, plan.weights, strict=True)):
        shares = np.cumsum(weights[banks])
        mine = slice(None) if len(of_state) == 1 else plan.which[tick] == place
        receiver[mine] = banks[np.searchsorted(shares / shares[-1], drawn[mine], side="right")]
    return receiver
