"""Messages to and from the processes that we start: a task on stdin, reports on a pipe; one JSON object per line."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from llenergymeasure.config.models import ExperimentConfig, UserConfig


class RunTask(BaseModel):
    """The work of one run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: ExperimentConfig
    user: UserConfig

    def line(self) -> str:
        """The task as one line of JSON, with the fields that were set: one that has no effect may not be."""
        return self.model_dump_json(exclude_unset=True) + "\n"


class Task(RunTask):
    """The work of one worker: a share of a run."""

    experiment_id: str


class Message(BaseModel):
    """One line of a worker: a new phase; how far it is in it; the result's place in the output directory; or an error.

    `document` is a finished result that could be saved nowhere. `is_of_a_peer` is True of another process's error.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    phase: str | None = None
    done: int | None = None
    total: int = 0
    saved: str | None = None
    error: str | None = None
    kept_at: Path | None = None
    document: str | None = None
    is_of_a_peer: bool = False
    exit_code: int = 1
