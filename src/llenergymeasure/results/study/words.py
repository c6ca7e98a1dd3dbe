"""Figures of a study in words: a mean with its half-width, a ratio with its interval, lists that end."""

import math
from collections.abc import Sequence

MOST_NAMED = 5
MOST_DECIMALS = 6
"""A zero beside a smaller figure is written without them."""
MOST_DETAILED = 2
"""Of more names a list has no figures: a table has them."""
WIDE = 10.0
"""An interval of a ratio over so large a factor leaves it unknown, where nothing tells it from 1."""
UNITS = {
    "energy_per_output_token_j": "J/token",
    "output_tokens_per_second": "tokens/s",
    "energy_per_request_j": "J/request",
    "energy_per_right_answer_j": "J/right answer",
    "requests_per_second": "requests/s",
    "request_rate": "requests/s",
    "concurrency": "requests in flight",
}
LOADS = ("request_rate", "concurrency")
NAMES = {
    "energy_per_output_token_j": "joules",
    "output_tokens_per_second": "tokens/s",
    "energy_per_request_j": "joules a request",
    "energy_per_right_answer_j": "joules a right answer",
    "quality_share": "right answers",
    "requests_per_second": "requests/s",
    "request_rate": "load",
    "concurrency": "load",
}
"""Metrics as a sentence has them after `least` or `most`."""


def unit_of(metric: str) -> str:
    """Return the unit of a metric with a space before it; nothing of one without."""
    if metric in UNITS:
        return f" {UNITS[metric]}"
    for sign, unit in (("_ms_", "ms"), ("_mb_", "MB"), ("_j_", "J"), ("_w_", "W"), ("_s_", "s")):
        if sign in f"{metric}_":
            return f" {unit}"
    return ""


def figure_words(mean: float, half_width: float | None) -> str:
    """Return `0.412 ± 0.009`: both to the digits that the half-width has meaning in; without one three digits."""
    if half_width is None:
        return rounded(mean, _decimals_of(mean, 3))
    decimals = _decimals_of(half_width, 1 if f"{half_width:e}"[0] in "3456789" else 2) if half_width else 0
    decimals = min(decimals, _decimals_of(mean, 5)) if half_width else _decimals_of(mean, 3)
    return f"{rounded(mean, decimals)} ± {rounded(half_width, decimals)}"


def cell_words(metric: str, mean: float | None, half_width: float | None, at_least: bool = False) -> str:
    """Return a cell's figure in words, `unknown` without one: a searched load as `8` or `at least 8`, no `8.00 ± 0.00`.

    Rounds whose searches end at one load agree to their steps and no better.
    """
    if mean is None:
        return "unknown"
    if metric not in LOADS or half_width:
        return figure_words(mean, half_width)
    return f"{'at least ' if at_least else ''}{load_words(mean)}"


def load_words(load: float) -> str:
    """Return a load with four digits, a whole one without decimals: `64`, `22.63`."""
    return f"{load:,.0f}" if load == int(load) else f"{load:.4g}"


def share_words(share: float, low: float, high: float, right: int | None = None, of: int | None = None) -> str:
    """Return `1 of 4: 25 % (5 to 70)`: a share of right answers and its interval; the counts where they are known."""
    percents = [_share_text(each) for each in (share, low, high)]
    counts = f"{right} of {of}: " if right is not None and of is not None else ""
    return f"{counts}{percents[0]} % ({percents[1]} to {percents[2]})"


def rounded(value: float, digits: int) -> str:
    """Return a number with so many decimals and commas between thousands."""
    if value and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.3g}"
    return f"{value:,.{max(digits, 0)}f}" if value or digits <= MOST_DECIMALS else "0"


def change_words(ratio: float, low: float | None, high: float | None) -> str:
    """Return `+1.1 %, -0.9 to 3.2`: a ratio and its interval as changes; without an interval the change alone."""
    change = f"{'+' if ratio >= 1 else ''}{_percent(ratio)} %"
    return change if low is None else f"{change}, {_percent(low)} to {'no end' if high is None else _percent(high)}"


def is_anything(low: float | None, high: float | None) -> bool:
    """Return True of a ratio's interval that holds 1 and is over a factor of ten wide: it says nothing of the ratio."""
    return low is not None and low <= 1 and (high is None or (high >= 1 and high > WIDE * low))


def difference_words(difference: float, low: float | None, high: float | None, unit: str) -> str:
    """Return `+1.1 ms, -0.9 to 3.2`: a difference and its interval."""
    if low is None or high is None:
        return f"{difference:+.3g}{unit}"
    return f"{difference:+.3g}{unit}, {low:.3g} to {high:.3g}"


def named(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """Return names between semicolons, as they hold commas; of many the first, and how many others there are."""
    if len(names) <= most + 1:
        return "; ".join(names)
    return f"{'; '.join(names[:most])}; and {len(names) - most} others"


def detailed(names: Sequence[str], details: Sequence[str]) -> str:
    """Return `named` names; two at the most have their details in brackets."""
    if len(names) > MOST_DETAILED:
        return named(names)
    pairs = zip(names, details, strict=True)
    return "; ".join(f"{name} ({detail})" if detail else name for name, detail in pairs)


def cells(count: int) -> str:
    """Return `1 cell`, `2 cells`."""
    return f"{count} cell" if count == 1 else f"{count} cells"


def _decimals_of(value: float, significant: int) -> int:
    """Return the decimals that show so many significant digits of a value."""
    return significant - 1 - math.floor(math.log10(abs(value))) if value else significant - 1


def _share_text(share: float) -> str:
    """Return a share in whole percents; one that is none of 0 and 1 as neither."""
    return f"{100 * share:.3g}" if 0 < share < 0.005 or 0.995 <= share < 1 else f"{100 * share:.0f}"


def _percent(ratio: float) -> str:
    """Return a ratio as a change in percent, a small one with a decimal."""
    change = 100 * (ratio - 1)
    return f"{change:.3g}" if abs(change) >= 1e6 else f"{change:.{1 if abs(change) < 100 else 0}f}"
