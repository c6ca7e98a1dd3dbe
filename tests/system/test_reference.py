"""The reference in docs/results.md is that of the code, and no field of a result goes without a word."""

import importlib.util
import inspect
from pathlib import Path

import pytest

from labledger.documents import Document
from labledger.schema_versions import Record
from llenergymeasure.domain import environment, experiment, figures

DOCS = Path(__file__).parents[2] / "docs"
SPEC = importlib.util.spec_from_file_location("_reference", DOCS / "_reference.py")
reference = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(reference)

RECORDS = sorted(
    {
        each
        for module in (experiment, figures, environment)
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, Record) and each not in (Record, Document)
    },
    key=lambda record: record.__name__,
)


class Silent(Record):
    told: int
    """A field with a docstring."""
    untold: int


def test_the_reference_in_the_docs_is_what_the_script_prints():
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    block = page.partition(reference.BEGIN)[2].partition(reference.END)[0]
    assert block == reference.reference(), "run: .venv/bin/python docs/_reference.py --write"


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_field_says_what_it_holds_and_is_in_the_reference(record):
    assert [row.name for row in reference.rows(record)] == list(record.model_fields)
    assert f"### {record.__name__}\n" in reference.reference()


def test_a_field_without_a_docstring_is_refused_by_name():
    with pytest.raises(ValueError, match=r"Silent\.untold has no docstring"):
        reference.rows(Silent)
