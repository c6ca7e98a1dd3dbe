"""Points that fill a space evenly: a grid, or a seeded design; and steps around the best of them."""

from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import count, islice, product

import numpy as np
from numpy.typing import NDArray

Point = tuple[int, ...]
"""The number of a value in each dimension, from 0 to the dimension's size - 1."""
GRID_DIMENSIONS = 3
"""In more, a grid has too few values of each, and a design has as many as it has points."""


def design(sizes: Sequence[int], points: int, seed: int) -> list[Point]:
    """Return at most `points` different points, from end to end of each dimension where they are a grid."""
    if len(sizes) <= GRID_DIMENSIONS:
        return _grid(sizes, points)
    shares = halton(points, len(sizes), seed)
    return list(dict.fromkeys(tuple(map(int, each)) for each in shares * np.array(sizes, dtype=float)))


def halton(points: int, dimensions: int, seed: int) -> NDArray[np.float64]:
    """Return `points` points of the unit cube, of shape (points, dimensions): the same for the same seed.

    The sequence of Halton (1960) in the first primes, its digits permuted at random (Braaten and Weller, 1979): in many
    dimensions the plain one lies on few lines.
    """
    generator = np.random.default_rng(seed)
    columns = [_radical_inverse(points, base, generator) for base in islice(_primes(), dimensions)]
    return np.stack(columns, axis=1)


def refined(
    sizes: Sequence[int], start: Point, cost: float, step: Point, evaluate: Callable[[list[Point]], Sequence[float]]
) -> Generator[None, None, tuple[Point, float]]:
    """Return the best point that coordinate steps come to from `start`, whose cost is `cost`, and its cost.

    Each dimension is stepped either way, then all steps are halved, until they are below 1. A yield after each.
    """
    best = start
    while any(step):
        for axis, width in enumerate(step):
            near = [best[axis] - width, best[axis] + width] if width else []
            points = [(*best[:axis], at, *best[axis + 1 :]) for at in near if 0 <= at < sizes[axis]]
            for point, found in zip(points, evaluate(points), strict=True):
                if found < cost:
                    best, cost = point, found
            yield
        step = tuple(width // 2 for width in step)
    return best, cost


def first_step(sizes: Sequence[int], points: int) -> Point:
    """Return half the distance of the values that a grid of so many points has in each dimension; 0 if it has all."""
    steps = zip(sizes, _sides(sizes, points), strict=True)
    return tuple((size - 1) // (2 * (side - 1)) + 1 if size > side else 0 for size, side in steps)


def _grid(sizes: Sequence[int], points: int) -> list[Point]:
    sides = _sides(sizes, points)
    return list(product(*(_spread(size, side) for size, side in zip(sizes, sides, strict=True))))


def _sides(sizes: Sequence[int], points: int) -> list[int]:
    """Return the values of each dimension in a grid, 2 at least; what a small dimension leaves is the others'."""
    sides, left = dict.fromkeys(range(len(sizes)), 1), points
    for place, axis in enumerate(sorted(sides, key=lambda axis: sizes[axis])):
        dimensions = len(sizes) - place
        side = next(each for each in count(1) if (each + 1) ** dimensions > left)
        sides[axis] = min(sizes[axis], max(side, 2))
        left //= sides[axis]
    return [sides[axis] for axis in range(len(sizes))]


def _spread(size: int, wanted: int) -> list[int]:
    """Return so many of the numbers from 0 to `size` - 1, ends included, or all of them."""
    if size <= wanted:
        return list(range(size))
    return [(step * (size - 1) * 2 + wanted - 1) // (2 * (wanted - 1)) for step in range(wanted)]


def _radical_inverse(points: int, base: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return the numbers from 1 on, their digits permuted and mirrored at the point."""
    left, found, scale = np.arange(1, points + 1), np.zeros(points), 1.0 / base
    while scale > 1e-12:
        permuted = generator.permutation(base)
        found += permuted[left % base] * scale
        left, scale = left // base, scale / base
    return np.minimum(found, np.nextafter(1, 0))


def _primes() -> Iterator[int]:
    return (number for number in count(2) if all(number % each for each in range(2, int(number**0.5) + 1)))
