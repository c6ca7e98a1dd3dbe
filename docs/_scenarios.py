"""Prints the references of YAML keys in docs/scenarios.md and of the database's tables in docs/experiments.md.

python docs/_scenarios.py prints them, python docs/_scenarios.py --write puts them into the pages.
"""

import sys
from inspect import getdoc
from pathlib import Path

from labledger.sections import Section
from payment_simulator.cli.key_rows import KeyTable, key_tables
from payment_simulator.cli.schema import column_rows
from payment_simulator.cli.template_texts import SCENARIO
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.persistence.columns import COLUMNS
from payment_simulator.experiments.persistence.schema import MEANINGS
from payment_simulator.experiments.persistence.tables import TABLES
from payment_simulator.scenario.schema import Scenario

DOCS = Path(__file__).parent
BEGIN, END = "<!-- {}: begin -->\n", "<!-- {}: end -->\n"


def keys_of(section: type[Section]) -> str:
    """Return the Markdown of a file's keys, a table a section."""
    return "\n".join(_table(each) for each in key_tables(section))


def _table(table: KeyTable) -> str:
    place, _, kind = table.place.partition(": ")
    about = " ".join((getdoc(table.section) or "").split("\n\n")[0].split())
    head = f"### {table.section.__name__}\n\n" + (
        f"`{place}`" + (f", `type: {kind}`" if kind else "") + ": " if place else ""
    )
    lines = ["| key | type | unit | default | example | meaning |", "|---|---|---|---|---|---|"]
    for row in table.rows:
        example = f"`{row.example}`" if row.example else ""
        default = row.default if row.default in ("", "required", "its defaults") else f"`{row.default}`"
        cells = (f"`{row.key}`", row.type, row.unit, default, example, row.meaning)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([head + about, "", *lines, ""])


def columns_of_payments() -> str:
    """Return the Markdown of the columns of a file of payments."""
    lines = ["| column | required | known as | meaning |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| `{name}` | {' | '.join(rest)} |" for name, *rest in column_rows()), ""])


def tables() -> str:
    """Return the Markdown of the tables of a database of experiments."""
    parts = []
    for record, name in TABLES.items():
        about = " ".join((getdoc(record) or "").split("\n\n")[0].split())
        lines = [f"### {name}", "", about, "", "| column | type | meaning |", "|---|---|---|"]
        lines += [f"| `{key}` | {column.sql_type} | {MEANINGS[name][key]} |" for key, column in COLUMNS[record].items()]
        parts.append("\n".join([*lines, ""]))
    return "\n".join(parts)


BLOCKS = {
    "scenarios.md": {
        "template": lambda: f"```yaml\n{SCENARIO}```\n",
        "scenario": lambda: keys_of(Scenario),
        "payments": columns_of_payments,
    },
    "experiments.md": {"keys": lambda: keys_of(ExperimentConfig), "tables": tables},
}
"""The pages, and the blocks of each, by the name that stands in its marks."""


def with_blocks(page: str, name: str) -> str:
    """Return the text of a page with its blocks in their places."""
    for block, text in BLOCKS[name].items():
        before, begin, rest = page.partition(BEGIN.format(block))
        _, end, after = rest.partition(END.format(block))
        if not begin or not end:
            raise ValueError(f"docs/{name} has no marks of {block}")
        page = before + begin + text() + end + after
    return page


if __name__ == "__main__":
    for name, blocks in BLOCKS.items():
        if sys.argv[1:] == ["--write"]:
            path = DOCS / name
            path.write_text(with_blocks(path.read_text(encoding="utf-8"), name), encoding="utf-8")
        else:
            sys.stdout.write("\n".join(text() for text in blocks.values()))
