"""Shares that people write as percentages: 5, "5" and "5%" are one twentieth."""

import math


def share_of(written: object) -> float:
    """Return the share that a percentage is, as 0.05 of 5, "5" or "5%".

    A number under 1 has a percent sign: without one it is as often meant as a share.

    Raises:
        ValueError: it is no percentage of 0 or more, or is under 1 without a percent sign.
    """
    percent = math.nan
    if isinstance(written, int | float) and not isinstance(written, bool):
        percent = written
    elif isinstance(written, str):
        try:
            percent = float(written.strip().removesuffix("%"))
        except ValueError:
            percent = math.nan
    if not 0 <= percent < math.inf:
        raise ValueError(f"{written!r} is no percentage of 0 or more, as 5%")
    if 0 < percent < 1 and not str(written).rstrip().endswith("%"):
        raise ValueError(f"{percent:g} is {percent:g} %; write {100 * percent:g}% or, if that is meant, {percent:g}%")
    return percent / 100


def percent_text(share: float) -> str:
    """Return the percentage that a share is, as it is written: 5% of 0.05."""
    return f"{share * 100:.12g}%"


def rounded_percent(share: float, decimals: int = 1) -> str:
    """Return a share in percent, rounded, as 99.9%; one that is neither nothing nor all never reads as if it were."""
    text, least = f"{share:.{decimals}%}", 10.0 ** -(decimals + 2)
    if share and float(text.rstrip("%")) == 0:
        return f"<{least:.{decimals}%}" if share > 0 else f">{-least:.{decimals}%}"
    return f">{1 - least:.{decimals}%}" if share < 1 and text == f"{1:.{decimals}%}" else text
