"""Safetensors files: those of a folder that are loaded, and the tensors that their headers describe."""

import math
import os
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeGuard

from labledger.json_text import load_json
from labledger.regular_files import open_regular
from llenergymeasure.backends.pytorch.model_files import read_json

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
MOST_TENSORS = 500_000  # of a file, of an index; a mixture of 384 experts in 61 layers has 140,000
MAX_LENGTH = 1 << 63  # of a dimension, of all elements, of a file: what a signed 64-bit number does not hold
MAX_DIMENSIONS = 64  # as torch has
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8", "BOOL"), 8),
}
"""The size of a number by the format's name for it; of those that are not here it is not known."""
NAMED = 3
NAME_LENGTH = 120


class StoredTensor(NamedTuple):
    """A tensor as its file describes it; `dtype` is the format's name for it, such as BF16 or F8_E4M3."""

    dtype: str
    shape: tuple[int, ...]


def named(names: Collection[str]) -> str:
    """The first few names in their order, each printable and not long, and how many more there are."""
    first = [_printable(name) for name in sorted(names)[:NAMED]]
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    return " and ".join(filter(None, [", ".join(first), *more]))


def tensors(names: Collection[str]) -> str:
    """The number of `names` with the word, for a sentence."""
    return "1 tensor" if len(names) == 1 else f"{len(names)} tensors"


def _printable(name: str) -> str:
    return ascii(name)[1:-1][:NAME_LENGTH]


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a model folder, in order of their names."""
    return tuple(sorted(folder.glob("*.safetensors")))


def loaded_files(folder: Path) -> tuple[Path, ...]:
    """Return the files that transformers loads of a folder, which may hold the weights in another layout as well.

    Empty where there is neither a single file nor an index that can be read.
    """
    single = folder / SINGLE_FILE
    if single.is_file():
        return (single,)
    try:
        return tuple(folder / name for name in sorted(set(weight_map(folder).values())))
    except (OSError, ValueError):
        return ()


def weight_map(folder: Path) -> dict[str, str]:
    """The file of each tensor, as a folder's index has it; a file's name may begin with a folder inside.

    Raises:
        OSError: there is no index, or it cannot be read.
        ValueError: it is none, or names a file outside the folder.
    """
    index = read_json(folder / INDEX_FILE)
    files = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(files, dict):
        raise ValueError("it has no weight_map")
    if not files:
        raise ValueError("its weight_map is empty")
    if len(files) > MOST_TENSORS:
        raise ValueError(f"its weight_map names {len(files):,} tensors, and at most {MOST_TENSORS:,} are read")
    if not all(isinstance(file, str) for file in files.values()):
        raise ValueError("its weight_map names no files")
    if not isinstance(index.get("metadata"), dict):
        raise ValueError('it has no metadata, which transformers asks for; add "metadata": {} or fetch it again')
    if outside := [file for file in files.values() if PurePosixPath(file).is_absolute() or ".." in Path(file).parts]:
        raise ValueError(f"its weight_map names a file outside the folder: {ascii(outside[0])[:120]}")
    return files


def index_problems(folder: Path) -> Iterator[str]:
    """Yield the ways in which the headers of a folder's shards do not hold what its index says; each a clause.

    Nothing where there is a single file, which is loaded whatever an index says, or one cannot be read, as of a hub
    model that is not all here.
    """
    if (folder / SINGLE_FILE).is_file():
        return
    try:
        mapped = weight_map(folder)
    except (OSError, ValueError):
        return
    read = {file: stored_tensors(folder / file) for file in sorted(set(mapped.values()))}
    held = {file: names for file, names in read.items() if names is not None}
    if len(held) < len(read):
        return
    if gone := sorted(name for name, file in mapped.items() if name not in held[file]):
        first = _printable(mapped[gone[0]])
        yield f"its index places {tensors(gone)} in files that do not hold them ({named(gone)}; the first in {first})"
    counts = Counter(name for names in held.values() for name in names)
    if unlisted := counts.keys() - mapped.keys():
        yield f"its index leaves out {tensors(unlisted)} that its files hold ({named(unlisted)}), and they are loaded"
    if twice := [name for name, count in counts.items() if count > 1]:
        yield f"two of its files hold {tensors(twice)} of the same name ({named(twice)}): it is chance which is loaded"


def stored_tensors(path: Path) -> dict[str, StoredTensor] | None:
    """Return the tensors that a file's header describes, by name; None where it cannot be read."""
    try:
        header, _, _ = _read_header(path)
        return {name: _described(name, entry)[0] for name, entry in header.items()}
    except (OSError, ValueError):
        return None


def safetensors_problem(path: Path) -> str | None:
    """Return the fault of a safetensors file, read from its header and its size; None if it has none.

    The format: a 64-bit little-endian length, that many bytes of JSON, then the data, whose last byte is the
    largest `data_offsets` end.
    """
    try:
        header, length, size = _read_header(path)
        places = sorted((*_described(name, entry)[1], name) for name, entry in header.items())
        _check_places(places)
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror}"
    except ValueError as error:
        return f"{path}: corrupt safetensors file: {error}"
    if not places:
        return f"{path}: holds no tensors; fetch it again"
    wanted = 8 + length + max(end for _, end, _ in places)
    if size != wanted:
        return f"{path}: corrupt safetensors file: {size} bytes, its header describes {wanted}; fetch it again"
    return None


def _check_places(places: list[tuple[int, int, str]]) -> None:
    """Raise ValueError if tensors, in order, overlap or leave bytes between them."""
    end = 0
    for start, next_end, name in places:
        if start != end:
            raise ValueError(f"tensor {_printable(name)} begins at byte {start}, and the one before ends at {end}")
        end = next_end


def _described(name: str, entry: Any) -> tuple[StoredTensor, tuple[int, int]]:
    """A tensor, and where its data begins and ends. Raises ValueError with its name."""
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        raise ValueError(f"tensor {_printable(name)} has no dtype in the header")
    shape, place = entry.get("shape"), entry.get("data_offsets")
    if not _are_lengths(shape) or len(shape) > MAX_DIMENSIONS or math.prod(shape) >= MAX_LENGTH:
        raise ValueError(f"tensor {_printable(name)} has no possible shape in the header")
    if not _are_lengths(place) or len(place) != 2 or place[0] > place[1]:
        raise ValueError(f"tensor {_printable(name)} has no possible data_offsets in the header")
    bits, held = BITS.get(entry["dtype"]), 8 * (place[1] - place[0])
    if bits is not None and bits * math.prod(shape) != held:
        raise ValueError(f"tensor {_printable(name)}, {entry['dtype']} {shape}, does not fill its {held // 8} bytes")
    return StoredTensor(entry["dtype"], tuple(shape)), (place[0], place[1])


def _are_lengths(value: Any) -> TypeGuard[list[int]]:
    """Return True for a list of whole numbers from 0; a boolean is none."""
    return isinstance(value, list) and all(type(each) is int and 0 <= each < MAX_LENGTH for each in value)


def _read_header(path: Path) -> tuple[dict[str, Any], int, int]:
    """The entry of each tensor, the header's length and the file's size in bytes.

    Raises:
        OSError: the file cannot be read, or is no regular file.
        ValueError: its header is none.
    """
    with os.fdopen(open_regular(path, os.O_RDONLY, follow=True), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < 8:
            raise ValueError("its header is not readable")
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(size - 8, MAX_HEADER_BYTES):
            raise ValueError(f"its header says {length} bytes, the file has {size}")
        content = file.read(length)
    if max(content.count(b"{"), content.count(b"[") // 2) > MOST_TENSORS + 1:  # each has a shape and its place
        raise ValueError(f"its header describes over {MOST_TENSORS:,} tensors, and no more are read")
    try:
        header = load_json(content, unique=True)
    except ValueError as error:
        raise ValueError(f"its header is not readable: {str(error)[:200]}") from error
    if not isinstance(header, dict):
        raise ValueError("its header is not readable: it is no object")
    metadata = header.pop("__metadata__", None)
    if metadata is None:
        return header, length, size
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its header is not readable: __metadata__ is no object of texts")
    return header, length, size
