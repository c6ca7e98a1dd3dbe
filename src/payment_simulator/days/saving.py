"""Keeping a day: its document and tables, in a folder of their own."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labledger.documents import dump_document, sealed
from labledger.files import uninterrupted, write_durably
from labledger.parquet_files import parquet_bytes
from labledger.regular_files import open_regular
from payment_simulator.days.folders import DOCUMENT, check_new_folder, new_folder, table_file
from payment_simulator.days.record import DAY_VERSION, InputFile, StoredDay
from payment_simulator.days.report import report_of
from payment_simulator.scenario.given_payments import NEVER

if TYPE_CHECKING:
    import pyarrow

    from payment_simulator.engine.outcome import Outcome
    from payment_simulator.scenario.arrivals import Arrivals

SAVING = "saving the day first; once more ends at once, and keeps nothing of it"


def save_day(
    outcome: "Outcome",
    directory: Path | str,
    *,
    seed: int | None = None,
    name: str | None = None,
    inputs: Iterable[InputFile] = (),
    report: Mapping[str, Any] | None = None,
) -> Path:
    """Keep a run in the folder `directory`, durably, and return that; where another run was quicker, `directory_1`.

    `seed` is what its payments were drawn with, `name` the scenario's file, `inputs` the files that it was read from
    (see `input_files`), and `report` its figures, None to work them out.

    Raises:
        ValueError: its events were not recorded, or it is of several samples.
        ConfigError: the folder is there and not empty, or cannot be made.
        OSError: it could not be written; nothing is left behind.
    """
    path = Path(directory)
    check_new_folder(path)
    return write_day(outcome, path, seed=seed, name=name, inputs=inputs, report=report)


def write_day(
    outcome: "Outcome",
    path: Path,
    *,
    seed: int | None,
    name: str | None,
    inputs: Iterable[InputFile],
    report: Mapping[str, Any] | None,
) -> Path:
    """Keep a run as `save_day` does, whose folder was checked before the run: one that was filled since is no error,
    and the run is kept beside it, in `path_1`."""
    scenario, arrivals = outcome.scenario, outcome.arrivals
    if scenario is None or arrivals is None:
        raise ValueError("a day is kept with its payments: simulate one sample with record_events=True")
    ticks = scenario.simulation.ticks
    given = scenario.given_payments
    document = StoredDay(
        schema_version=DAY_VERSION,
        simulated_by=version("labledger"),
        saved_at=datetime.now(UTC),
        name=name,
        seed=seed,
        engine=outcome.engine,
        scenario=scenario.model_dump(mode="json"),
        inputs=list(inputs),
        payments=None if (section := scenario.payments_section) is None else section.model_dump(mode="json"),
        dates=None if given is None or given.dates is None else given.dates.tolist(),
        skipped={} if given is None else dict(given.skipped),
        remarks=[] if given is None else list(given.remarks),
        report=dict(report or report_of(outcome, scenario=name or "", seed=seed, ticks=ticks)),
    )
    files = {name: parquet_bytes(table) for name, table in _tables(outcome, arrivals).items()}
    digests = {f"{each}_sha256": hashlib.sha256(content).hexdigest() for each, content in files.items()}
    with uninterrupted(SAVING), new_folder(path) as folder:
        for each, content in files.items():
            write_durably(folder / table_file(each), content, within=folder.parent)
        write_durably(folder / DOCUMENT, sealed(dump_document(document), **digests), within=folder.parent)
        return folder


def _tables(outcome: "Outcome", arrivals: "Arrivals") -> "dict[str, pyarrow.Table]":
    """Return the tables of a day; of payments also which are its file's, so that it can be simulated again."""
    import pyarrow as pa

    from_file = np.zeros(len(arrivals), dtype=bool) if arrivals.given is None else arrivals.given != NEVER
    payments = outcome.payments().append_column("from_file", pa.array(from_file))
    return {"payments": payments, "balances": outcome.balances(), "costs": outcome.costs_by_tick()}


def input_files(paths: Iterable[Path], folder: Path) -> list[InputFile]:
    """Return the names, sizes and digests of files that a scenario in `folder` was read from.

    Raises:
        OSError: one cannot be read.
    """
    return [_input_file(path, folder) for path in dict.fromkeys(paths)]


def _input_file(path: Path, folder: Path) -> InputFile:
    with open(open_regular(path, 0, follow=True), "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    inside = path.is_relative_to(folder)
    return InputFile(name=str(path.relative_to(folder)) if inside else path.name, bytes=size, sha256=digest)
