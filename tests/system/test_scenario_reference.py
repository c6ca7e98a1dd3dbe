"""docs/scenarios.md and the tables of docs/experiments.md are those of the code, and no key or column goes untold."""

import importlib.util
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, TypeAdapter

from labledger.sections import Section
from payment_simulator.cli.key_rows import key_tables
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.persistence.columns import COLUMNS
from payment_simulator.experiments.persistence.schema import MEANINGS
from payment_simulator.experiments.persistence.tables import TABLES
from payment_simulator.scenario.schema import Scenario

DOCS = Path(__file__).parents[2] / "docs"
SPEC = importlib.util.spec_from_file_location("_scenarios", DOCS / "_scenarios.py")
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)


@pytest.mark.parametrize("name", script.BLOCKS)
def test_the_page_is_what_the_script_writes(name):
    page = (DOCS / name).read_text(encoding="utf-8")
    assert script.with_blocks(page, name) == page, "run: .venv/bin/python docs/_scenarios.py --write"


@pytest.mark.parametrize("top", [Scenario, ExperimentConfig], ids=["scenario", "experiment"])
def test_every_key_is_told_with_its_unit_and_an_example_that_it_accepts(top):
    for table in key_tables(top):
        for field in table.section.model_fields.values():
            for example in field.examples or ():
                kind = Annotated[field.annotation, *field.metadata, Field(discriminator=field.discriminator)]
                TypeAdapter(kind).validate_python(example)


class NoUnit(Section):
    cost: int = Field(description="What it costs.")


class NoWord(Section):
    name: str


class NoExample(Section):
    name: str = Field(description="Its name.")


@pytest.mark.parametrize(
    ("section", "told"),
    [
        (NoUnit, r"NoUnit\.cost: its description should begin with its unit"),
        (NoWord, r"NoWord\.name has no description"),
        (NoExample, r"NoExample\.name has no example"),
    ],
)
def test_a_key_without_a_description_a_unit_or_an_example_is_named(section, told):
    with pytest.raises(ValueError, match=told):
        key_tables(section)


def test_every_column_of_the_database_has_a_meaning():
    assert {table: set(columns) for table, columns in MEANINGS.items()} == {
        name: set(COLUMNS[record]) for record, name in TABLES.items()
    }
