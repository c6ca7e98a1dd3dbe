"""Requests of random tokens, of exact lengths.

Request i depends on `random_seed` and i alone: what is drawn for it has a generator of its own.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from llenergymeasure.config.datasets import BellLengths, Length, LognormalLengths, SyntheticLengths, UniformLengths
from llenergymeasure.domain.requests import Request

if TYPE_CHECKING:
    from numpy.random import Generator

# Each kind of draw has its own stream. Not 0: numpy takes (seed, index) and (seed, index, 0) for the same.
INPUT_LENGTH, OUTPUT_LENGTH, PREFIX, MARKED = 1, 2, 3, 4


def synthetic_requests(
    lengths: SyntheticLengths, count: int, prompt_tokens: Sequence[int], seed: int, mark: int | None = None
) -> Iterator[Request]:
    """`count` requests whose tokens are drawn from `prompt_tokens`; with another `mark` others, and as many.

    The first round(`shared_prefix` * length) tokens of each are the head of one sequence that `seed` alone decides.
    """
    import numpy as np

    marked = () if mark is None else (MARKED, mark + 1)  # as above, not 0
    common = _tokens(prompt_tokens, lengths.longest_input, np.random.default_rng((seed, 0, PREFIX, *marked)))
    for index, (input_len, output_len) in enumerate(drawn_lengths(lengths, count, seed)):
        own = _tokens(prompt_tokens, input_len, np.random.default_rng((seed, index, *marked)))
        shared = round(lengths.shared_prefix * input_len)
        yield Request(index, None, common[:shared] + own[shared:], output_len, ignore_eos=True)


def drawn_lengths(lengths: SyntheticLengths, count: int, seed: int) -> Iterator[tuple[int, int]]:
    """The input and output length of each of `count` requests."""
    for index in range(count):
        yield (
            _draw(lengths.input_len, (seed, index, INPUT_LENGTH)),
            _draw(lengths.output_len, (seed, index, OUTPUT_LENGTH)),
        )


def _draw(length: Length, seed: tuple[int, int, int]) -> int:
    import numpy as np

    if isinstance(length, int):
        return length
    generator = np.random.default_rng(seed)
    if isinstance(length, UniformLengths):
        return int(generator.integers(length.min, length.max, endpoint=True))
    return _truncated(length, generator)


def _truncated(length: BellLengths, generator: "Generator") -> int:
    """By the inverse of the normal distribution, on the lengths or on their logarithms.

    A whole number stands for what is rounded to it, so the ends are as wide as the others. The mean lies between
    the ends, so both are never far out on one side, where the inverse would lose its digits.
    """
    from scipy.special import ndtr, ndtri

    ends = length.min - 0.5, length.max + 0.5
    if isinstance(length, LognormalLengths):
        variance = math.log1p((length.stdev / length.mean) ** 2)
        centre, spread = math.log(length.mean) - variance / 2, math.sqrt(variance)
        low, high = map(math.log, ends)
    else:
        centre, spread = length.mean, length.stdev
        low, high = ends
    share = generator.uniform(ndtr((low - centre) / spread), ndtr((high - centre) / spread))
    drawn = centre + spread * float(ndtri(share))
    drawn = math.exp(drawn) if isinstance(length, LognormalLengths) else drawn
    return round(min(max(drawn, length.min), length.max))


def _tokens(tokens: Sequence[int], length: int, generator: "Generator") -> tuple[int, ...]:
    return tuple(tokens[int(place)] for place in generator.integers(len(tokens), size=length))
