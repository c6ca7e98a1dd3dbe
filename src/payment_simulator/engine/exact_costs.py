"""Exact costs: the amounts that rates are charged on, and the products before they are rounded."""

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache

from payment_simulator.engine.vocabulary import Cost
from payment_simulator.scenario.cost_sections import Penalty, RatePenalty
from payment_simulator.scenario.numbers import BPS, exact
from payment_simulator.scenario.schema import Scenario

MOST_DELAY_RATES = 6
"""Three bands of priority, before and after the deadline."""


def delay_rates(scenario: Scenario) -> tuple[Fraction, ...]:
    """Rates of delay, in cents per tick and cent: of priority 0 before and after the deadline, of priority 1, to 10."""
    rates = scenario.cost_rates
    times = rates.priority_delay_multipliers
    bands = (times.low_multiplier, times.normal_multiplier, times.urgent_multiplier)
    return _delay_rates(rates.delay_cost_per_tick_per_cent, bands, rates.overdue_delay_multiplier)


@lru_cache(maxsize=64)
def _delay_rates(base: float, bands: tuple[float, ...], overdue: float) -> tuple[Fraction, ...]:
    """Return the rates; kept, for each of a search's thousands of policies asks for them."""
    low, normal, urgent = (exact(base) * exact(band) for band in bands)
    return tuple(rate for each in [low] * 4 + [normal] * 4 + [urgent] * 3 for rate in (each, each * exact(overdue)))


def charged_delay_rates(scenario: Scenario) -> list[Fraction]:
    """Each rate of delay that is not 0, once, the highest first."""
    return sorted({rate for rate in delay_rates(scenario) if rate}, reverse=True)


SINGLE_RATES = (
    Cost.LIQUIDITY,
    Cost.OVERDRAFT,
    Cost.COLLATERAL,
    Cost.DEADLINE_PENALTY,
    Cost.EOD_PENALTY,
    Cost.EOD_BORROWING,
)
"""The kinds of cost that have one rate; a penalty in cents has none, and stands here with 0."""

RATED_COLUMNS = len(SINGLE_RATES) + MOST_DELAY_RATES


def single_rates(scenario: Scenario) -> dict[Cost, Fraction]:
    """The rate of each of `SINGLE_RATES`, in cents per cent."""
    rates = scenario.cost_rates
    bps = (
        rates.liquidity_cost_per_tick_bps,
        rates.overdraft_bps_per_tick,
        rates.collateral_cost_per_tick_bps,
        _bps(rates.deadline_penalty),
        _bps(rates.eod_penalty_per_transaction),
        rates.eod_borrowing_bps,
    )
    return {kind: exact(each) / BPS for kind, each in zip(SINGLE_RATES, bps, strict=True)}


def rated_columns(scenario: Scenario) -> Iterator[tuple[int, Cost, Fraction]]:
    """Yield the place, the kind and the rate of each column of `Outcome.charged_on` whose rate is not 0."""
    for place, (kind, rate) in enumerate(single_rates(scenario).items()):
        if rate:
            yield place, kind, rate
    for place, rate in enumerate(charged_delay_rates(scenario), len(SINGLE_RATES)):
        yield place, Cost.DELAY, rate


def _bps(penalty: Penalty) -> float:
    return penalty.bps_per_event if isinstance(penalty, RatePenalty) else 0
