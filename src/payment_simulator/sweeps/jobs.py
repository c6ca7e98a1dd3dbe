"""A job of many runs: cells, draws and the making of a table; what is done of it is kept, and gone on from."""

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labledger.console import Progress, Silent
from labledger.counts import counted
from labledger.errors import ConfigError
from labledger.executor import check_place_to_run
from labledger.files import write_durably
from payment_simulator.sweeps.cells import CellInfo, Cells, Scenarios
from payment_simulator.sweeps.measures import MEASURES, Floats
from payment_simulator.sweeps.running import Place, run_cells
from payment_simulator.sweeps.store import Store, partial_folder, program_digest
from payment_simulator.sweeps.tables import read_table, table_bytes
from payment_simulator.sweeps.tasks import Draws

if TYPE_CHECKING:
    import pyarrow

NO_DRAWS = "nothing is drawn in this scenario, so that all {0} give the same; leave them out"
OTHERWISE = "other settings, another scenario, or another version of this program"


@dataclass(frozen=True)
class Job:
    """Each of `draws` in each cell: a scenario of `source` with one of `changes`; and a table of what comes of it.

    `kind` and `about` say in the table's metadata what it is. `columns` are the types of its columns, and `rows` makes
    its rows of the cells and, for each, its figures by `measure`: draws x (banks and, last, the system) x figures.
    """

    kind: str
    source: Scenarios
    changes: Sequence[Any]
    draws: Sequence[Draws]
    measure: str
    about: Mapping[str, Any]
    columns: Mapping[str, str]
    rows: Callable[[Sequence[CellInfo], Iterable[Floats]], Iterator[dict[str, Any]]]


def carry_out(job: Job, output: Path | None, place: Place, progress: Progress | None = None) -> "pyarrow.Table":
    """Make the runs of a job, but for those that are kept beside `output`, write the table there, and return it.

    Where `output` is there already, of the same job, it is read.

    Raises:
        ConfigError: a cell cannot be run; or `output`, or what is kept beside it, is of another job, or in use.
        WorkerError: a worker process was killed twice at the same runs.
        OSError: the output cannot be written; what was done is kept.
    """
    check_place_to_run(place.on)
    shown = progress or Silent()
    if output is not None and output.exists():
        read_table(output, job.kind)
    with _store(output) as store:
        cells = Cells(job.source, job.changes, store.folder)
        infos = _checked(cells, job, shown)
        about = {"kind": job.kind, "scenario": job.source.name, **_of_draws(job.draws), **job.about}
        about |= {"version": version("labledger"), "digest": _digest(job, infos)}
        if output is not None and output.exists():
            return _finished(output, about)
        store.begin(about)
        with _going_on(output):
            run_cells(cells, [each.weight for each in infos], job.draws, job.measure, store, place, shown)
            shown.phase("summing up")
            shapes = [(len(each.banks) + 1, len(MEASURES[job.measure].names)) for each in infos]
            rows = job.rows(infos, store.figures(shapes, len(job.draws)))
            content, table = table_bytes(rows, job.columns, about)
            if output is not None:
                write_durably(output, content)
        store.remove()
    return table


@contextlib.contextmanager
def _store(output: Path | None) -> Iterator[Store]:
    """Yield the store beside `output`, or one that does not stay; a folder in which nothing was begun is removed."""
    if output is None:
        with tempfile.TemporaryDirectory(prefix="payment-sim-") as folder:
            yield Store(Path(folder))
        return
    with Store.held(partial_folder(output)) as store:
        try:
            yield store
        finally:
            if not store.is_begun:
                store.remove()


def _checked(cells: Cells, job: Job, shown: Progress) -> list[CellInfo]:
    """Return what is to be known of each cell, all of which are checked before any is run."""
    shown.phase(f"checking {counted(len(cells), 'cell')}")
    infos = []
    for number, cell in enumerate(cells):
        infos.append(cell.info)
        shown.update(number + 1, len(cells))
    if len(job.draws) > 1 and not any(each.draws for each in infos):
        name = "seeds" if job.draws[0].seed != job.draws[1].seed else "samples"
        raise ConfigError(f"--{name}: {NO_DRAWS.format(name)}")
    return infos


def _digest(job: Job, infos: Sequence[CellInfo]) -> str:
    """Return a digest of all on which the table depends."""
    draws = [[each.seed, each.first, each.count] for each in job.draws]
    parts = [program_digest(), job.kind, job.measure, dict(job.about), draws, [each.digest for each in infos]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _of_draws(draws: Sequence[Draws]) -> dict[str, Any]:
    if len({each.seed for each in draws}) == 1:
        return {"seeds": [draws[0].seed], "samples": len(draws)}
    return {"seeds": [each.seed for each in draws], "samples": 1}


def _finished(output: Path, about: Mapping[str, Any]) -> "pyarrow.Table":
    table, found = read_table(output, about["kind"])
    if found.get("digest") != about["digest"]:
        raise ConfigError(f"{output}: is there already, of {OTHERWISE}; name another output")
    return table


@contextlib.contextmanager
def _going_on(output: Path | None) -> Iterator[None]:
    """Add to what ends a job early how it is gone on with."""
    try:
        yield
    except BaseException as error:
        if output is not None:
            error.add_note(f"what was done is kept in {partial_folder(output)}; the same command goes on from there")
        raise
