"""Shares that people write as percentages: 5, "5" and "5%" are one twentieth."""

import math


def share_of(written: object) -> float:
    """Return the share that a percentage is, as 0.05 of 5, "5" or "5%".

    Raises:
        ValueError: it is no percentage of 0 or more.
    """
    share = math.nan
    if isinstance(written, int | float) and not isinstance(written, bool):
        share = written / 100
    elif isinstance(written, str):
        try:
            share = float(written.strip().removesuffix("%")) / 100
        except ValueError:
            share = math.nan
    if not 0 <= share < math.inf:
        raise ValueError(f"{written!r} is no percentage of 0 or more, as 5%")
    return share
