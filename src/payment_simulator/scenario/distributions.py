"""The distributions of a scenario: of amounts, which are drawn or observed, and of priorities."""

import math
from functools import cached_property
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from labledger.sections import PositiveFloat, Section
from payment_simulator.scenario.numbers import Amount, Priority, Rate, Weight

MAX_OBSERVED = 100_000
"""Amounts of one bank that a scenario holds; of more, quantiles say as much."""


MOST_MU, MOST_SIGMA = 40, 10
"""Far beyond any amount, and far from what a double cannot hold."""


class Normal(Section):
    """Amounts of a normal distribution, at least 1."""

    type: Literal["Normal"]
    mean: PositiveFloat = Field(description="Cents. Mean of the amounts.", examples=[10000])
    std_dev: Rate = Field(description="Cents. Standard deviation of the amounts.", examples=[5000])


class LogNormal(Section):
    """Amounts of a log-normal distribution: `mean` and `std_dev` of the amount, `mu` and `sigma` of its logarithm."""

    type: Literal["LogNormal"]
    mean: PositiveFloat | None = Field(None, description="Cents. Mean of the amounts.", examples=[10000])
    std_dev: Rate | None = Field(None, description="Cents. Standard deviation of the amounts.", examples=[5000])
    mu: Annotated[float, Field(ge=-MOST_MU, le=MOST_MU, strict=True)] | None = Field(
        None, description="Number. Mean of the natural logarithm of the amounts in cents.", examples=[9.1]
    )
    sigma: Annotated[float, Field(ge=0, le=MOST_SIGMA, strict=True)] | None = Field(
        None, description="Number. Standard deviation of that logarithm.", examples=[0.5]
    )

    @model_validator(mode="after")
    def _one_scale(self) -> Self:
        given = {name for name in ("mean", "std_dev", "mu", "sigma") if getattr(self, name) is not None}
        if given not in ({"mean", "std_dev"}, {"mu", "sigma"}):
            missing = {"mean": "std_dev", "std_dev": "mean", "mu": "sigma", "sigma": "mu"}
            name = missing[min(given)] if len(given) == 1 else "mean"
            raise ValueError(f"{name}: give mean and std_dev, of the amounts, or mu and sigma, of their logarithm")
        return self

    @property
    def log_scale(self) -> tuple[float, float]:
        """The mean and the variance of the logarithm of the amounts in cents."""
        if self.mean is None or self.std_dev is None:
            return self.mu or 0.0, (self.sigma or 0.0) ** 2
        variance = 2 * np.log(np.hypot(1.0, self.std_dev / self.mean))
        return float(np.log(self.mean) - variance / 2), float(variance)

    @property
    def moments(self) -> tuple[float, float]:
        """E[X] and E[X^2] of an amount, in cents."""
        if self.mean is None or self.std_dev is None:
            location, variance = self.log_scale
            return math.exp(location + variance / 2), math.exp(2 * (location + variance))
        return self.mean, self.mean * self.mean + self.std_dev * self.std_dev


class Uniform(Section):
    """Amounts from `min` to `max`, all with the same probability."""

    type: Literal["Uniform"]
    min: Amount = Field(description="Cents. The least amount.", examples=[1000])
    max: Amount = Field(description="Cents. The largest amount.", examples=[50000])

    @model_validator(mode="after")
    def _min_first(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"max: {self.max} is less than min {self.min}")
        return self


class Exponential(Section):
    """Amounts of an exponential distribution, at least 1."""

    type: Literal["Exponential"]
    mean: PositiveFloat = Field(description="Cents. Mean of the amounts.", examples=[10000])


class Empirical(Section):
    """Amounts that were observed, each as probable as the next; those of a file stand as `values` once it is read."""

    type: Literal["Empirical"]
    file: str | None = Field(
        None,
        description="CSV or Parquet: `amount` in cents; of its `sender`, if it has one.",
        examples=["amounts.parquet"],
    )
    values: Annotated[list[Amount], Field(min_length=1, max_length=MAX_OBSERVED)] | None = Field(
        None, description="Cents. In place of a file.", examples=[[100, 250, 250]]
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) == (self.values is None):
            raise ValueError("file: give a file of amounts or their values, one of them")
        return self

    @cached_property
    def cents(self) -> NDArray[np.int64] | None:
        """The amounts as an array; None where they are in a file that is not read."""
        return None if self.values is None else np.asarray(self.values, dtype=np.int64)


AmountDistribution = Annotated[Normal | LogNormal | Uniform | Exponential | Empirical, Field(discriminator="type")]


class EvenPriorities(Section):
    """Priorities from `min` to `max`, all with the same probability."""

    type: Literal["Uniform"]
    min: Priority = Field(description="Priority. The least.", examples=[3])
    max: Priority = Field(description="Priority. The highest.", examples=[8])

    @model_validator(mode="after")
    def _min_first(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"max: {self.max} is less than min {self.min}")
        return self


class WeightedPriorities(Section):
    """Priorities from `values`, with probabilities in proportion to their weights."""

    type: Literal["Categorical"]
    values: Annotated[list[Priority], Field(min_length=1)] = Field(
        description="Priorities. Those that are drawn from.", examples=[[3, 5, 9]]
    )
    weights: list[Weight] = Field(
        description="Weights. One for each of `values`; only their proportions count.", examples=[[0.2, 0.7, 0.1]]
    )

    @model_validator(mode="after")
    def _a_weight_each(self) -> Self:
        if len(self.weights) != len(self.values):
            raise ValueError(f"weights: {len(self.weights)} for {len(self.values)} values")
        if not sum(self.weights) > 0:
            raise ValueError("weights: none is above 0")
        return self
