"""Arrivals fitted to recorded days: rates by tick of day, amounts, counterparties and priorities of each bank."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from labledger.errors import ConfigError
from payment_simulator.scenario.bank_arrivals import profile_steps
from payment_simulator.scenario.distributions import MAX_OBSERVED
from payment_simulator.scenario.given_payments import GivenPayments
from payment_simulator.scenario.liquidity_bounds import opening_balances

Ints = NDArray[Any]
Amounts = Literal["empirical", "lognormal"]
PAYMENTS_PER_STEP = 20
"""A bank's profile has a step of its own for each so many payments of a mean day: finer ones would follow chance."""
MOST_STEPS = 48
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
    """The banks' arrivals, and the balances that a day begins with; `is_capped` where deadlines end with the day."""

    banks: tuple[BankFit, ...]
    silent: tuple[str, ...]
    opening_balance: dict[str, int]
    ticks_per_day: int
    days: int
    is_capped: bool

    def scenario(self, amounts_file: str | None) -> dict[str, Any]:
        """Return the scenario as a YAML file writes it; amounts in `amounts_file`, or as values where it is None."""
        agents: list[dict[str, Any]] = []
        configs = {each.bank: each for each in self.banks}
        for name, balance in self.opening_balance.items():
            agent: dict[str, Any] = {"id": name, "opening_balance": balance}
            if (fitted := configs.get(name)) is not None:
                agent["arrival_config"] = _with_amounts(fitted, amounts_file)
            agents.append(agent)
        capped = {"deadline_cap_at_eod": True} if self.is_capped else {}
        return {"simulation": {"ticks_per_day": self.ticks_per_day, "num_days": 1}, **capped, "agents": agents}


def fit_arrivals(given: GivenPayments, amounts: Amounts, level: float) -> Fit:
    """Return arrivals fitted to recorded days.

    A bank's rate is its payments per day and tick; its profile has steps of equal length, one for each 20 payments of a
    mean day, 48 at most; counterparties and priorities have the weights with which they were seen. Log-normal amounts
    have the mean and the variance of their logarithms. A bank begins with the lower bound + `level` x (upper - lower
    bound) of its own liquidity, the largest of its days.

    Raises:
        ConfigError: there are no payments, or their days have no number of ticks.
    """
    if len(given) == 0:
        raise ConfigError("payments: there is nothing to fit: no payment")
    if given.ticks_per_day is None:
        problem = "their times are ticks, and how many a day has is not said"
        raise ConfigError(f"payments: {problem}; fit a scenario that says simulation.ticks_per_day, or say a clock")
    fitted = tuple(_banks(given, amounts))
    has = {each.bank for each in fitted}
    return Fit(
        banks=fitted,
        silent=tuple(bank for bank in given.banks if bank not in has),
        opening_balance=opening_balances(given, level, given.ticks_per_day),
        ticks_per_day=given.ticks_per_day,
        days=given.num_days,
        is_capped=bool((given.deadline <= _day_ends(given)).all()),
    )


def _day_ends(given: GivenPayments) -> Ints:
    """Return the last tick of each payment's day."""
    ticks = given.ticks_per_day or 1
    return (given.tick // ticks + 1) * ticks - 1


def _banks(given: GivenPayments, amounts: Amounts) -> Iterator[BankFit]:
    assert given.ticks_per_day is not None  # noqa: S101 - the caller has looked
    ends = _day_ends(given)
    end_with_day = bool((given.deadline == ends).all())
    after = np.full(len(given), given.ticks_per_day) if end_with_day else given.deadline.astype(np.int64) - given.tick
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
            "deadline_range": [int(after[own].min()), int(after[own].max())],
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
