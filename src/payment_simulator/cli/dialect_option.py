"""`--dialect` of the commands that read a scenario, and the dialect in what they print."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from payment_simulator.scenario.schema import Scenario

Dialect = Annotated[
    str | None,
    typer.Option("--dialect", help="simcash: what the file leaves out is as SimCash means it.", show_default=False),
]


def with_dialect_option(changes: Sequence[str] | None, dialect: str | None, before: str = "") -> list[str]:
    """Return changes with that of `--dialect`, which others override; its key has `before` before it."""
    return [*([] if dialect is None else [f"{before}dialect={dialect}"]), *(changes or [])]


def dialect_report(scenario: "Scenario") -> dict[str, str]:
    """Return the key `dialect` of a run's report; nothing of a scenario that names none."""
    return {} if scenario.dialect is None else {"dialect": scenario.dialect}
