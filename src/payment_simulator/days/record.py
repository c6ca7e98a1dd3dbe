"""The document of a kept day, outcome.json."""

from typing import Annotated

from pydantic import Field, JsonValue

from labledger.documents import Document
from labledger.schema_versions import Known, Record, Timestamp
from payment_simulator.policy.tree import MAX_DEPTH

DAY_VERSION = "1.0"


class InputFile(Record):
    """A file that a day was read from: its name, size and SHA-256 (hex) as they were then."""

    name: Annotated[str | None, Known]
    """Its path, below the scenario's folder where it lies there, else its last name."""
    bytes: Annotated[int | None, Known]
    """Its size."""
    sha256: Annotated[str | None, Known]
    """Its digest."""


class StoredDay(Document):
    """A run of a scenario, as outcome.json has it beside its tables. Money in cents, times in ticks.

    A file that lacks a field gives None for it.
    """

    document_kind = "payments.outcome"
    known_by = "simulated_by"
    max_nesting = 2 * MAX_DEPTH + 20  # of any policy in its scenario: a step of a tree is an object in a list

    schema_version: str | None = DAY_VERSION
    """Version of this list of fields; None of a file that names none."""
    simulated_by: Annotated[str | None, Known]
    """The version of labledger that simulated it."""
    saved_at: Timestamp = None
    """The moment at which it was saved (UTC)."""
    name: str | None = None
    """The scenario's file, as it was named."""
    seed: int | None = None
    """The seed of its draws; None where the payments were handed in, drawn by no seed that is known."""
    engine: str | None = None
    """The engine that ran it: reference or kernel; both give the same."""
    scenario: dict[str, JsonValue] = Field(default_factory=dict)
    """The scenario as it ran: changes of the command line, banks and policies in it."""
    inputs: list[InputFile] = Field(default_factory=list)
    """The files that it was read from."""
    payments: dict[str, JsonValue] | None = None
    """The section `payments` by which its file or table was read; None without one."""
    dates: list[int] | None = None
    """The dates of its days, in days since 1970; None where its payments have none."""
    skipped: dict[str, int] = Field(default_factory=dict)
    """The rows of the file of payments that were left out, by reason."""
    remarks: list[str] = Field(default_factory=list)
    """Remarks on how the file of payments was read."""
    report: dict[str, JsonValue] = Field(default_factory=dict)
    """The figures of the run, as `payment-sim run --json` prints them."""
