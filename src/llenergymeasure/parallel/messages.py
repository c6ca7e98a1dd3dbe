"""Messages to and from the processes that we start: a task on stdin, reports on a pipe; one JSON object per line."""

import json
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.config.models import ExperimentConfig, UserConfig

MOST_TOLD = 8000
"""Characters of an error that are reported."""


class RunTask(BaseModel):
    """The work of one run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: ExperimentConfig
    user: UserConfig
    keeps: bool = False
    """The process leaves what it has loaded for its next run."""
    prompt_mark: int | None = None
    """See `ExperimentResult.prompt_mark`."""

    def line(self) -> str:
        """The task as one line of JSON, with the fields that were set: one that has no effect may not be."""
        return self.model_dump_json(exclude_unset=True) + "\n"


class RunEnded(NamedTuple):
    """The end of one run: the path of its result.json, or the error."""

    saved: str | None = None
    error: str | None = None

    def line(self) -> bytes:
        """It as one line of JSON, whatever bytes a path has; no longer than a pipe takes at once."""
        error = self.error and self.error[:MOST_TOLD]
        return json.dumps({"saved": self.saved, "error": error}).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> "RunEnded":
        """Return what a line tells; of another one, that it is none."""
        try:
            return cls(**json.loads(line))
        except (ValueError, TypeError):  # its memory is damaged, or a library has found the pipe
            return cls(error=f"reported {clean(line.decode(errors='replace'), SHOWN)}")


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
