"""Texts that a gateway cuts into other chunks, or changes, and that the audit accuses no honest server of."""

import re

import pytest

from llenergymeasure.backends.openai.client.records import Answer, ServerCounts
from llenergymeasure.backends.openai.load.token_counts import audited
from llenergymeasure.backends.openai.load.token_evidence import Recount, evidence
from llenergymeasure.domain.requests import Request

BLANKS = "          \n\n\n\n          \n          \n\n\n     "


def findings(count, texts, by_tokenizer=None, kinds=("content",), ends="stop"):
    """The findings on an answer in these chunks; `by_tokenizer` is the tokenizer's count of it."""
    texts, counts = tuple(texts), ServerCounts(10, count)
    each = tuple(range(len(texts)))
    answer = Answer(each, texts, (None,) * len(texts), ends, 99.0, True, None, counts, frozenset(kinds))
    seen = evidence(answer, Request(0, "Hello", None, 400), in_chat=True)
    return audited(seen, None if by_tokenizer is None else Recount(by_tokenizer, 10, 5, 5)).findings


@pytest.mark.parametrize("by_tokenizer", [None, 4, 12])
@pytest.mark.parametrize("cut", [r".*\n|.+", r"\S+\s*|\s+", r"(?s).{3}", r"(?s).{4}"], ids=["lines", "words", "3", "4"])
def test_blanks_that_are_cut_into_lines_or_pieces_are_held_against_no_count(cut, by_tokenizer):
    assert findings(4, re.findall(cut, BLANKS * 2), by_tokenizer) == ()


def test_chunks_of_tool_calls_are_held_against_no_count():
    texts = ['{"x', '": "', *["abc"] * 60, '"}']
    assert findings(10, texts, 60, kinds=("tool_calls",), ends="tool_calls") == ()
    assert findings(10, texts, 60) == ("fewer_than_chunks",)


@pytest.mark.parametrize("size", [3, 4])
def test_short_answers_in_pieces_of_three_and_four_characters_are_held_against_no_count(size):
    text = "Responsibility notwithstanding, internationally."
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    for by_tokenizer in (None, 5, 6, 7):
        assert findings(6, pieces, by_tokenizer) == ()
    assert findings(6, pieces * 10, 70) == ("fewer_than_chunks",)


def test_blanks_that_a_server_cuts_away_are_within_sixteen_tokens_of_a_count():
    assert findings(30, ["a b c d"], 14) == ()
    assert findings(30, ["a b c d"], 13) == ("tokenizer_differs",)
