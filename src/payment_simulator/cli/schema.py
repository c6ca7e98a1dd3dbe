"""`payment-sim schema`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import reporting_errors
from payment_simulator.cli.template import Kind

if TYPE_CHECKING:
    from labledger.sections import Section

MAX_NAMES = 8
"""Usual names of a column that are shown."""


@reporting_errors
def schema(
    ctx: typer.Context,
    kind: Annotated[Kind, typer.Argument(help="The kind of file.")] = Kind.SCENARIO,
    json: Annotated[bool, typer.Option("--json", help="Print its JSON Schema, for editors.")] = False,
) -> None:
    """Print every key of a kind of file, with type, unit, default and meaning; of payments every column."""
    from labledger.console import print_json
    from labledger.json_text import dump_json

    if json:
        print_json(dump_json(_json_schema(kind)))
    elif kind is Kind.POLICY:
        from payment_simulator.cli.policy import print_words

        print_words()
    elif kind is Kind.PAYMENTS:
        _print_columns()
    else:
        _print_keys(kind)


def _json_schema(kind: Kind) -> dict[str, Any]:
    from labledger.errors import ConfigError

    if kind is Kind.SCENARIO:
        from payment_simulator.scenario.file_schema import scenario_schema

        return scenario_schema()
    if kind is Kind.POLICY:
        from payment_simulator.policy.json_schema import policy_schema

        return policy_schema()
    if kind is Kind.EXPERIMENT:
        return _section(kind).model_json_schema()
    raise ConfigError("--json: a file of payments has columns, and no JSON Schema; leave --json out")


def _section(kind: Kind) -> "type[Section]":
    from payment_simulator.experiments.config import ExperimentConfig
    from payment_simulator.scenario.schema import Scenario

    return Scenario if kind is Kind.SCENARIO else ExperimentConfig


def _print_keys(kind: Kind) -> None:
    from inspect import getdoc

    from labledger.console import print_answer, print_table
    from payment_simulator.cli.key_rows import key_tables

    for place, section, rows in key_tables(_section(kind)):
        about = (getdoc(section) or "").partition("\n")[0]
        print_answer(f"{place or kind} ({section.__name__}): {about}\n" if place else f"{about}\n")
        lines = [(row.key, row.type, row.unit, row.default, row.example, row.meaning) for row in rows]
        print_table(("key", "type", "unit", "default", "example", "meaning"), lines)


def _print_columns() -> None:
    from labledger.console import print_answer, print_table

    print_answer(
        "Columns of a file of payments. A name is known whatever its case and signs (debtor_bic, DebtorBIC), that of a "
        "bank with bic, id, code, ... behind it, too; others are said under payments.columns\n"
    )
    print_table(("column", "required", "known as", "meaning"), column_rows())


def column_rows() -> list[tuple[str, str, str, str]]:
    """Return the columns of a file of payments: name, whether it is required, some of its usual names, and meaning."""
    from payment_simulator.scenario.payment_files.columns import REQUIRED, SIDES, USUAL_NAMES
    from payment_simulator.scenario.payment_files.sections import PaymentColumns

    rows = []
    for name, usual in USUAL_NAMES.items():
        words = SIDES.get(name, usual).split()
        known = ", ".join(words[:MAX_NAMES]) + (", ..." if len(words) > MAX_NAMES else "")
        meaning = PaymentColumns.model_fields[name].description or ""
        rows.append((name, "yes" if name in REQUIRED else "", known, meaning))
    return rows
