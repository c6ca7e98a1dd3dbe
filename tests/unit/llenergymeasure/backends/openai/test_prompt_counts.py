"""The audit of a prompt's tokens: a server that read none, and the ways in which one may read a text."""

import unicodedata

import pytest

from llenergymeasure.backends.openai.client.records import Answer, ServerCounts
from llenergymeasure.backends.openai.load.token_counts import audited
from llenergymeasure.backends.openai.load.token_evidence import Recount, evidence
from llenergymeasure.backends.openai.load.tokenizer import recount
from llenergymeasure.domain.requests import Message, Request

ANSWER = ("an", "swer")


def request(prompt="Hello", ids=None):
    return Request(0, None if ids else prompt, ids, 40)


def read(prompt_tokens, by_tokenizer=None, *, of=None, in_chat=False, **counts):
    """The audit of an answer of a server that counted the prompt so."""
    given = ServerCounts(prompt_tokens, 3, **counts)
    answer = Answer((0.1, 0.2), ANSWER, (None, None), "stop", 0.3, True, None, given)
    return audited(evidence(answer, of or request(), in_chat=in_chat), by_tokenizer)


def test_no_token_of_a_prompt_that_has_some_is_told_and_the_input_is_what_was_sent_or_unknown():
    of_ids = read(0, of=request(ids=(1, 2, 3)))
    assert (of_ids.input_tokens, of_ids.findings, of_ids.disputed_input_tokens) == (3, ("prompt_truncated",), 3)
    counted = read(0, Recount(2, 7, 5, 5))
    assert (counted.input_tokens, counted.findings, counted.disputed_input_tokens) == (7, ("prompt_truncated",), 7)
    unknown = read(0)
    assert (unknown.input_tokens, unknown.findings, unknown.disputed_input_tokens) == (None, ("prompt_truncated",), 0)
    assert (unknown.output_tokens, unknown.counted_by) == (3, "server")


def test_no_token_of_an_empty_prompt_or_beside_cached_ones_or_no_count_is_no_finding():
    assert read(0, of=request("")).findings == ()
    assert read(None).findings == ()
    assert "prompt_truncated" not in read(0, cached_input_tokens=5).findings


@pytest.mark.parametrize(("counted", "findings"), [(42, ()), (92, ()), (112, ()), (113, ("tokenizer_differs",))])
def test_a_prompt_may_be_read_in_each_way_that_its_text_has(counted, findings):
    by_tokenizer = Recount(2, None, 50, 100)
    assert read(counted, by_tokenizer).findings == findings
    assert read(counted, by_tokenizer, in_chat=True).findings == ()


class Letters:
    """A tokenizer with a token for each letter, and one special token."""

    class Token:
        content, special = "<end>", True

    added_tokens_decoder = {9: Token}  # noqa: RUF012

    def __call__(self, text, split_special_tokens=False, **_):
        return {"input_ids": list(text if split_special_tokens else text.replace("<end>", "."))}


def test_names_of_special_tokens_and_letters_with_their_accents_apart_are_counted_in_both_ways():
    def ways(prompt):
        counted = recount(Letters(), request(prompt), "", in_chat=False)
        return counted.least_input_tokens, counted.most_input_tokens

    assert ways("plain") == (5, 5)
    assert ways("a<end>b") == (3, 7)
    assert ways(unicodedata.normalize("NFD", "\N{LATIN SMALL LETTER E WITH ACUTE}") * 4) == (4, 8)


def test_the_turns_of_a_conversation_are_counted_in_both_ways_together():
    turns = (Message("user", "a<end>"), Message("assistant", "b"), Message("user", " c "))
    counted = recount(Letters(), Request(0, None, None, 4, messages=turns), "", in_chat=True)
    assert (counted.least_input_tokens, counted.most_input_tokens) == (3, 7)
