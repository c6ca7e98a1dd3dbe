"""A result's folder: `{model}_{backend}_{minute}/` with result.json and, where there is one, its sidecar.

The sidecar is written first and result.json last, so a folder with a result.json is complete. That file's seal covers
the digest of the sidecar.
"""

import hashlib
import os
import re
import warnings
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labledger.documents import Seal, check_seal, dump_document, read_document, seal_of, sealed
from labledger.files import claim_directory, claimed_directory, copy_durably, uninterrupted, write_durably
from labledger.regular_files import behind_link, opened_to_read, read_regular
from labledger.schema_versions import version_warning
from llenergymeasure.config.own_folders import state_path
from llenergymeasure.config.paths import local_folder
from llenergymeasure.domain.experiment import SCHEMA_VERSION, ExperimentResult, RawProcessResult
from llenergymeasure.errors import ExperimentError

if TYPE_CHECKING:
    import pyarrow

RESULT_FILE = "result.json"
TIMESERIES_FILE = "timeseries.parquet"
STATE_FOLDER = ".state"
LOGS_FOLDER = ".logs"
RAW_FILE = "process_{index}.json"
RERUN_COMMAND = "llem run experiment.yaml"
MAX_NAME_LENGTH = 100
UNNAMED = "it is read as its timeseries, and no digest tells whether it is that"


class UnsavedResultError(ExperimentError):
    """A finished result could not be saved where it was asked for.

    `result` is the result; `kept_at` is the result.json in the fallback folder, None if that failed as well.
    """

    def __init__(self, message: str, result: ExperimentResult, kept_at: Path | None) -> None:
        super().__init__(message)
        self.result = result
        self.kept_at = kept_at


def save_result(result: ExperimentResult, output_dir: Path, timeseries_source: Path | None = None) -> Path:
    """Save `result` to a new folder in `output_dir` and return the path of its result.json.

    `timeseries_source` is copied beside it, and then the file has `"timeseries": "timeseries.parquet"`; a
    source that is not there is a UserWarning, and the result is saved without it.

    Raises:
        OSError: it could not be written; the folder is gone again.
    """
    if timeseries_source is not None and not Path(timeseries_source).is_file():
        warnings.warn(f"Timeseries source missing at {timeseries_source}: saved without it.", stacklevel=3)
        timeseries_source = None
    with uninterrupted(), claimed_directory(Path(output_dir) / _experiment_dir_name(result)) as folder:
        timeseries_digest = None
        if timeseries_source is not None:
            sidecar = folder / TIMESERIES_FILE
            timeseries_digest = copy_durably(Path(timeseries_source), sidecar, within=folder.parent)
            result = result.model_copy(update={"timeseries": TIMESERIES_FILE})
        path = folder / RESULT_FILE
        write_durably(path, sealed(to_json(result), timeseries_sha256=timeseries_digest), within=folder.parent)
        return path


def save_or_keep(result: ExperimentResult, output_dir: Path, timeseries_source: Path | None = None) -> Path:
    """`save_result`, and if that fails, keep the result in the user's state folder, `unsaved/`.

    Raises:
        UnsavedResultError: it could not be saved; the message names where the result is kept, if anywhere.
    """
    try:
        return save_result(result, output_dir, timeseries_source)
    except OSError as error:
        reason = f"the result could not be saved in {output_dir}: {error.strerror} ({error.filename})"
        fallback = unsaved_folder()
        try:
            kept_at = save_result(result, fallback, timeseries_source)
        except OSError as second:
            message = f"{reason}; nor in {fallback}: {second.strerror}"
            raise UnsavedResultError(message, result, None) from error
        raise UnsavedResultError(f"{reason}; it is kept at {kept_at}", result, kept_at) from error


def unsaved_folder() -> Path:
    """The folder for results that could not be saved in the directory that was asked for."""
    return state_path() / "unsaved"


def save_raw_result(raw: RawProcessResult, output_dir: Path) -> Path:
    """Keep one process's result in `.state/{experiment_id}/` and return its path.

    Raises:
        OSError: it could not be written.
    """
    path = state_folder(output_dir, raw.experiment_id) / RAW_FILE.format(index=raw.process_index)
    write_durably(path, dump_document(raw).encode(), within=output_dir)
    return path


def state_folder(output_dir: Path, experiment_id: str | None) -> Path:
    """The folder in which the processes of an unfinished run keep what they have measured."""
    return output_dir / STATE_FOLDER / safe_name(experiment_id)


def server_log(output_dir: Path | None, experiment_id: str) -> Path:
    """The log file of a server that is launched for a run; it is never removed.

    Without an `output_dir` it is the user's state folder: in one that several users share, others could place a link.
    """
    return (output_dir or state_path()) / LOGS_FOLDER / f"{safe_name(experiment_id)}.log"


def load_result(path: Path) -> ExperimentResult:
    """Load a result.json; see `ExperimentResult.from_json` for what it warns of.

    Raises:
        OSError: the file cannot be read.
        OtherKindError: it is of another kind.
        UnreadableFileError: it is not JSON, or a value has a wrong type.
    """
    path = Path(path)
    content = read_regular(path)
    result, data = read_document(ExperimentResult, content, str(path))
    if warning := version_warning(result, data, str(path), current=SCHEMA_VERSION, rerun=RERUN_COMMAND):
        warnings.warn(warning, stacklevel=3)
    sidecar = path.parent / TIMESERIES_FILE
    without = f"The result is loaded without it; its timeseries field still says {result.timeseries!r}."
    try:
        if check_integrity(path, content, data) == "broken":
            warnings.warn(f"{path} or its sidecar was changed after it was saved: a digest differs.", stacklevel=3)
    except OSError as error:
        warnings.warn(f"Timeseries sidecar {sidecar} cannot be read: {error.strerror}. {without}", stacklevel=3)
    if result.timeseries is not None and not os.path.lexists(sidecar):
        warnings.warn(f"Timeseries sidecar missing at {sidecar}. {without}", stacklevel=3)
    if result.timeseries is None and sidecar_in(path.parent, is_named=False) is not None:
        warnings.warn(f"{sidecar} lies beside a result that does not name it: {UNNAMED}.", stacklevel=3)
    return result


def sidecar_in(folder: Path, *, is_named: bool) -> Path | None:
    """Return the timeseries in a result's folder, None without one; a file that the result does not name counts, a link
    does not."""
    path = folder / TIMESERIES_FILE
    if is_named:
        return path if os.path.lexists(path) else None
    return path if path.is_file() and not path.is_symlink() else None


def load_timeseries(result: ExperimentResult, path: Path) -> "pyarrow.Table | None":
    """The timeseries beside the result.json at `path`; None where there is none. It need not be named in it.

    Raises:
        OSError: it is there and cannot be read.
    """
    from llenergymeasure.results.timeseries import load_timeseries_parquet

    sidecar = sidecar_in(behind_link(Path(path)).parent, is_named=result.timeseries is not None)
    return None if sidecar is None else load_timeseries_parquet(sidecar)


def to_json(result: ExperimentResult) -> str:
    """The result as indented JSON text, its kind first."""
    return dump_document(result)


def to_parquet(result: ExperimentResult, path: Path) -> Path:
    """Write the result as one flat row; see `ExperimentResult.to_parquet`."""
    from llenergymeasure.results.exporters import export
    from llenergymeasure.results.flat import flat_row

    return export([flat_row(result)], "parquet", Path(path))


_find_collision_free_dir = claim_directory
"""The plan's name of `labledger.files.claim_directory`; a save takes `claimed_directory`, which removes what failed."""


def _atomic_write(content: str, path: Path) -> None:
    """Write a text durably: the plan's name and order of arguments for `labledger.files.write_durably`."""
    write_durably(Path(path), content.encode())


def _experiment_dir_name(result: ExperimentResult) -> str:
    """Return `{model}_{backend}_{minute}`, the name of a result's folder; the plan's name for it."""
    model = result.effective_config.get("model")
    minute = datetime.now().strftime("%Y-%m-%dT%H-%M")  # local time, as a person looks for it
    if isinstance(model, str) and local_folder(model) is not None:
        model = Path(model).name
    return f"{safe_name(model)}_{safe_name(result.backend)}_{minute}"


def safe_name(name: object) -> str:
    """`name` as a folder's name: at most 100 characters of `a-z0-9._-`, "unknown" where none is left."""
    text = name if isinstance(name, str) else ""
    text = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip(".-")[:MAX_NAME_LENGTH]
    return text.strip(".-") or "unknown"


def check_integrity(path: Path, content: bytes, data: dict[str, Any]) -> Seal:
    """Return "holds" if the file and its sidecar are as they were saved; "absent" where there is no such key.

    Raises:
        OSError: the sidecar cannot be read.
    """
    found = check_seal(content, data)
    expected = seal_of(data).get("timeseries_sha256")
    if found != "holds" or expected is None or not os.path.lexists(sidecar := path.parent / TIMESERIES_FILE):
        return found
    with opened_to_read(sidecar) as file:
        return "holds" if hashlib.file_digest(file, "sha256").hexdigest() == expected else "broken"
