"""A study's runs as one Arrow table: what was planned, what came of it, and the columns of the flat table."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.domain.study import StudyCell, StudyRun
from llenergymeasure.results.config_columns import config_values
from llenergymeasure.results.flat import Row, arrow_table, columns, flat_row
from llenergymeasure.results.study.runs import read_study

if TYPE_CHECKING:
    import pyarrow

FACTS: dict[str, tuple[type, Callable[[StudyRun, StudyCell], Any]]] = {
    "cell": (int, lambda run, _: run.cell),
    "cell_name": (str, lambda _, cell: cell.name),
    "changes": (str, lambda _, cell: json.dumps(cell.changes)),
    "round_number": (int, lambda run, _: run.round_number),
    "step": (int, lambda run, _: run.step),
    "searched": (float, lambda run, _: run.searched),
    "state": (str, lambda run, _: str(run.state)),
    "error": (str, lambda run, _: run.error),
    "elapsed_s": (float, lambda run, _: run.elapsed_s),
}
"""The columns before those of the flat table: their type, and the value of a run."""


def study_table(folder: Path) -> "pyarrow.Table":
    """Return the runs of the study in a folder as it is now, in the order in which they are made, a row each.

    A run without a result has its configuration, and else nulls in the columns of the flat table. Raises as
    `read_study`, and warns as `arrow_table`.
    """
    import pyarrow as pa

    runs = read_study(folder)
    cells = runs.manifest.cells
    pairs = list(zip(runs.manifest.runs, runs.results, strict=True))
    table = arrow_table(_row(cells[run.cell], run, result, folder) for run, result in pairs)
    kinds: dict[type, Any] = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    for place, (name, (kind, value)) in enumerate(FACTS.items()):
        column = pa.array([value(run, cells[run.cell]) for run, _ in pairs], kinds[kind])
        table = table.add_column(place, pa.field(name, kinds[kind]), column)
    return table


def _row(cell: StudyCell, run: StudyRun, result: ExperimentResult | None, folder: Path) -> Row:
    if result is not None:
        return flat_row(result, folder / str(run.folder))
    row = Row(config_values(cell.config))
    row.update(dict.fromkeys(columns()))
    return row
