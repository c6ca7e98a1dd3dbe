"""Arrivals fitted to recorded days: rates by tick of day, amounts, counterparties and priorities of each bank."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from labledger.errors import ConfigError
from payment_simulator.calibration.surroundings import OPENING, Surroundings
from payment_simulator.scenario.bank_arrivals import profile_steps
from payment_simulator.scenario.distributions import MAX_OBSERVED
from payment_simulator.scenario.given_payments import GivenPayments
from payment_simulator.scenario.liquidity_bounds import opening_balances

Ints = NDArray[Any]
Amounts = Literal["empirical", "lognormal"]
PAYMENTS_PER_STEP = 20
"""A bank's profile has a step of its own for each so many payments of a mean day: finer ones would follow chance."""
MOST_STEPS = 48
DEFAULT_LEVEL = 0.5
NOTHING_AROUND = Surroundings()
QUANTILES = 10_000
"""Amounts that a bank keeps where it sent more than a scenario holds."""


@dataclass(frozen=True)
class BankFit:
    """One bank's arrivals as a scenario writes them, and the amounts that were observed, sorted, in cents."""

    bank: str
    payments: int
    arrival_config: dict[str, Any]
    observed: Ints


@dataclass(frozen=True)
class Fit:
    """The banks' arrivals, and the balances that a day begins with; `is_capped` where deadlines end with the day.

    Balances are at `level` of the banks' own liquidity, but for `own_balances` banks, which had one.
    """

    banks: tuple[BankFit, ...]
    silent: tuple[str, ...]
    opening_balance: dict[str, int]
    ticks_per_day: int
    days: int
    is_capped: bool
    level: float
    own_balances: int
    around: Surroundings

    def scenario(self, amounts_file: str | None) -> dict[str, Any]:
        """Return the scenario as a YAML file writes it; amounts in `amounts_file`, or as values where it is None."""
        agents: list[dict[str, Any]] = []
        configs = {each.bank: each for each in self.banks}
        for name, balance in self.opening_balance.items():
            agent: dict[str, Any] = {"id": name, **self.around.banks.get(name, {}), OPENING: balance}
            if (fitted := configs.get(name)) is not None:
                agent["arrival_config"] = _with_amounts(fitted, amounts_file)
            agents.append(agent)
        capped = {"deadline_cap_at_eod": True} if self.is_capped else {}
        length = {"ticks_per_day": self.ticks_per_day, "num_days": 1}
        return {"simulation": length, **self.around.sections, **capped, "agents": agents}


def fit_arrivals(
    given: GivenPayments, amounts: Amounts, level: float | None = None, around: Surroundings = NOTHING_AROUND
) -> Fit:
    """Return arrivals fitted to recorded days.

    A bank's rate is its payments per day and tick; its profile has steps of equal length, one for each 20 payments of a
    mean day, 48 at most; counterparties and priorities have the weights with which they were seen. Log-normal amounts
    have the mean and the variance of their logarithms. Deadlines other than the day's end are drawn evenly from the
    range that was seen, so often that as many of them are before the day's end as were. `around` says all else. A bank
    that has no opening balance there begins with the lower bound + `level` (0.5) x (upper - lower bound) of its own
    liquidity, the largest of its days; with a `level` each bank does.

    Raises:
        ConfigError: there are no payments, or their days have no number of ticks.
    """
    if len(given) == 0:
        raise ConfigError("payments: there is nothing to fit: no payment")
    if given.ticks_per_day is None:
        problem = "their times are ticks, and how many a day has is not said"
        raise ConfigError(f"payments: {problem}; fit a scenario that says simulation.ticks_per_day, or say a clock")
    is_capped = bool((given.deadline <= _day_ends(given)).all())
    fitted = tuple(_banks(given, amounts, is_capped=is_capped))
    at_level = opening_balances(given, DEFAULT_LEVEL if level is None else level, given.ticks_per_day)
    written = {name: own[OPENING] for name, own in around.banks.items() if OPENING in own and level is None}
    has = {each.bank for each in fitted}
    return Fit(
        banks=fitted,
        silent=tuple(bank for bank in given.banks if bank not in has),
        opening_balance={**dict.fromkeys(around.banks, 0), **at_level, **written},
        ticks_per_day=given.ticks_per_day,
        days=given.num_days,
        is_capped=is_capped,
        level=DEFAULT_LEVEL if level is None else level,
        own_balances=len(written),
        around=around,
    )


def _day_ends(given: GivenPayments) -> Ints:
    """Return the last tick of each payment's day."""
    ticks = given.ticks_per_day or 1
    return (given.tick // ticks + 1) * ticks - 1


def with_own_deadline(deadline: Ints, tick: Ints, ticks_per_day: int) -> Ints:
    """Return True of each payment whose deadline is another than its day's last tick."""
    own: Ints = deadline != (tick // ticks_per_day + 1) * ticks_per_day - 1
    return own


def _banks(given: GivenPayments, amounts: Amounts, *, is_capped: bool) -> Iterator[BankFit]:
    assert given.ticks_per_day is not None  # noqa: S101 - the caller has looked
    after, room = given.deadline.astype(np.int64) - given.tick, _day_ends(given) - given.tick
    for number, bank in enumerate(given.banks):
        (own,) = np.nonzero(given.sender == number)
        if len(own) == 0:
            continue
        rate, profile = _rates(given.tick[own] % given.ticks_per_day, given.ticks_per_day, given.num_days)
        receivers, counts = np.unique(given.receiver[own], return_counts=True)
        observed = np.sort(given.amount[own])
        config = {
            "rate_per_tick": rate,
            "profile": profile,
            "amount_distribution": _log_normal(observed) if amounts == "lognormal" else {"type": "Empirical"},
            "counterparty_weights": {
                given.banks[each]: int(count) for each, count in zip(receivers.tolist(), counts, strict=True)
            },
            **_deadlines(after[own], room[own], given.ticks_per_day, is_capped=is_capped),
            **_priorities(given.priority[own]),
        }
        yield BankFit(bank, len(own), config, observed)


def _rates(tick_of_day: Ints, ticks: int, days: int) -> tuple[float, list[float]]:
    """Return the mean rate per tick, and its multipliers in steps of equal length."""
    rate = len(tick_of_day) / (days * ticks)
    count = max(1, min(ticks, MOST_STEPS, len(tick_of_day) // days // PAYMENTS_PER_STEP))
    step = profile_steps(count, ticks)
    found = np.bincount(step[tick_of_day], minlength=count) / (np.bincount(step) * days) / rate
    return float(f"{rate:.9g}"), found.round(6).tolist()


def _deadlines(after: Ints, room: Ints, ticks: int, *, is_capped: bool) -> dict[str, Any]:
    """Return the range of deadlines, and the share of payments that draw from it.

    `after` are ticks from arrival to deadline, `room` those to the day's end. Deadlines that are drawn from the range
    and cut at the day's end are none of their own, so the share is as much larger.
    """
    own = after[after != room]
    if len(own) == 0:
        return {"deadline_range": [ticks, ticks], **({} if is_capped else {"deadline_share": 0.0})}
    low, high = int(own.min()), int(own.max())
    width = high - low + 1
    stays = float(np.clip(room - low, 0, width).mean()) / width if is_capped else 1.0
    share = len(own) / len(after) / stays
    return {"deadline_range": [low, high], **({"deadline_share": float(f"{share:.6g}")} if share < 1 else {})}


def _priorities(priority: Ints) -> dict[str, Any]:
    values, counts = np.unique(priority, return_counts=True)
    if len(values) == 1:
        return {"priority": int(values[0])}
    return {"priority_distribution": {"type": "Categorical", "values": values.tolist(), "weights": counts.tolist()}}


def _log_normal(observed: Ints) -> dict[str, Any]:
    """Return the log-normal distribution whose logarithm has the mean m and the variance v of the amounts' logarithms.

    Its mean is exp(m + v / 2), its standard deviation that times sqrt(exp(v) - 1).
    """
    logs = np.log(observed)
    variance = float(logs.var(ddof=1)) if len(observed) > 1 else 0.0
    mean = float(np.exp(logs.mean() + variance / 2))
    return {
        "type": "LogNormal",
        "mean": float(f"{mean:.9g}"),
        "std_dev": float(f"{mean * np.sqrt(np.expm1(variance)):.9g}"),
    }


def kept_amounts(observed: Ints) -> Ints:
    """Return sorted amounts as a scenario keeps them: all, or of very many their quantiles."""
    if len(observed) <= min(QUANTILES, MAX_OBSERVED):
        return observed
    places = (np.arange(QUANTILES) + 0.5) / QUANTILES * len(observed)
    return observed[places.astype(np.int64)]


def _with_amounts(fitted: BankFit, file: str | None) -> dict[str, Any]:
    config = fitted.arrival_config
    if config["amount_distribution"]["type"] != "Empirical":
        return config
    amounts = {"values": kept_amounts(fitted.observed).tolist()} if file is None else {"file": file}
    return {**config, "amount_distribution": {"type": "Empirical", **amounts}}
