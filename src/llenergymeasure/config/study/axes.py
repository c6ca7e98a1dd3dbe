"""The axes and the further cells of a study, as they were written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any

from pydantic import JsonValue

from labledger.yaml_files import Location, YamlFile
from llenergymeasure.config.boards import listed_settings
from llenergymeasure.config.fields import flattened, nested, overlap, path_problem, shown_list, shown_path
from llenergymeasure.config.layers import Layer, dotted_layer, merge, settings_layer

MAX_CELLS = 10_000
TOGETHER = "+"
NAME = "no field: a cell is named after the fields in which it differs; leave the name out"


@dataclass(frozen=True)
class Axis:
    """Fields that move together, mostly one, and a row of their values for each point; `flag` is "" in a file.

    `listed` is the place of one that is not in the sweep.
    """

    paths: tuple[str, ...]
    rows: tuple[tuple[JsonValue, ...], ...]
    file: YamlFile
    written: str
    flag: str = ""
    listed: Location = ()

    def place(self, row: int | None = None) -> str:
        """Return where it was written, or one of its rows."""
        if self.flag:
            return f"{self.flag} {shown_path(self.written)}"
        return self.file.place(self._location if row is None else (*self._location, row))

    @property
    def _location(self) -> Location:
        return self.listed or ("sweep", self.written)

    def layer(self, row: int) -> Layer:
        """Return the part of a configuration that a row is."""
        values = dict(zip(self.paths, self.rows[row], strict=True))
        if self.flag:
            return settings_layer(values, self.flag)
        columns = {path: (column,) if len(self.paths) > 1 else () for column, path in enumerate(self.paths)}

        def place(path: str, rest: Location) -> str:
            return self.file.place((*self._location, row, *columns[path], *rest))

        return dotted_layer(values, place, str(self.file.path), self.file.path.parent)


@dataclass(frozen=True)
class Entry:
    """An entry of `experiments`: its part of a configuration, and the fields that it sets."""

    number: int
    data: dict[str, Any]
    file: YamlFile

    def place(self) -> str:
        """Return where it was written."""
        return self.file.place(("experiments", self.number))

    @property
    def changes(self) -> dict[str, JsonValue]:
        """The values by the dotted paths of their fields."""
        return dict(flattened(in_sections(self.data)))

    def layer(self) -> Layer:
        """Return the part of a configuration that it is."""
        written = {tuple(key.split(".")): key for key in self.data}

        def place(location: Location) -> str:
            for parts, key in written.items():
                if location[: len(parts)] == parts:
                    return self.file.place(("experiments", self.number, key, *location[len(parts) :]))
            return self.place()

        return Layer(in_sections(self.data), place, self.file.path.parent)


@dataclass(frozen=True)
class Draft:
    """A cell that is not resolved yet: what it changes, its layers, and the row of each axis, None of an entry."""

    changes: Mapping[str, JsonValue]
    layers: Sequence[Layer]
    rows: tuple[int, ...] | None
    places: Sequence[str]


@dataclass
class Grid:
    """The axes and entries of a study, and a line for each problem of theirs."""

    axes: list[Axis] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Cells, of which nothing is made to count them."""
        return self._points + len(self.entries)

    @property
    def _points(self) -> int:
        points = 1 if self.axes or not self.entries else 0
        for axis in self.axes:
            points *= len(axis.rows)
        return points

    def drafts(self) -> Iterator[Draft]:
        """Yield the cells: the product of the axes, the last of which is the fastest, and then the entries."""
        layers = [[axis.layer(row) for row in range(len(axis.rows))] for axis in self.axes]
        for rows in product(*(range(len(axis.rows)) for axis in self.axes)) if self._points else ():
            chosen = list(zip(self.axes, rows, strict=True))
            changes = {p: v for axis, row in chosen for p, v in zip(axis.paths, axis.rows[row], strict=True)}
            made = [each[row] for each, row in zip(layers, rows, strict=True)]
            yield Draft(changes, made, rows, [axis.place(row) for axis, row in chosen])
        for entry in self.entries:
            yield Draft(entry.changes, [entry.layer()], None, [entry.place()])

    def check_count(self, elsewhere: str) -> None:
        """Note a problem if there are more cells than a study may have; `elsewhere` names what has no file."""
        if self.count <= MAX_CELLS:
            return
        factors = " x ".join(f"{len(axis.rows):,}" for axis in self.axes)
        further = f"{' + ' if factors else ''}{len(self.entries):,} experiments" if self.entries else ""
        place = next((a.file.place(("sweep",)) for a in self.axes if not a.flag), elsewhere)
        self.problems.append(
            f"{place}: {factors}{further} = {self.count:,} cells, and a study has {MAX_CELLS:,} at the most"
        )


def read_grid(file: YamlFile, flags: Mapping[str, Sequence[JsonValue]], flag: str = "--sweep") -> Grid:
    """Return the axes of a file's `sweep` and `gpu`, and of flags, which take their place, and its `experiments`."""
    grid = Grid()
    made = (_flag_axis(written, values, file, flag, grid.problems) for written, values in flags.items())
    given = {frozenset(axis.paths): axis for axis in made if axis}
    written_axes = [*_file_axes(file, grid.problems), *_listed_axes(file, grid.problems)]
    grid.axes = [given.pop(frozenset(axis.paths), axis) for axis in written_axes]
    grid.axes += given.values()
    grid.problems += _overlaps(grid.axes)
    grid.entries = list(_entries(file, grid.problems))
    return grid


def in_sections(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry with the sections that its dotted keys are part of."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        found = merge(found, nested({key: value}))
    return found


def _file_axes(file: YamlFile, problems: list[str]) -> Iterator[Axis]:
    sweep = file.data.get("sweep", {})
    if "sweep" in file.data and (not isinstance(sweep, dict) or not sweep):
        problems.append(f"{file.place(('sweep',))}: sweep: names no axis; write fields with lists of values below it")
        return
    for written, values in sweep.items():
        place = f"{file.place(('sweep', written))}: sweep.{shown_path(written)}"
        if paths := _paths(written, place, problems):
            rows = _rows(paths, values, place, problems)
            if rows is not None:
                yield Axis(paths, rows, file, written)


def _listed_axes(file: YamlFile, problems: list[str]) -> Iterator[Axis]:
    """Yield an axis for each setting of boards that has a list of values."""
    for name, values in listed_settings(file.data).items():
        path, location = f"gpu.{name}", ("gpu", name)
        place = f"{file.place(location)}: {shown_path(path)}"
        rows = _rows(paths, values, place, problems) if (paths := _paths(path, place, problems)) else None
        if rows is not None:
            yield Axis(paths, rows, file, path, listed=location)


def _flag_axis(
    written: str, values: Sequence[JsonValue], file: YamlFile, flag: str, problems: list[str]
) -> Axis | None:
    place = f"{flag} {shown_path(written)}"
    paths = _paths(written, place, problems)
    rows = _rows(paths, values, place, problems, flag) if paths else None
    return None if rows is None else Axis(paths, rows, file, written, flag)


def _paths(written: str, place: str, problems: list[str]) -> tuple[str, ...]:
    """Return the paths that an axis names; none where one is no field."""
    paths = tuple(part.strip() for part in written.split(TOGETHER))
    found = [
        f"{place}: {f'{shown_path(p)}: ' if len(paths) > 1 else ''}{why}" for p in paths if (why := path_problem(p))
    ]
    problems += dict.fromkeys(found)
    if any(overlap(one, other) for one, other in combinations(paths, 2)) and not found:
        problems.append(f"{place}: the same field twice")
        return ()
    return () if found else paths


def _rows(
    paths: Sequence[str], values: Any, place: str, problems: list[str], flag: str = ""
) -> tuple[tuple[JsonValue, ...], ...] | None:
    """Return the rows of an axis; None where they are none. No value is repeated: it may be a key."""
    together = len(paths) > 1
    ones, eights = (f"[{', '.join(sign for _ in paths)}]" for sign in "18")
    of_flag = f"--sweep '{shown_path(TOGETHER.join(paths))}={ones},{eights}'"
    example = (of_flag if flag.startswith("--") else f"[{ones}, {eights}]") if together else "[1, 8]"
    if not isinstance(values, list | tuple) or not values:
        what = "an empty list" if isinstance(values, list | tuple) else "no list"
        inside = [] if together else list(_axes_inside(paths[0], values))
        problems.append(f"{place}: {what}; write {' and '.join(inside) or f'the values of the axis, as {example}'}")
        return None
    if not together:
        return tuple((value,) for value in values)
    bad = [
        f"{place}: row {number} is {f'of {len(row)} values' if isinstance(row, list) else 'no list'}, for "
        f"{len(paths)} fields; write rows, as {example}"
        for number, row in enumerate(values, 1)
        if not isinstance(row, list) or len(row) != len(paths)
    ]
    problems += bad
    return None if bad else tuple(tuple(row) for row in values)


def _axes_inside(path: str, section: Any) -> Iterator[str]:
    """Yield the axes that were meant where a section has lists, as `decoder.top_k: [1, 4]`."""
    for inside, values in flattened({path: section}) if isinstance(section, dict) else ():
        if isinstance(values, list) and not path_problem(inside):
            yield f"{shown_path(inside)}: {shown_list(values)}"


def _overlaps(axes: Sequence[Axis]) -> Iterator[str]:
    """Yield a line for each two axes that have a field in common."""
    for one, other in combinations(axes, 2):
        common = [path for path in other.paths if any(overlap(path, each) for each in one.paths)]
        if common:
            names = f"{shown_path(one.written)} ({one.place()})"
            yield f"{other.place()}: {', '.join(map(shown_path, common))}: on the axis {names} already; name it once"


def _entries(file: YamlFile, problems: list[str]) -> Iterator[Entry]:
    entries = file.data.get("experiments", [])
    if "experiments" in file.data and (not isinstance(entries, list) or not entries):
        problems.append(f"{file.place(('experiments',))}: experiments: no entry; write a list, as [{{batch_size: 8}}]")
        return
    for number, entry in enumerate(entries):
        place = file.place(("experiments", number))
        if not isinstance(entry, dict):
            problems.append(
                f"{place}: experiments: entry {number + 1} is no section; write fields, as {{batch_size: 8}}"
            )
            continue
        found = [
            f"{file.place(('experiments', number, key))}: {shown_path(key)}: {why}"
            for key in entry
            if (why := NAME if key == "name" else path_problem(key))
        ]
        found += [
            f"{file.place(('experiments', number, other))}: {shown_path(other)}: given by {shown_path(one)} already"
            for one, other in combinations(entry, 2)
            if _have_a_field_in_common(entry, one, other)
        ]
        problems += found
        if not found:
            yield Entry(number, entry, file)


def _have_a_field_in_common(entry: Mapping[str, Any], one: str, other: str) -> bool:
    """Return True if two keys of an entry, one of them dotted, set the same field."""
    if not overlap(one, other):
        return False
    first, second = (list(flattened(nested({key: entry[key]}))) for key in (one, other))
    return any(overlap(a, b) for a, _ in first for b, _ in second)
