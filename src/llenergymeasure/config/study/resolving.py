"""From the drafts of cells to their configurations; what is wrong with them is told once, however many have it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from labledger.json_text import dump_json
from labledger.secret_rules import is_random
from labledger.written_keys import WRITTEN_DOWN
from labledger.yaml_files import in_order_of_lines
from llenergymeasure.config.fields import takes_all_prompts, value_at
from llenergymeasure.config.layers import Layer
from llenergymeasure.config.loading import LoadedConfig, UserSettings, resolve
from llenergymeasure.config.paths import written_paths
from llenergymeasure.config.study.axes import Draft
from llenergymeasure.config.study.cells import Cell
from llenergymeasure.config.study.names import cell_names, named_cells
from llenergymeasure.errors import ConfigError

MAX_LINES = 20


def resolve_cells(
    drafts: Sequence[Draft],
    weak: Sequence[Layer],
    strong: Sequence[Layer],
    files: Sequence[Path],
    user: UserSettings,
) -> tuple[tuple[Cell, ...], tuple[str, ...]]:
    """Return the cells, and the dotted paths of their changes that differ between them.

    Raises:
        ConfigError: cells are refused, or the same; a line for each distinct problem.
    """
    found: list[LoadedConfig] = []
    refused: dict[str, list[int]] = {}
    for number, draft in enumerate(drafts):
        try:
            found.append(resolve_one(draft, weak, strong, files, user))
        except ConfigError as error:
            for line in str(error).splitlines():
                refused.setdefault(line, []).append(number)
    if refused:
        raise ConfigError("\n".join(_refusals(refused, drafts)))
    effects = [each.experiment.in_effect() for each in found]
    if same := _same(drafts, found, effects):
        raise ConfigError("\n".join(same))
    paths = dict.fromkeys(path for draft in drafts for path in draft.changes)
    differing = tuple(path for path in paths if _differs(path, effects)) if len(drafts) > 1 else tuple(paths)
    names = cell_names([draft.changes for draft in drafts], differing)
    cells = [Cell(name, draft.changes, each) for name, draft, each in zip(names, drafts, found, strict=True)]
    return tuple(cells), differing


def resolve_one(
    draft: Draft, weak: Sequence[Layer], strong: Sequence[Layer], files: Sequence[Path], user: UserSettings
) -> LoadedConfig:
    """Return one cell's configuration. Raises as `load_config`."""
    return resolve([*weak, *draft.layers, *strong], files, user)


def _differs(path: str, effects: Sequence[Mapping[str, JsonValue]]) -> bool:
    first = repr(value_at(effects[0], path))
    return any(repr(value_at(each, path)) != first for each in effects)


def _refusals(refused: Mapping[str, Sequence[int]], drafts: Sequence[Draft]) -> list[str]:
    """Return a line for each distinct problem, with the cells that have it; without, where it is not the cells' own."""
    names = _safe_names(drafts, {number for line, cells in refused.items() if WRITTEN_DOWN in line for number in cells})
    lines = []
    for line, cells in refused.items():
        own = tuple(f"{place}:" for place in drafts[cells[0]].places)
        is_of_all = len(cells) == len(drafts) and not line.startswith(own)
        is_one = len(drafts) == 1 and not drafts[0].changes
        lines.append(line if is_of_all or is_one or line.startswith("  ") else f"{line} ({named_cells(cells, names)})")
    ordered = in_order_of_lines(lines)
    more = len(ordered) - MAX_LINES
    return ordered if more <= 0 else [*ordered[:MAX_LINES], f"and {more:,} further problems of cells"]


def _safe_names(drafts: Sequence[Draft], secret: set[int]) -> list[str]:
    """Return names of cells that may be refused: what looks like a key is in none of them."""
    changes = [
        {path: "…" if number in secret or is_random(repr(value)) else value for path, value in draft.changes.items()}
        for number, draft in enumerate(drafts)
    ]
    paths = dict.fromkeys(path for each in changes for path in each)
    several = [path for path in paths if len({repr(each.get(path)) for each in changes}) > 1]
    return cell_names(changes, several if len(drafts) > 1 else paths)


def _same(
    drafts: Sequence[Draft], found: Sequence[LoadedConfig], effects: Sequence[Mapping[str, JsonValue]]
) -> list[str]:
    """Return a line for the first cell of each place that is the same as one before it."""
    first: dict[str, int] = {}
    pairs: dict[str, list[tuple[int, int]]] = {}
    for number, (each, fields) in enumerate(zip(found, effects, strict=True)):
        other = first.setdefault(_identity(each, fields), number)
        if other != number:
            pairs.setdefault(_place_of_difference(drafts[other], drafts[number]), []).append((other, number))
    if not pairs:
        return []
    paths = {path for draft in drafts for path in draft.changes}
    names = cell_names([draft.changes for draft in drafts], paths)
    lines = []
    for place, twice in pairs.items():
        (one, other), more = twice[0], len(twice) - 1
        further = f"; so are {more:,} more pairs" if more else ""
        named = f"{named_cells([one], names)} and {named_cells([other], names)}"
        lines.append(f"{place}: {named}: the same configuration; leave one out{further}")
    return in_order_of_lines(lines)[:MAX_LINES]


def _identity(loaded: LoadedConfig, fields: Mapping[str, JsonValue]) -> str:
    """Return a text that two configurations have in common if they are the same, however their paths are written."""
    effect: dict[str, Any] = dict(fields)
    for path in written_paths(effect):
        if os.path.exists(os.path.expanduser(path.written)):
            real = path.changed_to(os.path.realpath(os.path.expanduser(path.written)))
            effect |= {
                key: {**effect[key], **value} if isinstance(value, dict) else value for key, value in real.items()
            }
    if takes_all_prompts(loaded.experiment):
        effect["num_prompts"] = None
    return dump_json(effect, indent=None)


def _place_of_difference(one: Draft, other: Draft) -> str:
    """Return where the later of two equal cells was written: its entry, or the axis on which they differ."""
    if one.rows is None or other.rows is None or not other.places:
        return (other.places or one.places or [""])[0]
    pairs = zip(one.rows, other.rows, other.places, strict=True)
    return next((place for first, second, place in pairs if first != second), other.places[0])
