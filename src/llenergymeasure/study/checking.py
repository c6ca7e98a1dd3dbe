"""Check the cells of a study before any of them is run."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from labledger.json_text import dump_json
from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.config.datasets import SyntheticDataset
from llenergymeasure.config.fields import takes_all_prompts
from llenergymeasure.config.loading import with_fields
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.config.study.cells import Cell, LoadedStudy
from llenergymeasure.config.study.loading import place_in
from llenergymeasure.config.study.names import named_cells
from llenergymeasure.energy.sources import find_sources
from llenergymeasure.errors import ConfigError, LabledgerError, PreFlightError
from llenergymeasure.results.conditions import near_columns
from llenergymeasure.results.flat import columns
from llenergymeasure.results.study.narrow import MAY_BE_UNKNOWN
from llenergymeasure.results.study.observations import is_energy
from llenergymeasure.run.preflight import check, remarks
from llenergymeasure.study.cooling import require_thermometer
from llenergymeasure.study.load_search import check_goals

BUDGET_S = 30.0
"""Seconds that checks take; after that only cells are checked that have a value which no cell before had."""
MAX_LINES = 20
UNSEEN = {
    "warmup": None,
    "baseline": None,
    "measurement": None,
    "decoder": {"do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty"},
    "energy": {"sampling_hz", "sensor_gain"},
}
"""The fields, all of them numbers, that no check of a run looks at: cells that differ in these alone share one."""


class CheckedStudy(NamedTuple):
    """A study that can start; the warnings of its runs, as far as they are known; and how many cells were looked at."""

    study: LoadedStudy
    remarks: list[str]
    looked_at: int


def checked(study: LoadedStudy, output: Path) -> LoadedStudy:
    """Return the study with the number of prompts in every cell, as their results will have it.

    Raises:
        PreFlightError: cells cannot run; a line for each reason, with the cells.
        ConfigError: so do only their datasets, packages that are not installed, or the study's own settings.
    """
    return check_study(study, output).study


def check_study(
    study: LoadedStudy,
    output: Path,
    *,
    with_remarks: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> CheckedStudy:
    """Return the checked study. Cells that the checks see no difference between share one; see `BUDGET_S` for many.

    Raises as `checked`.
    """
    check_columns(study)
    checks = _Checks(study, output, with_remarks)
    groups, until_s = _groups(study), clock() + BUDGET_S
    looked_at = 0
    for number, (alike, is_new) in enumerate(groups):
        if is_new or clock() < until_s or not number:
            checks.look_at(alike)
            looked_at += len(alike)
    if checks.problems:
        names = [cell.name for cell in study.cells]
        raise checks.kind("\n".join(_lines(checks.problems, names)))
    cells = [checks.with_number(cell) for cell in study.cells]
    told = [*_stop_remarks(study), *_lines(checks.remarks, [cell.name for cell in study.cells])]
    return CheckedStudy(replace(study, cells=tuple(cells)), told, looked_at)


def check_columns(study: LoadedStudy) -> None:
    """Make sure that the rule to stop, and every load search, is on columns that results have.

    Raises:
        ConfigError: one is not.
    """
    check_goals(study)
    numbers = [name for name, kind in columns().items() if kind in (int, float)]
    if study.stop is not None and study.stop.metric not in numbers:
        shown, place = clean(study.stop.metric, SHOWN), place_in(study.files, ("stop", "metric"), study.stop.metric)
        where = f"{place}: " if place else ""
        raise ConfigError(f"{where}stop.metric: unknown metric {shown!r}{near_columns(study.stop.metric, numbers)}")


def _stop_remarks(study: LoadedStudy) -> list[str]:
    """Return a line where the rule to stop is on joules that nothing measures."""
    off = [number for number, cell in enumerate(study.cells) if cell.config.energy.source == "none"]
    if study.stop is None or not off or not is_energy(study.stop.metric):
        return []
    line = (
        f"stop.metric: {study.stop.metric} is unknown with energy.source: none: no round is added for a cell that "
        f"has {MAY_BE_UNKNOWN} results without it; measure energy, or name another metric"
    )
    return _lines({line: off}, [cell.name for cell in study.cells])


class _Checks:
    """The checks of cells so far: what they found, and the numbers of prompts by what these depend on."""

    def __init__(self, study: LoadedStudy, output: Path, with_remarks: bool) -> None:
        self._study, self._output, self._with_remarks = study, output, with_remarks
        self._sources = find_sources()
        self._numbers: dict[str, int] = {}
        self.problems: dict[str, Sequence[int]] = {}
        self.remarks: dict[str, Sequence[int]] = {}
        self.kind: Callable[[str], LabledgerError] = ConfigError

    def look_at(self, cells: Sequence[int]) -> None:
        """Check the first of cells that are the same to the checks."""
        cell = self._study.cells[cells[0]]
        try:
            found = check(cell.config, self._sources, self._output, cell.loaded.absent)
            require_thermometer(self._study.gaps, cell.config, self._sources)
        except (ConfigError, PreFlightError) as error:
            self.kind = self.kind if isinstance(error, ConfigError) else PreFlightError
            for line in str(error).splitlines():
                self.problems[line] = [*self.problems.get(line, ()), *cells]
            return
        self._numbers.setdefault(_dataset_of(cell.config), found.config.num_prompts)
        for line in remarks(found.config, found.prompts) if self._with_remarks else ():
            self.remarks[line] = [*self.remarks.get(line, ()), *cells]

    def with_number(self, cell: Cell) -> Cell:
        """Return a cell with the number of its prompts where it is that of the dataset."""
        number = self._numbers.get(_dataset_of(cell.config))
        if number is None or not takes_all_prompts(cell.config):
            return cell
        return replace(cell, loaded=replace(cell.loaded, experiment=with_fields(cell.config, {"num_prompts": number})))


def _groups(study: LoadedStudy) -> Iterator[tuple[list[int], bool]]:
    """Return the cells that are the same to the checks, and True where one has a value that none before had: those
    first."""
    by_sight: dict[str, list[int]] = {}
    for number, cell in enumerate(study.cells):
        by_sight.setdefault(_seen_of(cell), []).append(number)
    seen: set[tuple[str, str]] = set()
    new, others = list[list[int]](), list[list[int]]()
    for cells in by_sight.values():
        values = {(path, repr(value)) for path, value in study.cells[cells[0]].changes.items()}
        (others if values <= seen else new).append(cells)
        seen |= values
    yield from ((cells, True) for cells in new)
    yield from ((cells, False) for cells in others)


def _seen_of(cell: Cell) -> str:
    """Return all of a cell that checks look at."""
    config = cell.config
    unseen: dict[str, Any] = {name: True if inside is None else inside for name, inside in UNSEEN.items()}
    if not isinstance(config.dataset, SyntheticDataset):
        unseen["random_seed"] = True
    fields = config.model_dump_json(exclude=unseen)
    return dump_json([fields, takes_all_prompts(config), dict(cell.loaded.absent)], indent=None)


def _dataset_of(config: ExperimentConfig) -> str:
    return dump_json([config.model_dump(mode="json")[name] for name in ("dataset", "dataset_repeat")], indent=None)


def _lines(found: Mapping[str, Sequence[int]], names: Sequence[str]) -> list[str]:
    """Return a line for each problem, with the cells that have it, but where all have it."""
    lines = [
        line if len(cells) == len(names) else f"{line} ({named_cells(sorted(cells), names)})"
        for line, cells in found.items()
    ]
    more = len(lines) - MAX_LINES
    return lines if more <= 0 else [*lines[:MAX_LINES], f"and {more:,} further lines on cells"]
