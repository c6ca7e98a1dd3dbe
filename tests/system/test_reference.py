"""The reference in docs/results.md is that of the code, and no field of a result goes without a word."""

import importlib.util
import inspect
import re
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


RETIRED = {
    ("RawProcessResult", "config_name"),
    ("RawProcessResult", "gpu_utilisation_samples"),
    ("EnergyBreakdown", "baseline_cache_age_sec"),
}
"""Fields that nothing sets any more; files of before have them, and they load."""


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
    told = [row.name for row in reference.rows(record)]
    assert told == [name for name in record.model_fields if (record.__name__, name) not in RETIRED]
    assert f"### {record.__name__}\n" in reference.reference()


def test_a_field_without_a_docstring_is_refused_by_name():
    with pytest.raises(ValueError, match=r"Silent\.untold has no docstring"):
        reference.rows(Silent)


def test_every_field_is_set_somewhere_and_those_that_nothing_sets_are_retired():
    sources = DOCS.parent / "src"
    told_in = [*(sources / "llenergymeasure").rglob("*.py"), sources / "labledger" / "host.py"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in told_in if path.parent.name != "domain")
    names = set(re.findall(r"\b\w+\b", re.sub(r"\b\w+=None,", "", text))) | {
        "reproducibility_notes"
    }  # a fixed sentence
    never_set = {(record.__name__, name) for record in RECORDS for name in record.model_fields if name not in names}
    assert never_set == RETIRED
