"""The settings of a sweep as a command line writes them: `PATH=VALUE,VALUE,...`, and their product.

A value is what `--set` of a single run takes: JSON, or else plain text. Commas within brackets, braces and double
quotes belong to a value. `1..5` is the whole numbers from 1 to 5, `0..1:0.25` the numbers from 0 to 1 in steps of
0.25, both ends included, which the steps have to reach; in double quotes either is text.
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

from labledger.errors import ConfigError
from labledger.untrusted_text import clean
from payment_simulator.scenario.changes import value_of

MAX_VALUES, MAX_CELLS = 100_000, 1_000_000
MAX_PARTS = 10
"""So many more parts of a range than were asked for are tried for a step that reaches its end."""
STEP_DIGITS = 6
"""Decimals of such a step."""
SHOWN = 60
NUMBER = r"[+-]?\d{1,30}(?:\.\d{1,30})?"
RANGE = re.compile(rf"({NUMBER})\.\.({NUMBER})(?::({NUMBER}))?")
CLOSING = {"(": ")", "[": "]", "{": "}"}
SEED = re.compile(r"\d+")
END_OF_SEEDS = 2**64


@dataclass(frozen=True)
class Axis:
    """A place in a scenario, such as `cost_rates.eod_borrowing_bps`, and its values as they are written."""

    path: str
    texts: tuple[str, ...]

    @property
    def values(self) -> list[Any]:
        """The values: of JSON, or else the text itself."""
        return [value_of(text, f"--set {clean(self.path, SHOWN)}") for text in self.texts]


def parse_axes(options: Sequence[str]) -> list[Axis]:
    """Return the axis of each `PATH=VALUE,VALUE,...`, in order.

    Raises:
        ConfigError: one is not of that form, a value or a path stands twice, or their product is of over `MAX_CELLS`.
    """
    return checked_axes([_axis(option) for option in options])


def axes_of(settings: Mapping[str, Sequence[Any]]) -> list[Axis]:
    """Return the axes of a mapping from paths to values, which are written as JSON.

    Raises:
        ConfigError: as for `parse_axes`.
    """
    axes = []
    for path, values in settings.items():
        if isinstance(values, str | bytes | Mapping):
            raise ConfigError(f"{path}: should be a list of values, found {clean(str(values), SHOWN)!r}")
        axes.append(Axis(path, tuple(_written(path, value) for value in values)))
    return checked_axes(axes)


def checked_axes(axes: list[Axis]) -> list[Axis]:
    """Return the axes, which have a product.

    Raises:
        ConfigError: a value or a path stands twice, an axis has none, or the product is of over `MAX_CELLS`.
    """
    cells = 1
    for place, axis in enumerate(axes):
        where = f"--set {clean(axis.path, SHOWN)}"
        if any(axis.path == other.path for other in axes[:place]):
            raise ConfigError(f"{where}: stands twice; write its values into one, as in {axis.path}=1,2,3")
        if not axis.texts:
            raise ConfigError(f"{where}: has no value")
        if twice := [key for key, times in Counter(map(_key, axis.values)).items() if times > 1]:
            raise ConfigError(f"{where}: the value {clean(str(twice[0]), SHOWN)} stands twice")
        cells *= len(axis.texts)
    if cells > MAX_CELLS:
        raise ConfigError(f"--set: {cells:,} cells are over {MAX_CELLS:,}; take fewer values")
    return axes


def changes_of(axes: Sequence[Axis]) -> Iterator[tuple[str, ...]]:
    """Yield the `PATH=VALUE` of each cell of the product, the last axis changing first."""
    for texts in itertools.product(*(axis.texts for axis in axes)):
        yield tuple(f"{axis.path}={text}" for axis, text in zip(axes, texts, strict=True))


def parse_seeds(text: str) -> list[int]:
    """Return the seeds in `1..100`, `10..100:10` or `3,5,8`, in order.

    Raises:
        ConfigError: it is something else, a seed is not a whole number from 0 to 2^64 - 1, or one stands twice.
    """
    return checked_seeds(_split("--seeds", text))


def checked_seeds(texts: Sequence[str]) -> list[int]:
    """Return seeds as numbers.

    Raises:
        ConfigError: there is none, one is not a whole number from 0 to 2^64 - 1, or one stands twice.
    """
    for text in texts:
        if not SEED.fullmatch(text) or int(text) >= END_OF_SEEDS:
            raise ConfigError(
                f"--seeds: {clean(text, SHOWN)!r} is not a whole number from 0 to 2^64 - 1; write 1..100 or 3,5,8"
            )
    seeds = [int(text) for text in texts]
    if twice := [seed for seed, times in Counter(seeds).items() if times > 1]:
        raise ConfigError(f"--seeds: {twice[0]} stands twice")
    if not seeds:
        raise ConfigError("--seeds: there is none")
    return seeds


def _key(value: Any) -> Any:
    """Return what is equal of values that are the same setting, such as 1 and 1.0, and is not of others."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else json.dumps(value, sort_keys=True)


def _axis(option: str) -> Axis:
    path, equals, text = option.partition("=")
    if not equals or not path:
        raise ConfigError(
            f"--set {clean(option, SHOWN)}: write PATH=VALUE,VALUE, as in agents.BANK_A.unsecured_cap=0,100000"
        )
    return Axis(path, tuple(_split(f"--set {clean(path, SHOWN)}", text)))


def _written(path: str, value: Any) -> str:
    try:
        return json.dumps(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path}: a value cannot be written: {error}") from error


def _split(where: str, text: str) -> list[str]:
    """Return the values between commas, those of ranges one by one."""
    values: list[str] = []
    for piece in _pieces(where, text):
        values += _range(where, *found.groups()) if (found := RANGE.fullmatch(piece)) else [piece]
        if len(values) > MAX_VALUES:
            raise ConfigError(f"{where}: over {MAX_VALUES:,} values; take fewer")
    return values


def _pieces(where: str, text: str) -> Iterator[str]:
    """Yield what stands between commas outside of brackets and quotes, without blanks around it."""
    begin, open_brackets, is_quoted, is_escaped = 0, list[str](), False, False
    for place, letter in enumerate(f"{text},"):
        if is_quoted:
            is_quoted = letter != '"' or is_escaped
            is_escaped = letter == "\\" and not is_escaped
        elif letter == '"':
            is_quoted = True
        elif letter in CLOSING:
            open_brackets.append(CLOSING[letter])
        elif open_brackets and letter == open_brackets[-1]:
            open_brackets.pop()
        elif letter == "," and not open_brackets:
            if not (piece := text[begin:place].strip()):
                raise ConfigError(f"{where}: a value is missing in {clean(text, SHOWN)!r}")
            yield piece
            begin = place + 1
    if begin <= len(text):
        missing = '"' if is_quoted else open_brackets[-1]
        raise ConfigError(f"{where}: {clean(text[begin:], SHOWN)!r} has no closing {missing}")


def _range(where: str, first: str, last: str, step: str | None) -> Iterator[str]:
    low, high = Decimal(first), Decimal(last)
    shown = f"{first}..{last}" + (f":{step}" if step else "")
    if step is None and "." in first + last:
        raise ConfigError(f"{where}: {shown}: a range of decimals needs a step, as in {shown}:0.1")
    by = Decimal(step or 1)
    if by <= 0:
        raise ConfigError(f"{where}: {shown}: the step should be above 0")
    if high < low:
        raise ConfigError(f"{where}: {shown}: a range rises; write its ends the other way round")
    steps = Fraction(high - low) / Fraction(by)
    if steps >= MAX_VALUES:
        raise ConfigError(f"{where}: {shown}: over {MAX_VALUES:,} values; take fewer")
    if steps.denominator > 1:
        raise ConfigError(f"{where}: {shown}: {_unreached(low, high, by)}")
    return (format(low + by * place, "f") for place in range(int(steps) + 1))


def _unreached(low: Decimal, high: Decimal, by: Decimal) -> str:
    """Return that steps do not end at `high`, and the end and a step of which each would."""
    last = low + (high - low) // by * by
    parts = ceil(Fraction(high - low) / Fraction(by))
    scale = 1 if low % 1 == high % 1 == by % 1 == 0 else 10**STEP_DIGITS  # whole numbers stay whole
    whole = next(
        (each for each in range(parts, parts + MAX_PARTS) if (Fraction(high - low) / each * scale).denominator == 1),
        None,
    )
    step = "" if whole is None else f", or the step {format((high - low) / whole, 'f')}"
    begin = f"{low:f}..{last:f}:{by:f}" if last > low else f"{low:f}"
    return f"{high:f} is not reached, the last value is {last:f}; write {begin}{step}"
