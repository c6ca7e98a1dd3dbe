"""Rows of two tables matched by name, without a loop over rows."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow

Ints = NDArray[Any]
ABSENT = -1


def shared_codes(first: "pyarrow.ChunkedArray", second: "pyarrow.ChunkedArray") -> tuple[Ints, Ints]:
    """Return numbers for the texts of two columns, the same for the same text, from 0 on; a null is one more text."""
    import pyarrow as pa

    texts = [column.cast(pa.large_string()) for column in (first, second)]
    joined = pa.chunked_array([chunk for text in texts for chunk in text.chunks], pa.large_string())
    encoded = joined.combine_chunks().dictionary_encode(null_encoding="encode")
    codes: Ints = encoded.indices.to_numpy()
    return codes[: len(first)], codes[len(first) :]


def matched(first: "pyarrow.ChunkedArray", second: "pyarrow.ChunkedArray") -> Ints:
    """Return for each name of `first` its row in `second`, `ABSENT` without one.

    A name that is there several times: its k-th row is that of the other's k-th.
    """
    one, other = shared_codes(first, second)
    if _repeats(one) or _repeats(other):
        one, other = _numbered(one, other)
    row = np.full(max(one.max(initial=-1), other.max(initial=-1)) + 1, ABSENT, dtype=np.int64)
    row[other] = np.arange(len(other))
    found: Ints = row[one]
    return found


def _repeats(codes: Ints) -> bool:
    return bool(len(codes)) and bool(np.bincount(codes).max() > 1)


def _numbered(one: Ints, other: Ints) -> tuple[Ints, Ints]:
    """Return new numbers for codes, one for each code and time that it comes in a column."""
    times = np.concatenate([_times(one), _times(other)])
    pairs = np.concatenate([one, other]).astype(np.int64) * (int(times.max()) + 1) + times
    numbers = np.unique(pairs, return_inverse=True)[1]
    return numbers[: len(one)], numbers[len(one) :]


def _times(codes: Ints) -> Ints:
    """Return for each code how often it came before."""
    order = np.argsort(codes, kind="stable")
    in_order = codes[order]
    begins = np.flatnonzero(np.diff(in_order, prepend=-1))
    lengths = np.diff(begins, append=len(codes))
    found = np.empty(len(codes), dtype=np.int64)
    found[order] = np.arange(len(codes)) - np.repeat(begins, lengths)
    return found
