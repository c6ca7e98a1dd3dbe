"""The plan of a study, as `llem run --dry-run` prints it: cells, order, time, and what it will be able to tell."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from labledger.console import print_facts, print_json, print_line, print_table
from labledger.json_text import dump_json

if TYPE_CHECKING:
    from llenergymeasure.config.study.cells import LoadedStudy
    from llenergymeasure.domain.study import StudyManifest

MAX_COLUMNS = 4
"""The most fields that have columns of their own; of more the names of cells tell."""
MAX_ROWS = 100
MAX_ORDER = 12
SHOWN_ROUNDS = 3
ADVISED_ROUNDS = 6


@dataclass(frozen=True)
class _Plan:
    """A study that nothing has run of, in `folder`, and the seconds of earlier runs of its configurations."""

    study: "LoadedStudy"
    manifest: "StudyManifest"
    folder: Path
    earlier: Mapping[str, float]
    is_resumed: bool


def print_plan(study: "LoadedStudy", output: Path, *, as_json: bool, resumed: Path | None = None) -> None:
    """Print what a study will run, in which order, for how long, and what it will tell; `resumed` is its folder."""
    from llenergymeasure.study.durations import earlier_durations
    from llenergymeasure.study.plan import plan

    manifest = plan(study)
    earlier = earlier_durations(output, [cell.config_hash for cell in manifest.cells])
    planned = _Plan(study, manifest, resumed or output / study.name, earlier, resumed is not None)
    if as_json:
        print_json(dump_json(_document(planned)))
        return
    _print_cells(planned)
    print_facts("", _facts(planned))


def _document(plan: _Plan) -> dict[str, JsonValue]:
    from llenergymeasure.study.durations import time_of

    cells: list[JsonValue] = [
        {
            "cell": number,
            "name": cell.name,
            "changes": dict(cell.changes),
            "config_hash": cell.config_hash,
            "earlier_s": plan.earlier.get(cell.config_hash),
            "config": dict(cell.config),
        }
        for number, cell in enumerate(plan.manifest.cells)
    ]
    differing: list[JsonValue] = [*plan.study.differing]
    searches: list[JsonValue] = [*_searches(plan.study)]
    tells: list[JsonValue] = [*_tells(plan.study)]
    return {
        "study": plan.study.name,
        "folder": str(plan.folder),
        "settings": dict(plan.manifest.settings),
        "differing": differing,
        "cells": cells,
        "runs": [{"cell": run.cell, "round": run.round_number} for run in plan.manifest.runs],
        "searches": searches,
        "estimate": dict(asdict(time_of(plan.manifest, plan.earlier))),
        "tells": tells,
    }


def _print_cells(plan: _Plan) -> None:
    from llenergymeasure.cli.presentation import estimated
    from llenergymeasure.config.fields import value_at
    from llenergymeasure.config.study.names import value_words

    differing = plan.study.differing if len(plan.study.differing) <= MAX_COLUMNS else ()
    cells = plan.manifest.cells
    rows = [
        [
            str(number),
            cell.name,
            *(value_words(value_at(cell.config, path)) for path in differing),
            estimated(plan.earlier.get(cell.config_hash), False),
        ]
        for number, cell in enumerate(cells[:MAX_ROWS], 1)
    ]
    print_table(["no.", "cell", *differing, "a run takes"], rows)
    if len(cells) > MAX_ROWS:
        print_line(f"... and {len(cells) - MAX_ROWS:,} more cells; --json has every one")


def _facts(plan: _Plan) -> list[tuple[str, str]]:
    settings, cells, runs = plan.study.settings, len(plan.manifest.cells), len(plan.manifest.runs)
    kept = (
        "the model is kept between runs that differ in nothing that loading sees"
        if settings.process == "shared"
        else "each in a process of its own"
    )
    cell_words, round_words = (
        f"{cells:,} cell{'s' * (cells > 1)}",
        f"{settings.repeats} round{'s' * (settings.repeats > 1)}",
    )
    return [
        ("study", plan.study.name),
        ("runs", f"{runs:,}: {cell_words}, {round_words}; {kept}"),
        *_order(plan),
        *_further(plan.study),
        ("estimated time", _estimate(plan)),
        ("results in", _place(plan)),
        *(("tells", line) for line in _tells(plan.study)),
    ]


def _place(plan: _Plan) -> str:
    if plan.is_resumed:
        return f"{plan.folder}, of which runs that have a result are not made again"
    if not plan.folder.exists():
        return str(plan.folder)
    return f"a new folder beside {plan.folder}, which is there; --resume goes on with a study"


def _order(plan: _Plan) -> list[tuple[str, str]]:
    """Return the order of the first rounds, by the numbers of cells."""
    settings = plan.study.settings
    seed = f", seed {settings.seed}" if settings.order == "shuffled" else ""
    if len(plan.manifest.cells) == 1:
        return []
    if settings.order == "blocks":
        return [("order", "blocks: all runs of cell 1, then all of cell 2, and so on")]
    rounds = [
        [str(run.cell + 1) for run in runs] for _, runs in groupby(plan.manifest.runs, lambda run: run.round_number)
    ]
    shown = [f"round {number}: {_shortened(cells)}" for number, cells in enumerate(rounds[:SHOWN_ROUNDS], 1)]
    more = ["and so on"] if len(rounds) > SHOWN_ROUNDS else []
    return [("order", f"{settings.order}{seed}; cells of {'; '.join([*shown, *more])}")]


def _shortened(cells: list[str]) -> str:
    if len(cells) <= MAX_ORDER:
        return ", ".join(cells)
    return ", ".join([*cells[: MAX_ORDER // 2], "...", *cells[-2:]])


def _further(study: "LoadedStudy") -> list[tuple[str, str]]:
    """Return what load searches take, the pauses, and the rule for further rounds."""
    from llenergymeasure.cli.presentation import number, rough_duration

    gaps, stop = study.gaps, study.stop
    facts = [("load search", line) for line in _searches(study)]
    pauses = [f"{number(gaps.experiment_s)} s"] if gaps.experiment_s else []
    if gaps.until_c is not None:
        pauses.append(f"until {number(gaps.until_c)} °C, for {rough_duration(gaps.timeout_s)} at the most")
    if pauses:
        facts.append(("pause before each run", ", then ".join(pauses)))
    if stop is not None:
        width = f"{100 * stop.half_width:.3g} %"
        facts.append(
            ("further rounds", f"up to {stop.max_repeats} in all, until {stop.metric} is known to {width} in each cell")
        )
    return facts


def _searches(study: "LoadedStudy") -> list[str]:
    """Return lines on what the load searches of the cells take, equal ones once."""
    from llenergymeasure.study.load_search import remarks

    return list(dict.fromkeys(line for cell in study.cells for line in remarks(cell.config)))


def _estimate(plan: _Plan) -> str:
    from llenergymeasure.cli.presentation import estimated
    from llenergymeasure.study.durations import time_of

    time = time_of(plan.manifest, plan.earlier)
    absent = sum(cell.config_hash not in plan.earlier for cell in plan.manifest.cells)
    if time.seconds is None:
        return f"unknown: no such configuration has run in {plan.folder.parent} before"
    unknown = f": of {absent:,} cell{'s' * (absent > 1)} it is unknown" if absent else ""
    return estimated(time.seconds, time.is_least) + unknown


def _tells(study: "LoadedStudy") -> list[str]:
    """Return lines on what comparisons of the cells will be able to tell."""
    settings, several = study.settings, len(study.cells) > 1
    rounds = max(settings.repeats, study.stop.max_repeats if study.stop else 0)
    if several and settings.order == "blocks":
        why = "order: blocks compares other times of the day; alternating or shuffled compare cells within rounds"
        return [f"times and joules will be: cannot tell ({why})"]
    if rounds == 1:
        what = "times and joules will be: cannot tell" if several else "no figure will have an interval"
        return [f"{what} (1 round has no spread); {ADVISED_ROUNDS} rounds are advised"]
    if rounds == 2:
        return [
            "2 rounds: an interval is 9 times as wide as the spread between rounds, so that little can be told apart; "
            f"with {ADVISED_ROUNDS}, which are advised, it is as wide as the spread"
        ]
    return []
