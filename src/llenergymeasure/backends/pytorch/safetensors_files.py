"""Safetensors files: which of a folder are loaded, and what their headers say of the tensors inside."""

import json
import struct
from pathlib import Path
from typing import Any, NamedTuple

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"


class StoredTensor(NamedTuple):
    """A tensor as its file describes it; `dtype` is the format's name for it, such as BF16 or F8_E4M3."""

    dtype: str
    shape: tuple[int, ...]


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a model folder, in order of their names."""
    return tuple(sorted(folder.glob("*.safetensors")))


def loaded_files(folder: Path) -> tuple[Path, ...]:
    """The files that transformers loads of a folder, which may hold the weights in another layout as well.

    Empty where there is neither a single file nor an index that can be read.
    """
    single = folder / SINGLE_FILE
    if single.is_file():
        return (single,)
    try:
        return tuple(folder / name for name in indexed_files(folder))
    except (OSError, ValueError):
        return ()


def indexed_files(folder: Path) -> tuple[str, ...]:
    """The names of the files that a folder's index says the weights are in, in order.

    Raises:
        OSError: there is no index, or it cannot be read.
        ValueError: it is none.
    """
    index = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
    try:
        names = set(index["weight_map"].values())
    except (KeyError, AttributeError, TypeError) as error:
        raise ValueError("it has no weight_map") from error
    if not all(isinstance(name, str) for name in names):
        raise ValueError("its weight_map names no files")
    return tuple(sorted(names))


def stored_tensors(path: Path) -> dict[str, StoredTensor] | None:
    """The tensors that a file's header describes, by name; None where it cannot be read."""
    try:
        header, _ = _read_header(path)
        return {
            name: StoredTensor(str(entry["dtype"]), tuple(int(length) for length in entry["shape"]))
            for name, entry in header.items()
        }
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError):
        return None


def safetensors_problem(path: Path) -> str | None:
    """Return the fault of a safetensors file, read from its header and its size; None if it has none.

    The format: a 64-bit little-endian length, that many bytes of JSON, then the data, whose last byte is the
    largest `data_offsets` end.
    """
    try:
        size = path.stat().st_size
        header, length = _read_header(path)
        ends = [int(entry["data_offsets"][1]) for entry in header.values()]
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror}"
    except _HeaderTooLongError as error:
        return f"{path}: corrupt safetensors file: {error}"
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return f"{path}: corrupt safetensors file: its header is not readable"
    wanted = 8 + length + max(ends, default=0)
    if size != wanted:
        return f"{path}: corrupt safetensors file: {size} bytes, its header describes {wanted}; fetch it again"
    return None


class _HeaderTooLongError(ValueError):
    """The header would end after its file, or is longer than the format allows."""


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The entry of each tensor, and the header's length in bytes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(size - 8, MAX_HEADER_BYTES):
            raise _HeaderTooLongError(f"its header says {length} bytes, the file has {size}")
        header = json.loads(file.read(length))
    return {name: entry for name, entry in header.items() if name != "__metadata__"}, length
