"""From a study's file and flags to its cells."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import JsonValue, ValidationError

from labledger.untrusted_text import SHOWN, clean
from labledger.written_paths import existing
from labledger.yaml_files import YamlFile, describe_errors, in_order_of_lines, read_yaml
from llenergymeasure.config.boards import without_listed
from llenergymeasure.config.fields import overlap, shown_path, value_at
from llenergymeasure.config.layers import Layer, file_layer, flag_of, flags_layer, merged, place_of, settings_layer
from llenergymeasure.config.loading import UserSettings, has_search, is_study, read_user_settings, refuse_study_keys
from llenergymeasure.config.section import STUDY_KEYS
from llenergymeasure.config.study.axes import Draft, Grid, read_grid
from llenergymeasure.config.study.cells import LoadedStudy
from llenergymeasure.config.study.resolving import resolve_cells, resolve_one
from llenergymeasure.config.study.sections import StopSection, StudyFields, StudySection, is_study_path, safe_name
from llenergymeasure.errors import ConfigError

__all__ = ["is_study", "load_study", "place_in"]

MAX_RUNS = 100_000
"""Runs of a study: its manifest is written twice a run, which takes 0.2 s of so many."""


def load_study(
    path: Path | None,
    fields: Mapping[str, Any] | None = None,
    *,
    settings: Mapping[str, JsonValue] | None = None,
    sweep: Mapping[str, Sequence[JsonValue]] | None = None,
    repeats: int | None = None,
    field_prefix: str = "--",
) -> LoadedStudy:
    """Resolve a study from its file and flags.

    `fields` override the file in every cell, and so do `settings`, by the dotted paths of fields; those in sections of
    the study itself, as `study.process`, override these. `sweep` has further
    axes by their dotted paths, or takes the place of an axis of the file; `repeats` overrides `study.repeats`. A file
    without a study's keys is the base of all cells.

    Raises:
        ConfigError: a file cannot be read, an axis is no field, two cells are the same, a cell is refused (it is
            named), there are over 10,000, or over 100,000 runs; a line each, `file:line: field: problem`.
    """
    if repeats is not None and not (type(repeats) is int and repeats >= 1):
        flag = "--repeat" if field_prefix else "repeats"
        raise ConfigError(f"{flag}: {clean(repr(repeats), SHOWN)} is no number of rounds of 1 or more")
    file = YamlFile(Path(), {}, {}) if path is None else read_yaml(path)
    if path is not None and not sweep and not is_study(file) and not has_search(file.data):
        refuse_study_keys(file)
    problems: list[str] = []
    of_study = {path: value for path, value in (settings or {}).items() if is_study_path(path)}
    settings = {path: value for path, value in (settings or {}).items() if path not in of_study}
    layers = _own_layers(file, of_study)
    own = _own_fields(layers, problems)
    chosen = own.study if repeats is None else own.study.model_copy(update={"repeats": repeats})
    problems += _at_odds(layers, chosen, own.stop, repeats, field_prefix)
    flag = "--sweep" if field_prefix else "sweep"
    grid = read_grid(file, sweep or {}, flag)
    grid.check_count(flag)
    parts = _Parts(file, read_user_settings())
    parts.add_base(problems)
    parts.add_flags(fields or {}, settings, field_prefix)
    problems += grid.problems
    own = own.model_copy(update={"study": chosen})
    given = "" if repeats is None else f"{field_prefix}repeat" if field_prefix else "repeats"
    problems += _too_many_runs(layers, grid.count, own, given)
    problems += _both(grid, fields or {}, settings, field_prefix)
    if problems:
        problems += _of_one_cell(parts, grid)
        raise ConfigError("\n".join(in_order_of_lines(dict.fromkeys(problems))))
    cells, differing = resolve_cells(list(grid.drafts()), parts.weak, parts.strong, parts.files, parts.user)
    name = chosen.name or safe_name(path.stem if path is not None else f"study-{_model_name(cells[0].config.model)}")
    return LoadedStudy(name, chosen, own.gaps, own.stop, cells, parts.user.user, tuple(parts.files), differing)


@dataclass
class _Parts:
    """The layers that all cells have in common, below and above their own, and the files that they come from."""

    file: YamlFile
    user: UserSettings
    weak: list[Layer] = field(default_factory=list)
    strong: list[Layer] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def add_base(self, problems: list[str]) -> None:
        """Add the base, if one is named, and the experiment's keys of the file itself."""
        if "base" in self.file.data:
            try:
                base = _read_base(self.file)
            except ConfigError as error:
                problems.extend(str(error).splitlines())
            else:
                self.weak.append(file_layer(base))
                self.files.append(base.path)
        if self.file.data or self.file.lines:
            own = file_layer(self.file)
            keys = {key: value for key, value in own.data.items() if key not in STUDY_KEYS}
            self.weak.append(Layer(without_listed(keys), own.place, own.folder))
        if self.file.path != Path():
            self.files.append(self.file.path)

    def add_flags(self, fields: Mapping[str, Any], settings: Mapping[str, JsonValue], prefix: str) -> None:
        """Add what flags set in every cell."""
        self.strong += [flags_layer(fields, prefix), settings_layer(settings)]


def _own_layers(file: YamlFile, settings: Mapping[str, JsonValue]) -> list[Layer]:
    """Return the sections of the study itself as they were written, and the settings that override them."""
    written = {key: file.data[key] for key in StudyFields.model_fields if key in file.data}
    written = {key: {} if value is None and key != "stop" else value for key, value in written.items()}
    return [Layer(written, file.place, file.path.parent), settings_layer(settings)]


def _own_fields(layers: Sequence[Layer], problems: list[str]) -> StudyFields:
    """Return the sections of the study itself; their defaults where there is a problem."""
    data = merged(layers)
    try:
        return StudyFields.model_validate(data)
    except ValidationError as error:
        problems += describe_errors(error, StudyFields, data, lambda location: place_of(layers, location))
        return StudyFields(study=StudySection())


def _placed(layers: Sequence[Layer], *location: str) -> str:
    """Return where a setting of the study was written, and its name; of a flag the flag, which has it."""
    place, dotted = place_of(layers, location), ".".join(location)
    return place if place.startswith("--") else ": ".join(filter(None, (place, dotted)))


def place_in(files: Iterable[Path], location: tuple[str, ...], value: JsonValue) -> str | None:
    """Return `file:line` of a value in the last of the files that have it there; None where none does."""
    read = map(read_yaml, files)
    written = [each for each in read if location in each.lines and value_at(each.data, ".".join(location)) == value]
    return written[-1].place(location) if written else None


def _too_many_runs(layers: Sequence[Layer], cells: int, own: StudyFields, flag: str) -> Iterable[str]:
    """Yield a line for each number of rounds that makes more runs than a study may have; a `flag` gives the repeats."""
    rounds = {flag or _placed(layers, "study", "repeats"): own.study.repeats}
    if own.stop is not None:
        rounds[_placed(layers, "stop", "max_repeats")] = own.stop.max_repeats
    for place, count in rounds.items():
        if cells * count > MAX_RUNS:
            product = f"{cells:,} cell{'s' * (cells > 1)} x {count:,} rounds = {cells * count:,} runs"
            yield f"{place}: {product}, and a study has {MAX_RUNS:,} at the most"


def _at_odds(
    layers: Sequence[Layer], study: StudySection, stop: StopSection | None, repeats: int | None, prefix: str
) -> Iterable[str]:
    """Yield a line for each setting that another one leaves without effect, or without sense."""
    if stop is not None and stop.max_repeats < study.repeats:
        given = "study.repeats asks for" if repeats is None else f"{'--repeat' if prefix else 'repeats'} asks for"
        place = _placed(layers, "stop", "max_repeats")
        yield f"{place}: {stop.max_repeats} rounds at the most, and {given} {study.repeats}"


def _read_base(file: YamlFile) -> YamlFile:
    """Return the file that `base` names.

    Raises:
        ConfigError: there is none, or it is a study itself.
    """
    place, written = f"{file.place(('base',))}: base", file.data["base"]
    if not isinstance(written, str):
        raise ConfigError(f"{place}: should be the path of an experiment's file")
    try:
        path = existing(written, file.path.parent)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error
    try:
        base = read_yaml(path)
    except ConfigError as error:
        has_line = re.match(rf"{re.escape(str(path))}:\d", str(error))
        raise ConfigError(str(error) if has_line else f"{place}: {error}") from error
    if is_study(base):
        raise ConfigError(f"{place}: {clean(written, SHOWN)} is a study itself; name the file of one experiment")
    refuse_study_keys(base)
    return base


def _both(grid: Grid, fields: Mapping[str, Any], settings: Mapping[str, JsonValue], prefix: str) -> Iterable[str]:
    """Yield a line for each field that is an axis, and set for every cell as well."""
    given = {path: flag_of((path,), prefix) or path for path in fields} | {path: f"--set {path}" for path in settings}
    for axis in grid.axes:
        for path in axis.paths:
            for other, flag in given.items():
                if overlap(path, other):
                    yield f"{flag}: {shown_path(path)} is an axis as well ({axis.place()}); leave one of the two out"


def _of_one_cell(parts: _Parts, grid: Grid) -> list[str]:
    """Return the problems of what all cells have in common, besides those of the study itself."""
    axes = [axis for axis in grid.axes if axis.rows]
    draft = Draft({}, [axis.layer(0) for axis in axes], None, [])
    try:
        resolve_one(draft, parts.weak, parts.strong, parts.files, parts.user)
    except ConfigError as error:
        own = tuple(axis.place(0) + ":" for axis in axes)
        lines = [line for line in str(error).splitlines() if not line.startswith(own)]
        may_be_given = bool(grid.problems) or "base" in parts.file.data
        return [line for line in lines if not (may_be_given and ": model: required" in line)]
    return []


def _model_name(model: str) -> str:
    return model.rstrip("/").rpartition("/")[2] or model
