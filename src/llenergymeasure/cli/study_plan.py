"""The plan of a study, as `llem run --dry-run` prints it: cells, order, time, and what it will be able to tell."""

from collections import Counter
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
    from llenergymeasure.domain.study import StudyManifest, StudyRun

MAX_COLUMNS = 4
"""The most fields that have columns of their own; of more the names of cells tell."""
MAX_ROWS = 100
MAX_ORDER = 12
SHOWN_ROUNDS = 3
ADVISED_ROUNDS = 6


@dataclass(frozen=True)
class _Plan:
    """A study in `folder`, with the seconds of earlier runs of its configurations.

    Nothing has run of it or, of one that `is_resumed`, the runs of its manifest that are done.
    """

    study: "LoadedStudy"
    manifest: "StudyManifest"
    folder: Path
    earlier: Mapping[str, float]
    is_resumed: bool

    @property
    def left(self) -> "list[StudyRun]":
        """The runs that are still to be made."""
        return [run for run in self.manifest.runs if run.state != "done"]


def print_plan(
    study: "LoadedStudy", output: Path, *, as_json: bool, resumed: "tuple[Path, StudyManifest] | None" = None
) -> None:
    """Print what a study will run, in which order, for how long, and what it will tell.

    `resumed` is the folder of one that was begun, and its manifest as it is gone on with.
    """
    from llenergymeasure.study.durations import earlier_durations
    from llenergymeasure.study.plan import plan

    folder, manifest = resumed or (output / study.name, plan(study))
    earlier = earlier_durations(output, [cell.config_hash for cell in manifest.cells])
    planned = _Plan(study, manifest, folder, earlier, resumed is not None)
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
        "runs": [{"cell": run.cell, "round": run.round_number, "state": run.state} for run in plan.manifest.runs],
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
    settings = plan.study.settings
    kept = (
        "the model is kept between runs that differ in nothing that loading sees"
        if settings.process == "shared"
        else "each in a process of its own"
    )
    return [
        ("study", plan.study.name),
        ("runs", f"{_counts(plan)}; {kept}"),
        *_order(plan),
        *_further(plan.study),
        ("estimated time", _estimate(plan)),
        ("results in", _place(plan)),
        *(("tells", line) for line in _tells(plan.study)),
    ]


def _counts(plan: _Plan) -> str:
    """Return `12: 3 cells, 4 rounds`, or of a study that was begun `11 of 12 still to be made: ...`.

    With load searches, whose steps are runs, they are the most that these take.
    """
    from llenergymeasure.cli.study_progress import extent
    from llenergymeasure.results.study.search_steps import most_steps

    made = Counter((run.cell, run.round_number) for run in plan.manifest.runs if run.state == "done")
    searches = {each: plan.study.cells[each].config.load.search for each in range(len(plan.study.cells))}
    most = {each: 1 if search is None else most_steps(search) for each, search in searches.items()}
    every = sum(most[cell] for cell, _ in {(run.cell, run.round_number) for run in plan.manifest.runs})
    left = sum(max(most[each[0]] - made[each], 1) for each in {(run.cell, run.round_number) for run in plan.left})
    up_to = "up to " if any(searches.values()) else ""
    words = f"{up_to}{left:,} of {every:,} still to be made" if plan.is_resumed else f"{up_to}{every:,}"
    return f"{words}: {extent(plan.manifest)}"


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
    if len(plan.manifest.cells) == 1 or not plan.left:
        return []
    if settings.order == "blocks":
        return [("order", "blocks: all runs of cell 1, then all of cell 2, and so on")]
    rounds = [
        (number, [str(run.cell + 1) for run in runs])
        for number, runs in groupby(plan.left, lambda run: run.round_number)
    ]
    shown = [f"round {number}: {_shortened(cells)}" for number, cells in rounds[:SHOWN_ROUNDS]]
    more = ["and so on"] if len(rounds) > SHOWN_ROUNDS else []
    return [("order", f"{settings.order}{seed}; cells of {'; '.join([*shown, *more])}")]


def _shortened(cells: list[str]) -> str:
    if len(cells) <= MAX_ORDER:
        return ", ".join(cells)
    return ", ".join([*cells[: MAX_ORDER // 2], "...", *cells[-2:]])


def _further(study: "LoadedStudy") -> list[tuple[str, str]]:
    """Return what load searches take, the pauses, and the rule for further rounds."""
    from labledger.durations import rough_duration
    from llenergymeasure.cli.presentation import number

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

    time, left = time_of(plan.manifest, plan.earlier), {run.cell for run in plan.left}
    absent = sum(cell.config_hash not in plan.earlier for n, cell in enumerate(plan.manifest.cells) if n in left)
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
        wide = "an interval of 2 rounds is 9 times as wide as the spread between them"
        what = "times and joules will be: cannot tell (2 rounds; 3 are needed)" if several else wide
        return [f"{what}; {ADVISED_ROUNDS} rounds are advised"]
    return []
