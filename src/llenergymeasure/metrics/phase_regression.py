"""Joules per prefilled and per generated token where prefill and decode of different requests overlap.

The energy of equal slices of time is regressed on the tokens that were prefilled and generated in each:

    E_k = c + p * prefilled_k + d * generated_k + e_k

by ordinary least squares. `c` is what the slice costs whatever is done in it. Standard errors are those of Newey and
West (1987), Bartlett weights over floor(4 (n / 100)^(2/9)) neighbours: a slice's error goes on in the next one. Of few
slices such errors are too small: the quantile is Student's, widened as Kiefer and Vogelsang (2005) have it for the
share of the slices that the neighbours are. Without it intervals of 30 slices held the truth in 87 to 91 % of
simulations.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MIN_SLICES = 30
MAX_CORRELATION = 0.95  # a variance inflated ten times
LEVEL = 0.95


class PerToken(NamedTuple):
    """Joules per token, and half the width of the 95 % interval."""

    joules: float
    half_width: float


class PhaseCosts(NamedTuple):
    """The cost of a prefilled and of a generated token."""

    prefill: PerToken
    decode: PerToken


def phase_costs(energies_j: Sequence[float], prefilled: Sequence[int], generated: Sequence[int]) -> PhaseCosts | str:
    """The costs, from three values for each slice of time; a text is the reason why they are not determined."""
    slices = len(energies_j)
    if slices < MIN_SLICES:
        return f"{slices} slices of time are too few, {MIN_SLICES} are needed: measure for longer"
    tokens = np.array([prefilled, generated], dtype=float)
    if not tokens.std(axis=1).all():
        return "every slice of time has the same tokens: vary the lengths of prompts and outputs"
    correlation = float(np.corrcoef(tokens)[0, 1])
    if abs(correlation) > MAX_CORRELATION:
        return (
            f"input and output tokens go together from one slice of time to the next (correlation {correlation:.2f}): "
            "vary the lengths of prompts and outputs"
        )
    from scipy.special import stdtrit

    columns = np.column_stack([np.ones(slices), *tokens])
    lags = int(4 * (slices / 100) ** (2 / 9))
    costs, spread = _least_squares(columns, np.array(energies_j), lags)
    width = float(stdtrit(slices - columns.shape[1], (1 + LEVEL) / 2)) * _widening((lags + 1) / slices)
    found = [PerToken(float(costs[place]), width * float(spread[place])) for place in (1, 2)]
    return PhaseCosts(*found)


def _widening(share: float) -> float:
    """The factor by which the 95 % interval widens where the weights reach over this share of the slices."""
    return (1.9600 + 2.9694 * share + 0.4160 * share**2 - 0.5324 * share**3) / 1.9600


def _least_squares(columns: np.ndarray, values: np.ndarray, lags: int) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients, and their standard errors."""
    scale = np.abs(columns).max(axis=0)
    scaled = columns / scale
    rows, unknowns = scaled.shape
    inverse = np.linalg.inv(scaled.T @ scaled)
    found = inverse @ scaled.T @ values
    scores = scaled * (values - scaled @ found)[:, None]
    middle = scores.T @ scores
    for lag in range(1, lags + 1):
        product = scores[lag:].T @ scores[:-lag]
        middle += (1 - lag / (lags + 1)) * (product + product.T)
    covariance = inverse @ middle @ inverse * rows / (rows - unknowns)
    return found / scale, np.sqrt(np.clip(np.diag(covariance), 0, None)) / scale
