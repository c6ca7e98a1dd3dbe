"""The plan of a study, and the state of each of its runs: its manifest, written before and after each run."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from labledger.documents import Document
from labledger.schema_versions import Known, OpenWhenRead, Record, Timestamp

STUDY_SCHEMA_VERSION = "1.0"

RunState = Literal["waiting", "running", "done", "failed", "interrupted", "given up"]


class StudyRecord(Record):
    """The base of a study's records: without a field that it requires, a file is damaged."""

    may_lack_fields = False


class StudyCell(StudyRecord):
    """One configuration of a study, as it was planned."""

    name: str
    """Name, unique in the study: the fields that its axes set, with their values."""
    changes: dict[str, JsonValue]
    """Values by the dotted paths of the fields that its axes, or its entry in `experiments`, set."""
    config_hash: str
    """First 16 hex digits of the SHA-256 of its configuration."""
    config: dict[str, JsonValue]
    """The configuration, with its defaults."""


class StudyGap(StudyRecord):
    """The pause before a run."""

    waited_s: Annotated[float | None, Known]
    """Seconds that it took."""
    temperature_c: float | None = None
    """Degrees Celsius of the hottest device that the run uses, at its end; None where none was waited for, or told."""
    warning: str | None = None
    """Reason why the run began warmer than was asked for; None where it did not."""


class StudyRun(StudyRecord):
    """One run of a study, planned or made."""

    cell: int
    """Number of its cell, from 0."""
    round_number: int
    """Round that it is part of, from 1."""
    step: int | None = None
    """Step of the load search that it is in that round, from 1; None of a cell that searches nothing."""
    searched: float | None = None
    """Value of the searched load in this step."""
    state: Annotated[RunState, OpenWhenRead()] = "waiting"
    """State: waiting, running, done, failed, interrupted or given up."""
    folder: str | None = None
    """Name of its result's folder beside the manifest; None where it has none."""
    experiment_id: str | None = None
    """Id of its result."""
    error: str | None = None
    """Reason why it has no result."""
    started_at: Timestamp | None = None
    """Moment at which it began, in UTC."""
    elapsed_s: float | None = None
    """Seconds that it took as a whole, loading and warm-up included."""
    gap: StudyGap | None = None
    """The pause before it; None without `gaps`, and of the first run of a session."""
    session: int | None = None
    """Number of the call of `llem` that made it, from 1: what was resumed later is another session."""


class StudyManifest(Document):
    """The plan of a study and the state of each of its runs: `study_manifest.json`."""

    may_lack_fields = False
    document_kind = "llem.study_manifest"
    known_by = "study_name"

    schema_version: str | None = STUDY_SCHEMA_VERSION
    """Version of this list of fields."""
    study_name: str
    """Name of the study."""
    settings: dict[str, JsonValue]
    """The sections `study`, `gaps` and `stop`, with their defaults."""
    cells: list[StudyCell]
    """The configurations; in the file without what is in `shared_config`."""
    shared_config: dict[str, JsonValue] = Field(default_factory=dict)
    """Fields that the configurations of all cells have in common; in the file alone."""
    runs: list[StudyRun]
    """Every run in the order in which they are made; in the file without the fields that are None."""
    directory: str | None = None
    """The working directory in which it was begun: relative paths of its configurations begin there."""
    inputs: dict[str, str | None] = Field(default_factory=dict)
    """The files and folders that the configurations name, with the SHA-256 of those that runs read their work from."""
    sessions: int = 0
    """Number of calls of `llem` that have begun it or gone on with it."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of labledger and Python of the last session."""
    machine: str | None = None
    """The machine of the last session, in words; its name only where the user configuration records it."""
