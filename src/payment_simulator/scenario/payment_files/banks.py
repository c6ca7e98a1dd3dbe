"""Names of banks in a file of payments, as places in a list of them."""

import re
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow

MAX_NAME = 100
NO_NAME = {"nan", "nat", "null", "none", "nil", "n/a", "#n/a", "<na>", "-", "--", "?"}
"""Words for a name that is not there, in letters of any case."""
BIC11 = re.compile(r"([A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2})[A-Z0-9]{3}")

Mask = NDArray[np.bool_]


def banks_of(
    column: "pyarrow.ChunkedArray", bic: int | None, report: Callable[[Mask, str], None], named: Collection[str] = ()
) -> tuple[NDArray[np.int32], list[str]]:
    """Return for each cell the place of its bank among the names, and the names; with `bic` 8 branches are one bank.

    What no bank can be called is reported, and has place 0. A word for none is a bank's name where it is `named`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(pa.dictionary(pa.int32(), pa.string()))
    else:
        column = pc.dictionary_encode(column.cast(pa.string()))
    encoded = column.unify_dictionaries().combine_chunks()
    chunks = encoded.chunks if isinstance(encoded, pa.ChunkedArray) else [encoded]
    written = [each or "" for each in chunks[0].dictionary.to_pylist()] if chunks else []
    names = [_name(each, bic) for each in written]
    known = list(dict.fromkeys(names))
    number = {name: place for place, name in enumerate(known)}
    of_written = np.array([number[name] for name in names], dtype=np.int32)
    indices = [chunk.indices.fill_null(-1).to_numpy() for chunk in chunks]
    index = np.concatenate(indices) if indices else np.zeros(0, dtype=np.int32)
    empty = np.array([not name for name in names], dtype=bool)
    long = np.array([len(name) > MAX_NAME or not name.isprintable() for name in names], dtype=bool)
    missing = index < 0
    absent = np.array([name.lower() in NO_NAME and name not in named for name in names], dtype=bool)
    report(missing | _of(empty, index), "no bank")
    report(_of(absent, index) & ~missing, "no bank: a word for a name that is not there, unless agents has it as an id")
    report(_of(long, index) & ~missing, f"no name of a bank: over {MAX_NAME} characters, or not printable")
    return np.where(missing, 0, _of(of_written, index)).astype(np.int32), known


def _of(values: NDArray[Any], index: NDArray[np.int32]) -> NDArray[Any]:
    return values[np.maximum(index, 0)] if len(values) else np.zeros(len(index), dtype=values.dtype)


def _name(written: str, bic: int | None) -> str:
    name = written.strip()
    branch = BIC11.fullmatch(name) if bic == 8 else None
    return branch[1] if branch else name
