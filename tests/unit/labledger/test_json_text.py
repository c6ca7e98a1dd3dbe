"""JSON text of plain values: it means what was given, and what others wrote is read within limits."""

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labledger import json_text
from labledger.console import print_json
from labledger.errors import UnreadableFileError
from labledger.json_text import MAX_DEPTH, MAX_DIGITS, JsonError, dump_json, load_json
from labledger.schema_versions import parse_json

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


@given(documents)
def test_what_was_written_is_read_as_text_and_as_bytes(document):
    text = dump_json(document)
    assert load_json(text, unique=True) == load_json(text.encode()) == document


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 200_000, f"nested over {MAX_DEPTH} deep"),
        ('{"a":' * 5_000 + "1" + "}" * 5_000, f"nested over {MAX_DEPTH} deep"),
        ("[" * (MAX_DEPTH + 1) + "1" + "]" * (MAX_DEPTH + 1), f"nested over {MAX_DEPTH} deep"),
        ("1" * 100_000, f"an integer of 100,000 digits; at most {MAX_DIGITS:,} are read"),
        ("[-" + "1" * (MAX_DIGITS + 1) + "]", "an integer of 4,001 digits"),
        (r'{"prompt": "\ud800"}', r"half of a surrogate pair \(\\ud800\) is not valid Unicode"),
        (r'["\uDC00\ud83d"]', "half of a surrogate pair"),
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ("[NaN]", "NaN is not a JSON number"),
        ("[-Infinity]", "-Infinity is not a JSON number"),
        (b'"\xff"', "not UTF-8"),
        ("", r"Expecting value \(line 1 column 1\)"),
        ("[1,\n 2,]", r"\(line 2 column"),
    ],
)
def test_json_that_is_not_read_is_refused_with_the_reason(text, problem):
    with pytest.raises(JsonError, match=problem):
        load_json(text, unique=True)


def test_what_is_within_the_limits_is_read():
    deep = load_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert json.dumps(deep) == "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert load_json("-" + "9" * MAX_DIGITS) == 1 - 10**MAX_DIGITS
    assert load_json(r'"\ud83d\ude00 \\ud800"') == "\U0001f600 \\ud800"
    assert load_json('{"a": 1, "a": 2}') == {"a": 2}
    assert load_json("[Infinity]", allow_nan=True) == [float("inf")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("[{}]", "lists and objects"), ('{"a": 1, "b": 2, "c": 3}', "named values"), ("[1, 2, 3, 4, 5]", "values")],
)
def test_a_text_of_more_values_than_the_memory_holds_is_refused_before_it_is_parsed(monkeypatch, text, problem):
    monkeypatch.setattr(
        json_text, "MOST", (("[{", 1, "lists and objects"), (":", 2, "named values"), (",", 3, "values"))
    )
    words = rf"holds up to \d {problem}, and at most \d are read"
    for form in (text, text.encode()):
        with pytest.raises(JsonError, match=words):
            load_json(form)
    with pytest.raises(UnreadableFileError, match=f"result.json: {words}"):
        parse_json(text.encode(), "result.json")
    assert load_json("[1, 2]") == parse_json(b"[1, 2]", "") == [1, 2]
