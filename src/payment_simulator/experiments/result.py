"""The result of an experiment, and the file that holds it."""

import re
import warnings
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, JsonValue

from labledger.documents import Document, check_seal, dump_document, read_document, sealed
from labledger.files import claimed_directory, write_durably
from labledger.regular_files import read_regular
from labledger.schema_versions import Known, Record, version_warning
from payment_simulator.experiments.observed_day import OneDay
from payment_simulator.experiments.persistence.records import Ending
from payment_simulator.policy.tree import MAX_DEPTH

RESULT_VERSION = "1.0"
RESULT_FILE = "result.json"
RERUN_COMMAND = "payment-sim experiment run CONFIG"


class RestingPoint(Record):
    """An outcome of several starts, as `Ending.resting_points` has it. Cents."""

    starts: list[int] = Field(default_factory=list)
    """The numbers of the starts that ended so."""
    reached: int | None = None
    """The number of them."""
    at_rest: bool | None = None
    """True if nobody moved any more."""
    converged: bool | None = None
    """True if the Nash gap agrees with that."""
    reason: str | None = None
    """The reason for their end."""
    policies: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)
    """The policy of each bank."""
    costs_by_agent: dict[str, int] = Field(default_factory=dict)
    """Cents of each bank."""
    total_cost: int | None = None
    """Cents of all banks together."""
    nash_gap: int | None = None
    """The Nash gap, as `ExperimentResult.final_nash_gap` and the fields beside it."""
    nash_gap_kind: str | None = None
    nash_gap_half_width: int | None = None
    nash_gap_values: int | None = None


class ExperimentResult(Document):
    """The outcome of a run: the profile after its last decision, evaluated on draws that no decision has used. Cents.

    A file that lacks a field gives None for it.
    """

    document_kind = "payments.experiment"
    known_by = "final_costs_by_agent"
    max_nesting = 2 * MAX_DEPTH + 10  # of any policy: a step of a tree is an object in a list

    schema_version: str | None = RESULT_VERSION
    """Version of this list of fields; None of a file that names none."""
    experiment_id: Annotated[str | None, Known]
    """The run's own name: the experiment's, the moment it began (UTC), and random digits."""
    experiment_name: Annotated[str | None, Known]
    """The name of its configuration."""
    converged: Annotated[bool | None, Known]
    """True if nothing moved any more, and the Nash gap does not contradict it."""
    convergence_reason: Annotated[str | None, Known]
    """The reason for its end: stability, max_iterations, no_valid_proposal, or a cycle with its length."""
    num_iterations: Annotated[int | None, Known]
    """The number of its iterations."""
    refused_proposals: int | None = None
    """Proposers' answers that were no policy, or none that is allowed and can be evaluated."""
    first_refusal: str | None = None
    """The bank, iteration and problem of the first of them; None without one."""
    final_costs: Annotated[int | None, Known]
    """Cents of all banks together."""
    final_costs_by_agent: dict[str, int] = Field(default_factory=dict)
    """Cents of each bank."""
    final_policies: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)
    """The policy of each bank, as a scenario has it."""
    final_nash_gap: int | None
    """Cents that one bank could still save alone; None if not asked for, or if no policy can be varied."""
    final_nash_gap_kind: str | None = None
    """The way it is known: exact, bounded (at most so much), estimated (from draws) or searched (at least so much)."""
    final_nash_gap_half_width: int | None
    """Half the width of its interval in cents; 0 where nothing is sampled; None as for `final_nash_gap`, and without an
    interval: an estimate that is alike on all draws, in which what is rare may be missing."""
    final_nash_gap_values: int | None = None
    """Values that were evaluated for it, of the bank that has it."""
    resting_points: list[dict[str, JsonValue]] | None = None
    """Profiles at which runs from several starts have ended; None with one start."""
    one_day: OneDay | None = None
    """The one day of payments that its costs are of: by bank their number and value in cents, and what is expected."""
    unlike_draws: str | None = None
    """A line where the final draws and those of the evaluation have unlike costs of the final policies; else None."""
    total_duration_seconds: Annotated[float | None, Known]
    """Seconds that it took, since it was last resumed."""
    config: dict[str, JsonValue] = Field(default_factory=dict)
    """The whole configuration; keys of a model's server are never in it."""
    result_file: Path | None = Field(default=None, exclude=True)
    """The path of its file, None where it is not saved; not in the file itself."""

    @classmethod
    def from_ending(
        cls,
        ending: Ending,
        experiment_id: str,
        name: str,
        config: dict[str, Any],
        one_day: OneDay | None = None,
        unlike_draws: str | None = None,
    ) -> Self:
        """Return the result of a run that ended so; it has every field of an ending but the moment."""
        found = {name: value for name, value in asdict(ending).items() if name != "completed_at"}
        found["final_costs"] = found.pop("final_cost")
        about = {"experiment_id": experiment_id, "experiment_name": name, "config": config}
        return cls(**about, one_day=one_day, unlike_draws=unlike_draws, **found)

    def save(self, output_dir: Path) -> Path:
        """Save to a new folder in `output_dir`, durably, and return the path of its result.json.

        Raises:
            OSError: it could not be written; nothing is left behind.
        """
        name = re.sub(r"[\x00-\x1f\x7f/\\]", "-", str(self.experiment_name)).lstrip(".")  # a file may name anything
        base = Path(output_dir) / f"{name}_{datetime.now(UTC):%Y-%m-%dT%H-%M}"
        with claimed_directory(base) as folder:
            path = folder / RESULT_FILE
            write_durably(path, sealed(self.to_json()), within=folder.parent)
            return path

    @classmethod
    def from_json(cls, path: Path) -> Self:
        """Load a result.json, of this or any other schema version.

        Warns (UserWarning) when the file was changed after it was saved, or is of another schema version.

        Raises:
            OSError: the file cannot be read.
            OtherKindError: it is no experiment: a document of another kind, or none of labledger's.
            UnreadableFileError: it is not JSON, or a value has a wrong type.
        """
        path = Path(path)
        content = read_regular(path, follow=True)
        result, data = read_document(cls, content, str(path))
        if warning := version_warning(result, data, str(path), current=RESULT_VERSION, rerun=RERUN_COMMAND):
            warnings.warn(warning, stacklevel=2)
        if check_seal(content, data) == "broken":
            warnings.warn(f"{path} was changed after it was saved: its digest differs.", stacklevel=2)
        return result.model_copy(update={"result_file": path})

    def to_json(self) -> str:
        """The result as JSON text, as `save` writes it but for the integrity key."""
        return dump_document(self)
