"""Options of the commands that read a scenario: `--dialect` and `--policies`; and the dialect in what they print."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from payment_simulator.scenario.schema import Scenario

Dialect = Annotated[
    str | None,
    typer.Option("--dialect", help="simcash: what the file leaves out is as SimCash means it.", show_default=False),
]

Policies = Annotated[
    Path | None,
    typer.Option(
        "--policies",
        metavar="DIR",
        help="Folder in which policies' files are looked for by their names, too.",
        show_default=False,
    ),
]


def with_options(
    changes: Sequence[str] | None, dialect: str | None, policies: Path | None = None, before: str = ""
) -> list[str]:
    """Return changes with those of `--dialect` and `--policies`, which others override; their keys have `before`."""
    found = [] if dialect is None else [f"{before}dialect={dialect}"]
    if policies is not None:
        found.append(f"{before}policies={json.dumps(str(policies), ensure_ascii=False)}")
    return [*found, *(changes or [])]


def dialect_report(scenario: "Scenario") -> dict[str, str]:
    """Return the key `dialect` of a run's report; nothing of a scenario that names none."""
    return {} if scenario.dialect is None else {"dialect": scenario.dialect}
