"""The plan of a study: its cells and the order of its runs, and what of it a later call may extend."""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import count, islice
from typing import Any

from pydantic import JsonValue, ValidationError

from labledger.comparison import diff
from labledger.host import describe_machine
from labledger.json_text import dump_json
from labledger.untrusted_text import SHOWN, clean, first_line
from labledger.yaml_files import describe_errors
from llenergymeasure.config.loading import LoadedConfig
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.config.study.cells import Cell, LoadedStudy
from llenergymeasure.config.study.sections import GapsSection, Order, StopSection, StudySection
from llenergymeasure.domain.experiment import compute_measurement_config_hash
from llenergymeasure.domain.study import StudyCell, StudyManifest, StudyRun
from llenergymeasure.errors import ConfigError
from llenergymeasure.run.repeats import in_order, rounds
from llenergymeasure.study.origin import inputs_of, origin_problems

MAY_GROW = ("study.repeats", "stop.max_repeats")
MAY_CHANGE = ("study.name", "study.timeout_s")
NAMED_CELLS = 5
OTHERWISE = (
    "  undo this to go on with it, or leave out --resume (in Python resume=True): then a new study is begun beside it, "
    "under a number or another study.name"
)


def plan(study: LoadedStudy) -> StudyManifest:
    """Return the manifest of a study of which nothing has run."""
    cells = [
        StudyCell(
            name=cell.name,
            changes=dict(cell.changes),
            config_hash=compute_measurement_config_hash(cell.config),
            config=cell.config.in_effect(),
        )
        for cell in study.cells
    ]
    planned = rounds(len(cells), study.settings.repeats, study.settings.order, study.settings.seed)
    runs = [StudyRun(cell=run.configuration, round_number=run.round_number) for run in planned]
    settings: dict[str, JsonValue] = {
        "study": study.settings.model_dump(mode="json"),
        "gaps": study.gaps.model_dump(mode="json"),
        "stop": study.stop.model_dump(mode="json") if study.stop else None,
    }
    inputs = inputs_of([cell.config for cell in cells])
    return StudyManifest(
        study_name=study.name, settings=settings, cells=cells, runs=runs, directory=os.getcwd(), inputs=inputs
    )


def study_of(manifest: StudyManifest, user: UserConfig) -> LoadedStudy:
    """Return the study that a manifest was planned from.

    Raises:
        ConfigError: this version refuses a configuration, or the settings.
    """
    try:
        settings, gaps, stop = (manifest.settings.get(name) for name in ("study", "gaps", "stop"))
        return LoadedStudy(
            manifest.study_name,
            StudySection.model_validate(settings or {}),
            GapsSection.model_validate(gaps or {}),
            None if stop is None else StopSection.model_validate(stop),
            tuple(_cell_of(cell, user) for cell in manifest.cells),
            user,
            (),
        )
    except ValidationError as error:
        raise _of_another_version(manifest, "its settings", error) from error


def _cell_of(cell: StudyCell, user: UserConfig) -> Cell:
    try:
        return Cell(cell.name, cell.changes, LoadedConfig(ExperimentConfig.model_validate(cell.config), user, ()))
    except ValidationError as error:
        lines = describe_errors(error, ExperimentConfig, cell.config, lambda _: "")
        name = clean(cell.name, SHOWN)
        raise ConfigError("\n".join(f"cell {name}: this version refuses it: {line}" for line in lines)) from error


def _of_another_version(manifest: StudyManifest, what: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"{what} are not understood, and were written by labledger {manifest.versions.get('labledger', 'unknown')}: "
        f"{first_line(error)}; go on with that version, or begin a new study"
    )


def with_run(manifest: StudyManifest, number: int, run: StudyRun) -> StudyManifest:
    """Return the manifest with another record of run `number`, from 0."""
    return manifest.model_copy(update={"runs": [*manifest.runs[:number], run, *manifest.runs[number + 1 :]]})


def extended(begun: StudyManifest, planned: StudyManifest) -> StudyManifest:
    """Return the manifest of a study that was begun, with what the plan of today has in addition.

    More repeats, further cells, and a larger `stop.max_repeats` extend it. A further cell has its runs in the rounds of
    which nothing has run, and then in rounds of its own: rounds compare what ran side by side.

    Raises:
        ConfigError: the plan is another one; a line for each difference.
    """
    places = _places(begun, planned)
    problems = [
        *_setting_problems(begun.settings, planned.settings),
        *_cell_problems(begun, planned, places),
        *origin_problems(begun, planned),
    ]
    if problems:
        raise ConfigError("\n".join([*problems, OTHERWISE]))
    old = {place: cell for of_plan, cell in enumerate(planned.cells) if (place := places.get(of_plan)) is not None}
    further = [cell for of_plan, cell in enumerate(planned.cells) if of_plan not in places]
    cells = [*(old[place] for place in range(len(begun.cells))), *further]
    runs = _with_further_runs(begun, len(cells), StudySection.model_validate(planned.settings["study"]))
    origin = {"directory": begun.directory or planned.directory, "inputs": {**planned.inputs, **begun.inputs}}
    return begun.model_copy(update={"settings": planned.settings, "cells": cells, "runs": runs, **origin})


def _places(begun: StudyManifest, planned: StudyManifest) -> dict[int, int]:
    """Return by the number of a planned cell that of the one that was begun with the same configuration."""
    known = {cell.config_hash for cell in planned.cells}
    by_hash = {
        cell.config_hash if cell.config_hash in known else _hash_today(cell): number
        for number, cell in enumerate(begun.cells)
    }
    return {n: by_hash[cell.config_hash] for n, cell in enumerate(planned.cells) if cell.config_hash in by_hash}


def _hash_today(cell: StudyCell) -> str:
    """Return the hash of a cell's configuration with the fields that this version has."""
    try:
        return compute_measurement_config_hash(ExperimentConfig.model_validate(cell.config))
    except ValidationError:
        return cell.config_hash


def _setting_problems(begun: Mapping[str, Any], planned: Mapping[str, Any]) -> Iterator[str]:
    for path, (before, now) in diff(dict(begun), dict(planned)).items():
        numbers = isinstance(before, int) and isinstance(now, int)
        if path in MAY_CHANGE or (path in MAY_GROW and numbers and now > before):
            continue
        fewer = "; it may only become more" if path in MAY_GROW and numbers else ""
        yield f"{path}: {_written(before)} in the study that was begun, {_written(now)} now{fewer}"


def _cell_problems(begun: StudyManifest, planned: StudyManifest, places: Mapping[int, int]) -> list[str]:
    """Return a line for each field of a cell that was changed, and for each cell that is no longer there."""
    kept, lines = set(places.values()), list[str]()
    by_name = {cell.name: cell for n, cell in enumerate(planned.cells) if n not in places}
    for number, cell in enumerate(begun.cells):
        if number in kept:
            continue
        name = clean(cell.name, SHOWN)
        if (other := by_name.get(cell.name)) is None:
            lines.append(f"cell {name}: was in the study that was begun, and is not now")
        for path, (before, now) in diff(cell.config, other.config if other else cell.config).items():
            lines.append(f"cell {name}: {path}: {_written(before)} when it was begun, {_written(now)} now")
    more = [f"and {len(lines) - NAMED_CELLS} more"] if len(lines) > NAMED_CELLS else []
    return [*lines[:NAMED_CELLS], *more]


def _written(value: JsonValue) -> str:
    return clean(dump_json(value, indent=None), SHOWN)


def _with_further_runs(begun: StudyManifest, cells: int, settings: StudySection) -> list[StudyRun]:
    """Return the runs, with those that more repeats and further cells add."""
    of_cell: dict[int, set[int]] = {cell: set() for cell in range(cells)}
    for run in begun.runs:
        of_cell[run.cell].add(run.round_number)
    is_begun = {run.round_number for run in begun.runs if run.state != "waiting"}
    closed = set() if settings.order == "blocks" else is_begun
    added = list[StudyRun]()
    for cell, has in of_cell.items():
        free = (number for number in count(1) if number not in has and number not in closed)
        added += [StudyRun(cell=cell, round_number=n) for n in islice(free, max(0, settings.repeats - len(has)))]
    if not added:
        return begun.runs
    if settings.order == "blocks":
        return [*begun.runs, *sorted(added, key=lambda run: (run.cell, run.round_number))]
    still_open = {run.round_number for run in added}
    stay = [run for run in begun.runs if run.round_number not in still_open]
    move = [run for run in begun.runs if run.round_number in still_open]
    return [*stay, *_in_order([*move, *added], settings.order, settings.seed)]


def _in_order(runs: Sequence[StudyRun], order: Order, seed: int) -> Iterator[StudyRun]:
    of_round: dict[int, dict[int, StudyRun]] = {}
    for run in runs:
        of_round.setdefault(run.round_number, {})[run.cell] = run
    for number, of_cell in sorted(of_round.items()):
        yield from map(of_cell.__getitem__, in_order(of_cell, number, order, seed))


def further_round(manifest: StudyManifest, left_out: set[int]) -> list[StudyRun]:
    """Return the runs of one more round of all cells but those that are `left_out`, in their order."""
    settings = StudySection.model_validate(manifest.settings["study"])
    number = max((run.round_number for run in manifest.runs), default=0) + 1
    cells = [cell for cell in range(len(manifest.cells)) if cell not in left_out]
    return [StudyRun(cell=cell, round_number=number) for cell in in_order(cells, number, settings.order, settings.seed)]


def made_here(user: UserConfig) -> dict[str, Any]:
    """Return what the manifest tells of this session: its versions, and the machine in words."""
    name = platform.node() if user.record_hostname else ""
    versions = {"labledger": version("labledger"), "python": platform.python_version()}
    return {"versions": versions, "machine": ", ".join([describe_machine(), *([name] if name else [])])}
