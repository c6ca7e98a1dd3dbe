"""The goodness of a fit: amounts and times of drawn days beside the recorded ones, bank by bank, and their curves."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labledger.console import Progress, Silent
from labledger.counts import counted
from labledger.executor import LOCAL, check_place_to_run
from payment_simulator.calibration.curves import CURVES, curves_of_recorded, simulated_days
from payment_simulator.calibration.fitting import Fit, with_own_deadline
from payment_simulator.scenario.arrivals import Arrivals, draw_arrivals
from payment_simulator.scenario.given_payments import GivenPayments
from payment_simulator.scenario.schema import Scenario

Ints = NDArray[Any]
BAND = (5.0, 95.0)
"""Percentiles of the drawn days between which a curve of a recorded day is expected."""
COMPARED_PAYMENTS = 2_000_000
"""Drawn payments from which distances are found, about."""


@dataclass(frozen=True)
class BankGoodness:
    """One bank: payments and value in cents of a mean recorded day and of a mean drawn one, and the distances of
    Kolmogorov and Smirnov between the recorded and the drawn distribution of amounts and of ticks of the day."""

    bank: str
    payments: float
    drawn_payments: float
    value: float
    drawn_value: float
    ks_amount: float
    ks_tick: float


@dataclass(frozen=True)
class CurveGoodness:
    """A curve by tick, in cents: of each recorded day (days x ticks), and the band and the median of the drawn days.

    `in_band` is the share of ticks at which a recorded day is in the band.
    """

    name: str
    recorded: Ints
    low: Ints
    median: Ints
    high: Ints
    in_band: float


@dataclass(frozen=True)
class Goodness:
    """The goodness of all banks, and of the curves of settled and of waiting value, over `samples` drawn days.

    `own_deadlines` and `drawn_own_deadlines` are the shares of payments whose deadline is not their day's last tick.
    """

    banks: tuple[BankGoodness, ...]
    curves: tuple[CurveGoodness, ...]
    samples: int
    seed: int
    own_deadlines: float
    drawn_own_deadlines: float


def goodness_of_fit(
    fit: Fit,
    drawn: Scenario,
    given: GivenPayments,
    *,
    samples: int,
    seed: int,
    on: str = LOCAL,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Goodness:
    """Return how like the days in `given` the days of the scenario `drawn` are, all with the banks' fitted balances.

    Each day is simulated on its own. `on` and `workers` are those of `labledger.executor.run_all`.

    Raises:
        ConfigError: a day cannot be drawn or counted exactly; or there is no such `on`.
        WorkerError: a worker process was killed twice at the same days.
    """
    check_place_to_run(on)
    shown = progress or Silent()
    shown.phase(f"simulating {counted(fit.days, 'recorded day')}")
    recorded = curves_of_recorded(_without_draws(drawn), given, shown)
    shown.phase(f"drawing and simulating {counted(samples, 'day')}")
    days = simulated_days(drawn, seed, samples, on, workers, shown)
    shown.phase("comparing")
    some = max(1, min(samples, COMPARED_PAYMENTS // (len(given) // fit.days + 1)))
    compared = draw_arrivals(drawn, seed, samples=some)
    curves = [_curve(name, recorded[:, place], days.curves[:, place]) for place, name in enumerate(CURVES)]
    means = days.totals / samples
    own, own_drawn = (with_own_deadline(each.deadline, each.tick, fit.ticks_per_day) for each in (given, compared))
    return Goodness(
        banks=tuple(_banks(fit, drawn, given, compared, means)),
        curves=tuple(curves),
        samples=samples,
        seed=seed,
        own_deadlines=float(own.mean()),
        drawn_own_deadlines=float(own_drawn.mean()) if len(compared) else 0.0,
    )


def ks_distance(one: Ints, other: Ints) -> float:
    """Return the largest difference between two empirical distribution functions (Kolmogorov and Smirnov), 0 to 1."""
    if len(one) == 0 or len(other) == 0:
        return 1.0
    at = np.concatenate([one, other])
    shares = [np.searchsorted(np.sort(each), at, side="right") / len(each) for each in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def _without_draws(scenario: Scenario) -> Scenario:
    agents = [agent.model_dump(exclude={"arrival_config", "arrival_bands"}) for agent in scenario.agents]
    return Scenario.model_validate({**scenario.model_dump(), "agents": agents})


def _curve(name: str, recorded: Ints, drawn: Ints) -> CurveGoodness:
    low, median, high = np.percentile(drawn, (BAND[0], 50.0, BAND[1]), axis=0)
    in_band = float(((recorded >= low) & (recorded <= high)).mean())
    return CurveGoodness(name, recorded, low, median, high, in_band)


def _banks(fit: Fit, drawn: Scenario, given: GivenPayments, compared: Arrivals, means: Ints) -> Iterator[BankGoodness]:
    """Yield the goodness of each bank; distances are to the days in `compared`."""
    place = {name: number for number, name in enumerate(drawn.agent_ids)}
    number_of = {name: number for number, name in enumerate(given.banks)}
    tick_of_day = given.tick % fit.ticks_per_day
    for each in fit.banks:
        own, theirs = given.sender == number_of[each.bank], compared.sender == place[each.bank]
        yield BankGoodness(
            bank=each.bank,
            payments=each.payments / fit.days,
            drawn_payments=float(means[0, place[each.bank]]),
            value=sum(given.amount[own].tolist()) / fit.days,
            drawn_value=float(means[1, place[each.bank]]),
            ks_amount=ks_distance(given.amount[own], compared.amount[theirs]),
            ks_tick=ks_distance(tick_of_day[own], compared.tick[theirs]),
        )
