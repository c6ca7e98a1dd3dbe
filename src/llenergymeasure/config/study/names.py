"""Names of cells: short, and each unique in its study."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pydantic import JsonValue

from labledger.json_text import dump_json
from labledger.untrusted_text import clean

MAX_VALUE = 32
NAMED_CELLS = 2
BASE = "base"
FREE = ("launch.flags.", "passthrough_kwargs.")
"""The beginnings of paths whose last part says enough, where no other path ends so."""


def cell_names(cells: Sequence[Mapping[str, JsonValue]], differing: Iterable[str]) -> list[str]:
    """Return a name for each cell by its changes: the fields that differ between cells, with their values.

    A path as a value is its last part, and a long value is cut, where the values of its field stay apart. Cells that
    have the same changes are numbered.
    """
    shown = set(differing)
    kept = [{path: value for path, value in each.items() if path in shown} for each in cells]
    paths = list(dict.fromkeys(path for each in kept for path in each))
    labels = _labels(paths)
    words = {path: _words([each[path] for each in kept if path in each]) for path in paths}
    names = [", ".join(f"{labels[path]} {words[path][_key(value)]}" for path, value in each.items()) for each in kept]
    return _numbered([name or BASE for name in names])


def named_cells(cells: Sequence[int], names: Sequence[str]) -> str:
    """Return the first of cells, which count from 0, by number and name, and how many there are more."""
    named = "; ".join(f"cell {number + 1}: {names[number]}" for number in cells[:NAMED_CELLS])
    more = len(cells) - NAMED_CELLS
    return named if more <= 0 else f"{named}; and {more:,} more"


def value_words(value: JsonValue) -> str:
    """Return a value as YAML has it on one line."""
    try:
        return clean(value) if isinstance(value, str) else clean(dump_json(value, indent=None))
    except ValueError:  # NaN, which no configuration takes
        return clean(str(value))


def _labels(paths: Sequence[str]) -> dict[str, str]:
    """Return a label for each path: the last part of a server's flag or an argument, else the path."""
    short = {path: next((path.removeprefix(each) for each in FREE if path.startswith(each)), path) for path in paths}
    counts = Counter(short.values())
    return {path: label if counts[label] == 1 else path for path, label in short.items()}


def _words(values: Sequence[JsonValue]) -> dict[str, str]:
    """Return the words for the values of one field: the shortest of three ways that keeps all of them apart."""
    full = {_key(value): value_words(value) for value in values}
    last = {key: text.rstrip("/").rpartition("/")[2] if "/" in text else text for key, text in full.items()}
    for candidates in ({key: _cut(text) for key, text in last.items()}, {k: _cut(text) for k, text in full.items()}):
        if len(set(candidates.values())) == len(full) and all(candidates.values()):
            return candidates
    return full


def _cut(text: str) -> str:
    return clean(text, MAX_VALUE)


def _key(value: JsonValue) -> str:
    return repr(value)


def _numbered(names: Sequence[str]) -> list[str]:
    """Return the names, of which those that come again are numbered."""
    seen, taken, found = Counter[str](), set(names), list[str]()
    for name in names:
        seen[name] += 1
        unique = name
        while seen[name] > 1 and unique in taken:
            unique = f"{name} ({seen[name]})"
            seen[name] += unique in taken
        taken.add(unique)
        found.append(unique)
    return found
