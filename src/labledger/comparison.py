"""Comparisons: whether two figures differ, by an interval of their difference or ratio; and where two documents do."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Equivalence = Literal["different", "same", "cannot tell"]

PLAIN_KEY = re.compile(r"[^.\[\]]+")


def equivalence(low: float, high: float, *, none: float, margin: tuple[float, float]) -> Equivalence:
    """Return what an interval of a difference or a ratio, from `low` to `high`, says of the two figures.

    `none` is the value without a difference (0; of a ratio 1), and `margin` the least and the greatest that count as
    the same. "same" if the whole interval lies within the margin; else "different" if `none` lies outside the interval;
    else "cannot tell". A difference that is sure, and too small to matter, is "same". This is the inclusion of a
    confidence interval, as in Schuirmann (1987), "A comparison of the two one-sided tests procedure and the power
    approach for assessing the equivalence of average bioavailability".

    Raises:
        ValueError: `low` is above `high`, or one is NaN; or `none` lies outside the margin.
    """
    if not low <= high:
        raise ValueError(f"from {low} to {high} is no interval")
    if not margin[0] <= none <= margin[1]:
        raise ValueError(f"the margin, from {margin[0]} to {margin[1]}, does not hold {none}, which is no difference")
    if margin[0] <= low and high <= margin[1]:
        return "same"
    return "cannot tell" if low <= none <= high else "different"


@dataclass(frozen=True)
class Step:
    """The decision on one hypothesis of a family, and the share of alpha that it was held to."""

    rejected: bool
    alpha: float


def holm(p_values: Sequence[float], alpha: float = 0.05) -> list[Step]:
    """Return the decision on each of a family of hypotheses; the chance of any false rejection is at most `alpha`.

    The least p value is held to alpha / m, the next to alpha / (m - 1), and so on up to the first that is not
    rejected; those beyond it are held to its share too: Holm (1979), "A simple sequentially rejective multiple test
    procedure".
    """
    steps = [Step(False, alpha)] * len(p_values)
    share, rejecting = alpha, True
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if rejecting:
            share = alpha / (len(p_values) - rank)
            rejecting = p_values[place] < share
        steps[place] = Step(rejecting, share)
    return steps


def diff(first: Any, second: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Return where two JSON documents differ: by the path of each value, as `agents[0].limits.cap`, the two values.

    None stands where a document has no such value; a None and an object without keys are as good as none. Lists of as
    many objects are compared object by object, other lists as a whole: a day's payments would be thousands of numbers.
    A key that has a dot or a bracket in it is quoted: `costs["a.b"]`.
    """
    if _is_object_or_none(first) and _is_object_or_none(second):
        one, other = first or {}, second or {}
        parts = [(_below(path, key), one.get(key), other.get(key)) for key in {**one, **other}]
    elif _is_objects(first) and _is_objects(second) and len(first) == len(second):
        parts = [(f"{path}[{index}]", *pair) for index, pair in enumerate(zip(first, second, strict=True))]
    else:
        return {} if first == second else {path: (first, second)}
    found: dict[str, tuple[Any, Any]] = {}
    for where, a, b in parts:
        found |= diff(a, b, where)
    return found


def _is_object_or_none(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _is_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _below(path: str, key: str) -> str:
    if not PLAIN_KEY.fullmatch(key):
        return f"{path}[{json.dumps(key)}]"
    return f"{path}.{key}" if path else key
