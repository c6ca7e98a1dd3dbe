"""What a worker is told on its stdin, and what it tells on a pipe of its own: a JSON object a line."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from llenergymeasure.config.models import ExperimentConfig, UserConfig


class Task(BaseModel):
    """What a worker has to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment_id: str
    config: ExperimentConfig
    user: UserConfig

    def line(self) -> str:
        """As JSON: the fields that were set, for one that has no effect may not be."""
        return self.model_dump_json(exclude_unset=True) + "\n"


class Message(BaseModel):
    """One line of a worker: a new phase; how far it is in it; the result's place in the output directory; or an error.

    `document` is a finished result that could be saved nowhere. `is_of_a_peer` says that the error is another's.
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
