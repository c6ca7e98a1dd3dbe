"""Texts of others: bounded, on one line, with nothing that a terminal obeys or does not show."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labledger.untrusted_text import CUT, clean, clean_lines, escaped_json, first_line, reason_of

ANNOUNCED = "Error(s) in loading: size mismatch for w: copying [4] into [8]"
anything = st.text(st.characters(codec=None, exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("naïve 模型 🦙 e\u0301", "naïve 模型 🦙 e\u0301"),
        ("\x1b]0;title\x07\x1b[2J", "\ufffd]0;title\ufffd\ufffd[2J"),
        ("\x9b2J\x7f\x00\x85", "\ufffd2J\ufffd\ufffd\ufffd"),
        ("abc\u202ecba\u2066\u2069", "abc\ufffdcba\ufffd\ufffd"),
        ("gpt\u200b-\u200d2\ufeff\u00ad", "gpt\ufffd-\ufffd2\ufffd\ufffd"),
        ("a\u2028b\u2029c", "a\ufffdb\ufffdc"),
        ("one\ntwo\tthree\r\n\u00a0\u3000", "one two three    "),
        ("half \ud83e", "half \ufffd"),
    ],
    ids=["letters", "escapes", "controls", "bidirectional", "invisible", "separators", "blanks", "surrogates"],
)
def test_what_a_terminal_would_obey_or_not_show_is_seen_to_have_been_there(text, shown):
    assert clean(text) == shown


@given(anything, st.integers(1, 50))
def test_a_clean_text_is_bounded_printable_on_one_line_and_stays_as_it_is(text, limit):
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    assert cleaned.isprintable()
    assert (len(text) > limit) == (len(cleaned) == limit and cleaned.endswith(CUT) and clean(text) != cleaned)
    assert clean(cleaned, limit) == cleaned


@given(anything)
def test_clean_lines_keep_line_breaks_and_tabs_alone(text):
    cleaned = clean_lines(text)
    assert cleaned.replace("\n", "").replace("\t", "").isprintable()
    assert [each for each in cleaned if each in "\n\t"] == [each for each in text if each in "\n\t"]


documents = st.recursive(anything | st.integers() | st.none(), lambda each: st.dictionaries(anything, each, max_size=3))


@given(documents)
def test_an_escaped_json_document_is_printable_and_means_the_same(document):
    for plain in (json.dumps(document, indent=1), json.dumps(document, indent=1, ensure_ascii=False)):
        escaped = escaped_json(plain)
        assert escaped.replace("\n", "").isprintable()
        assert json.loads(escaped) == json.loads(plain)


def test_letters_of_every_alphabet_stay_readable_in_json():
    assert escaped_json('{"a": "é模🦙\u202e\U000e0041"}') == '{"a": "é模🦙\\u202e\\udb40\\udc41"}'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\ntwo", "one"),
        ("\n  \n one \n", "one"),
        ("Error(s) in loading:\n\tsize mismatch for w:\n\tcopying [4] into [8]\nmore", ANNOUNCED),
        ("ends after a colon:", "ends after a colon:"),
        ("\x1b[2J refused:\r\nby the template", "\ufffd[2J refused: by the template"),
        ("x" * 300 + "\ny", "x" * 199 + CUT),
        ("", ""),
    ],
)
def test_a_first_line_that_ends_in_a_colon_keeps_what_it_announces(text, shown):
    assert first_line(text) == shown


def test_the_reason_of_an_error_without_words_is_its_kind():
    assert reason_of(ValueError("  \n")) == "ValueError"
    assert reason_of(ValueError("cannot load:\n  no such file")) == "cannot load: no such file"
