"""Indicators of a run: how much liquidity its banks needed and used, how long payments waited, how they settled.

Exact sums of cents, by day and bank; ratios are their quotients. `docs/payment_days.md` has the formulas, their sources
and a day that is worked by hand.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from payment_simulator.engine.recorded import Recorded
from payment_simulator.engine.vocabulary import OFFSETS, ROUTES, EventColumn
from payment_simulator.scenario.liquidity_bounds import liquidity_bounds, net_and_peak

if TYPE_CHECKING:
    import pyarrow

Ints = NDArray[Any]
PERCENTS = (30, 50, 80)
"""The shares of a day's settled value whose ticks are told."""
LOW_BITS = 31
"""Bits of the lower half of an int64 that is summed in two halves, neither of which can overflow."""


@dataclass(frozen=True)
class Indicators:
    """Indicators of one bank, or of the system; of one day, or of the run. Money in cents, times in ticks.

    `due` is the value of what was to be paid, `settled` of what was, `unsettled` of what was left at the end. The
    system's `lower_bound`, `upper_bound` and `used` are sums over its banks, the run's the most that they were on a
    day; ratios of a run are those of sums over its days. `throughput_50_tick` is the first tick of the day, counted
    from 0, by which half of the day's settled value had settled. A ratio is None where there is nothing to divide by.
    """

    due: int
    settled: int
    unsettled: int
    lower_bound: int
    upper_bound: int
    used: int
    place: float | None
    delay_indicator: float | None
    value_weighted_delay_ticks: float | None
    throughput_30_tick: int | None
    throughput_50_tick: int | None
    throughput_80_tick: int | None
    turnover: float | None
    share_by_route: dict[str, float | None]
    herfindahl: float | None


@dataclass(frozen=True)
class DayIndicators:
    """Indicators of a day, or of the run."""

    system: Indicators
    banks: dict[str, Indicators]

    def to_dict(self) -> dict[str, Any]:
        """Return them as a dict of JSON values."""
        return {"system": asdict(self.system), "banks": {name: asdict(each) for name, each in self.banks.items()}}


@dataclass(frozen=True)
class RunIndicators(DayIndicators):
    """Indicators of a run, and of each of its days.

    `settled_by_tick` is the value, in cents, that each bank's payments settled up to and in each tick of a day: an
    array of days x banks x ticks. Divided by its last column it is the throughput.
    """

    days: tuple[DayIndicators, ...]
    settled_by_tick: Ints

    def to_dict(self) -> dict[str, Any]:
        """Return them as a dict of JSON values, without the values by tick."""
        return super().to_dict() | {"days": [day.to_dict() for day in self.days]}

    def throughput(self, tick: int, day: int | None = None) -> float | None:
        """Return the share of the value settled on a day (None: on all) that had settled by this tick of the day."""
        chosen = self.settled_by_tick if day is None else self.settled_by_tick[day : day + 1]
        total = int(chosen[:, :, -1].sum())
        return int(chosen[:, :, tick].sum()) / total if total else None

    def table(self) -> "pyarrow.Table":
        """Return them as a table, a row per day and bank; `day` is null of the run, `bank` is null of the system."""
        import pyarrow as pa

        return pa.Table.from_pylist([*self.to_rows()], schema=_schema())

    def to_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the table."""
        for number, day in enumerate((self, *self.days)):
            for bank, figures in ((None, day.system), *day.banks.items()):
                values = asdict(figures)
                shares = {f"share_{name}": share for name, share in values.pop("share_by_route").items()}
                yield {"day": number - 1 if number else None, "bank": bank, **values, **shares}


def _schema() -> "pyarrow.Schema":
    import pyarrow as pa

    kinds = {int: pa.int64(), float | None: pa.float64(), int | None: pa.int32()}
    columns = {name: kinds[of] for name, of in Indicators.__annotations__.items() if of in kinds}
    shares = {f"share_{name}": pa.float64() for name in ROUTES.values()}
    return pa.schema({"day": pa.int32(), "bank": pa.string(), **columns, **shares})


def indicators_of(run: Recorded) -> RunIndicators:
    """Return the indicators of a run whose events were recorded."""
    sums = _Sums(run)
    parts = [sums.of_day(day) for day in range(sums.days)]
    whole = sums.of_run()
    names = run.agent_ids
    days = tuple(_named(names, part) for part in parts)
    of_run = _named(names, whole)
    return RunIndicators(of_run.system, of_run.banks, days, sums.settled_by_tick)


def delays_and_unsettled(run: Recorded) -> tuple[Ints, Ints, Ints]:
    """Return of each bank and, last, of the system, the two sums whose quotient is the run's delay indicator, and what
    is unsettled at its end: cents x ticks as Python's integers, and cents."""
    sums = _Sums(run)
    return sums.delay.sum(axis=0), sums.longest_delay.sum(axis=0), sums.unsettled[-1]


def _named(names: Sequence[str], parts: Sequence[Indicators]) -> DayIndicators:
    return DayIndicators(parts[-1], dict(zip(names, parts, strict=False)))


@dataclass(frozen=True)
class _Sums:
    """The sums that indicators are quotients of: arrays of days x banks and, last, the system."""

    run: Recorded

    @property
    def days(self) -> int:
        return self.run.scenario.simulation.num_days

    @property
    def ticks_per_day(self) -> int:
        return self.run.scenario.simulation.ticks_per_day

    @property
    def banks(self) -> int:
        return len(self.run.agent_ids)

    def of_day(self, day: int) -> list[Indicators]:
        """The indicators of a day: of each bank, then of the system."""
        return self._quotients(slice(day, day + 1), self.due[day], self.unsettled[day])

    def of_run(self) -> list[Indicators]:
        """Those of the run: each payment is due once, and what is unsettled is so at its end."""
        unsettled = self.unsettled[-1]
        return self._quotients(slice(None), self.settled.sum(axis=0) + unsettled, unsettled)

    def _quotients(self, days: slice, due: Ints, unsettled: Ints) -> list[Indicators]:
        settled = self.settled[days].sum(axis=0)
        by_route = self.settled_by_route[days].sum(axis=0).tolist()
        reached = self._reached(self._with_system(self.settled_by_tick[days].sum(axis=0), axis=0))
        columns = {
            "due": due,
            "settled": settled,
            "unsettled": unsettled,
            **{name: getattr(self, name)[days].max(axis=0) for name in ("lower_bound", "upper_bound", "used")},
            "place": _ratios(self.used[days] - self.lower_bound[days], self.upper_bound[days] - self.lower_bound[days]),
            "delay_indicator": _ratios(self.delay[days], self.longest_delay[days]),
            "value_weighted_delay_ticks": _ratios(self.delay_of_settled[days], self.settled[days]),
            **{f"throughput_{percent}_tick": ticks for percent, ticks in reached.items()},
            "turnover": _ratios(self.settled[days], self.used[days]),
            "herfindahl": self._herfindahl(days),
        }
        lists = {name: values if isinstance(values, list) else values.tolist() for name, values in columns.items()}
        return [
            Indicators(
                **dict(zip(lists, row, strict=True)),
                share_by_route={
                    name: cents / row[1] if row[1] else None
                    for name, cents in zip(ROUTES.values(), by_route[place], strict=True)
                },
            )
            for place, row in enumerate(zip(*lists.values(), strict=True))
        ]

    # Due value

    @cached_property
    def _carried(self) -> list[tuple[Ints, Ints]]:
        """For each day the payments that are left from earlier ones, in sequence, and the cents of each."""
        settlements, arrivals = self.run.settlements, self.run.arrivals
        left = arrivals.amount.astype(np.int64)
        begun = np.searchsorted(arrivals.tick, np.arange(self.days + 1) * self.ticks_per_day)
        ended = self._ends_of_days(settlements[:, EventColumn.tick])
        open_ones = np.zeros(0, dtype=np.int64)
        found = []
        for day, (first, last) in enumerate(pairwise(ended)):
            found.append((open_ones, left[open_ones]))
            settled = settlements[first:last]
            np.subtract.at(left, settled[:, EventColumn.payment], settled[:, EventColumn.amount])
            open_ones = np.concatenate([open_ones, np.arange(begun[day], begun[day + 1])])
            open_ones = open_ones[left[open_ones] > 0]
        return found

    def _ends_of_days(self, ticks: Ints) -> list[int]:
        """0, and for each day the place after its last event."""
        found: list[int] = np.searchsorted(ticks, np.arange(self.days + 1) * self.ticks_per_day).tolist()
        return found

    @cached_property
    def _due(self) -> tuple[Ints, Ints, Ints]:
        """All that was due, in sequence: the payment, its cents, and the tick from which it was due on that day."""
        arrivals = self.run.arrivals
        parts = []
        for day, (first, last) in enumerate(pairwise(self._ends_of_days(arrivals.tick))):
            carried, left = self._carried[day]
            ticks = np.full(len(carried), day * self.ticks_per_day)
            parts.append((carried, left, ticks))
            parts.append((np.arange(first, last), arrivals.amount[first:last], arrivals.tick[first:last]))
        payment, cents, tick = (np.concatenate(each).astype(np.int64) for each in zip(*parts, strict=True))
        return payment, cents, tick

    @cached_property
    def _due_by_tick(self) -> Ints:
        """The cents that became due up to and in each tick of a day."""
        payment, cents, tick = self._due
        return self._by_tick(self.run.arrivals.sender[payment], tick, cents)

    @cached_property
    def due(self) -> Ints:
        return self._with_system(self._due_by_tick[:, :, -1])

    @cached_property
    def _bounds(self) -> tuple[Ints, Ints]:
        payment, cents, tick = self._due
        sender, receiver = self.run.arrivals.sender[payment], self.run.arrivals.receiver[payment]
        return liquidity_bounds(sender, receiver, cents, tick, self.banks, self.ticks_per_day, self.days)

    @cached_property
    def lower_bound(self) -> Ints:
        return self._with_system(self._bounds[0])

    @cached_property
    def upper_bound(self) -> Ints:
        return self._with_system(self._bounds[1])

    def _herfindahl(self, days: slice) -> list[float | None]:
        """The sum of squared shares: of the receivers in what a bank is due to pay, of the senders in what all are."""
        payment, cents, tick = self._due
        begin, end, _ = days.indices(self.days)
        first, last = np.searchsorted(tick, np.array([begin, end]) * self.ticks_per_day)
        chosen = payment[first:last]
        value = np.zeros(self.banks * self.banks, dtype=np.int64)
        pair = self.run.arrivals.sender[chosen].astype(np.int64) * self.banks + self.run.arrivals.receiver[chosen]
        np.add.at(value, pair, cents[first:last])
        pairs = value.reshape(self.banks, self.banks)
        return [*map(_herfindahl, pairs), _herfindahl(pairs.sum(axis=1))]

    # Settled value

    @cached_property
    def settled_by_tick(self) -> Ints:
        """The cents that settled up to and in each tick of a day: days x banks x ticks."""
        rows = self.run.settlements
        return self._by_tick(rows[:, EventColumn.agent], rows[:, EventColumn.tick], rows[:, EventColumn.amount])

    @cached_property
    def settled(self) -> Ints:
        return self._with_system(self.settled_by_tick[:, :, -1])

    @cached_property
    def unsettled(self) -> Ints:
        return self.due - self.settled

    @cached_property
    def settled_by_route(self) -> Ints:
        """Days x banks and the system x routes."""
        rows = self.run.settlements
        place = np.zeros(max(ROUTES) + 1, dtype=np.int64)
        place[[*ROUTES]] = np.arange(len(ROUTES))
        cell = self._cell(rows[:, EventColumn.agent], rows[:, EventColumn.tick]) * len(ROUTES)
        found = np.zeros(self.days * self.banks * len(ROUTES), dtype=np.int64)
        np.add.at(found, cell + place[rows[:, EventColumn.event]], rows[:, EventColumn.amount])
        return self._with_system(found.reshape(self.days, self.banks, len(ROUTES)))

    @cached_property
    def used(self) -> Ints:
        """The peak of sent less received over what settled, an offset by its net.

        What is received counts when it can be used: with deferred crediting at the end of its tick.
        """
        tick, bank, cents = _moves(self.run)
        _, peak = net_and_peak(self._cell(bank, tick), cents, self.days * self.banks)
        return self._with_system(peak.reshape(self.days, self.banks))

    # Delay: the sum of cents x ticks is that of what waits at the end of each tick

    @cached_property
    def delay(self) -> Ints:
        return self._with_system(_exact_sums(self._due_by_tick - self.settled_by_tick))

    @cached_property
    def longest_delay(self) -> Ints:
        return self._with_system(_exact_sums(self._due_by_tick))

    @cached_property
    def delay_of_settled(self) -> Ints:
        """That of what settled alone: as if nothing else had been due."""
        rows = self.run.settlements
        tick, arrived = rows[:, EventColumn.tick], self.run.arrivals.tick[rows[:, EventColumn.payment]]
        since = np.maximum(arrived, tick // self.ticks_per_day * self.ticks_per_day)
        was_due = self._by_tick(rows[:, EventColumn.agent], since, rows[:, EventColumn.amount])
        return self._with_system(_exact_sums(was_due - self.settled_by_tick))

    # Layout of the sums

    def _cell(self, bank: Ints, tick: Ints) -> Ints:
        """Count the days and their banks."""
        found: Ints = tick.astype(np.int64) // self.ticks_per_day * self.banks + bank
        return found

    def _by_tick(self, bank: Ints, tick: Ints, cents: Ints) -> Ints:
        """Sum cents up to and in each tick of a day: days x banks x ticks."""
        found = np.zeros(self.days * self.banks * self.ticks_per_day, dtype=np.int64)
        np.add.at(found, self._cell(bank, tick) * self.ticks_per_day + tick % self.ticks_per_day, cents)
        return found.reshape(self.days, self.banks, self.ticks_per_day).cumsum(axis=2)

    def _with_system(self, values: Ints, axis: int = 1) -> Ints:
        """Append to the axis of banks their sum."""
        return np.concatenate([values, values.sum(axis=axis, keepdims=True)], axis=axis)

    def _reached(self, settled: Ints) -> dict[int, list[int | None]]:
        """For each percentage the first tick of the day by which so much had settled."""
        total = settled[:, -1]
        found = {}
        for percent in PERCENTS:
            needed = np.array([-(-percent * cents // 100) for cents in total.tolist()], dtype=np.int64)
            first = (settled >= needed[:, None]).argmax(axis=1)
            found[percent] = [tick if cents else None for tick, cents in zip(first.tolist(), total, strict=True)]
        return found


def _moves(run: Recorded) -> tuple[Ints, Ints, Ints]:
    """Return what settled as moves of each bank's liquidity, in the order of its use: tick, bank, cents sent."""
    rows = run.settlements
    is_offset = np.isin(rows[:, EventColumn.event], OFFSETS)
    step = np.arange(len(rows))
    # The payments of an offset are one step, that of its first: they stand side by side.
    follows = is_offset[1:] & is_offset[:-1] & (rows[1:, EventColumn.note] == rows[:-1, EventColumn.note])
    step[1:][follows] = -1
    step = np.maximum.accumulate(step)
    bank = rows[:, [EventColumn.agent, EventColumn.counterparty]].ravel()
    cents = np.stack([rows[:, EventColumn.amount], -rows[:, EventColumn.amount]], axis=1).ravel()
    tick, step = np.repeat(rows[:, EventColumn.tick], 2), np.repeat(step, 2)
    if is_offset.any():
        is_offset = np.repeat(is_offset, 2)
        of_each, place = np.unique(step[is_offset] * len(run.agent_ids) + bank[is_offset], return_inverse=True)
        net = np.zeros(len(of_each), dtype=np.int64)
        np.add.at(net, place, cents[is_offset])
        net_step, net_bank = np.divmod(of_each, len(run.agent_ids))
        step = np.concatenate([step[~is_offset], net_step])
        tick = np.concatenate([tick[~is_offset], rows[net_step, EventColumn.tick]])
        bank, cents = np.concatenate([bank[~is_offset], net_bank]), np.concatenate([cents[~is_offset], net])
        order = np.argsort(step, kind="stable")
        tick, bank, cents = tick[order], bank[order], cents[order]
    if run.scenario.deferred_crediting:
        order = np.argsort(2 * tick + (cents < 0), kind="stable")
        tick, bank, cents = tick[order], bank[order], cents[order]
    return tick, bank, cents


def _exact_sums(values: Ints) -> Ints:
    """Sum the last axis into Python's integers: cents x ticks can pass what an int64 holds."""
    high, low = values >> LOW_BITS, values & ((1 << LOW_BITS) - 1)
    found: Ints = high.sum(axis=-1).astype(object) * (1 << LOW_BITS) + low.sum(axis=-1).astype(object)
    return found


def _ratios(parts: Ints, wholes: Ints) -> list[float | None]:
    """The ratio of the sums over days, exact up to the last division; None where there is nothing to divide by."""
    part, whole = parts.astype(object).sum(axis=0), wholes.astype(object).sum(axis=0)
    return [above / below if below else None for above, below in zip(part, whole, strict=True)]


def _herfindahl(values: Ints) -> float | None:
    total = int(values.sum())
    return float(((values / total) ** 2).sum()) if total else None
