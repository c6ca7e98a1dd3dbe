"""JSON text of plain values: it means what was given, and holds nothing that JSON has no form for."""

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labledger.console import print_json
from labledger.json_text import dump_json

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
documents = st.recursive(leaves, lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside), max_leaves=10)


@given(documents, st.sampled_from([None, 2]))
def test_the_text_read_again_is_what_was_given(document, indent):
    assert json.loads(dump_json(document, indent=indent)) == document


@given(documents)
def test_without_indent_it_is_one_line(document):
    assert "\n" not in dump_json(document, indent=None)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_of_json_is_refused(number):
    with pytest.raises(ValueError, match="JSON"):
        dump_json({"power_w": [number]})


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_printed_document_means_the_same_in_every_encoding_of_the_terminal(monkeypatch, encoding):
    document = {"bank": "Zürich, 東京 \U0001f600", "control": "\x1b"}
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", stream)
    print_json(dump_json(document))
    assert json.loads(stream.buffer.getvalue().decode(encoding)) == document
    assert b"\x1b" not in stream.buffer.getvalue()
