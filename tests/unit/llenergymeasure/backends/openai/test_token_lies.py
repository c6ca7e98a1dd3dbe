"""The reasons for a count that the text of an answer does not show, how far each goes, and what is believed."""

import pytest

from answers_as_evidence import found, recount, seen
from llenergymeasure.backends.openai.load.token_counts import audited
from llenergymeasure.backends.openai.load.token_evidence import Recount, most_stop_tokens
from llenergymeasure.domain.token_audit import CONTRADICTIONS


@pytest.mark.parametrize(
    ("evidence_of_a_lie", "by_tokenizer", "finding"),
    [
        (seen(20, 20, ends="length", asked=20, text=" tok tok tok"), 60, "tokenizer_differs"),
        (seen(20, 20, ends="length", asked=20, ignore_eos=True), 60, "tokenizer_differs"),
        (seen(100, 20, reasoning_tokens=1), 20, "tokenizer_differs"),
        (seen(60, 20, kinds=("content", "reasoning")), 20, "tokenizer_differs"),
        (seen(60, texts=[" tok"] * 14 + ["\ufffd"]), 15, "tokenizer_differs"),
        (seen(1, texts=[" a"] * 19 + ["\ufffd"]), 20, "fewer_than_chunks"),
        (seen(100, 20, stops=4), 20, "tokenizer_differs"),
        (seen(100, 20, empty=5), 20, "tokenizer_differs"),
    ],
    ids=[
        "over_the_limit",
        "exact",
        "one_thought",
        "thoughts_shown",
        "a_stray_byte",
        "one",
        "stop_string",
        "empty_chunks",
    ],
)
def test_what_the_text_need_not_show_explains_no_more_than_that(evidence_of_a_lie, by_tokenizer, finding):
    counts = audited(evidence_of_a_lie, recount(by_tokenizer))
    assert finding in counts.findings
    assert (counts.counted_by, counts.judged_by) == ("tokenizer", "tokenizer")
    assert by_tokenizer <= counts.output_tokens <= by_tokenizer + 6
    assert counts.disputed_output_tokens >= 18


def test_the_text_of_an_answer_at_its_limit_may_be_cut_into_twice_as_many_tokens_and_no_more():
    assert audited(seen(20, 10, ends="length", asked=20), recount(40)).findings == ()
    assert audited(seen(20, 10, ends="length", asked=20), recount(41)).disputed_output_tokens == 21


def test_an_answer_at_its_limit_whose_text_shows_fewer_tokens_is_told_and_agrees_with_nothing():
    assert audited(seen(20, 12, ends="length", asked=20), recount(12)).judged_by == "tokenizer"
    counts = audited(seen(20, 5, ends="length", asked=20, ignore_eos=True), recount(5))
    assert (counts.findings, counts.judged_by, counts.disputed_output_tokens) == (("not_shown",), None, 0)


@pytest.mark.parametrize(
    ("given_evidence", "by_tokenizer", "judged_by"),
    [
        (seen(20, 20), None, "stream"),
        (seen(20, 0), None, None),
        (seen(20, 0), recount(0), None),
        (seen(20, 0, ends="length", asked=20), None, "stream"),
        (seen(20, 0, empty=20), None, "stream"),
        (seen(100, 20, kinds=("tool_calls",)), recount(20), "stream"),
        (seen(81, texts=list(" tok" * 20)), recount(20), "stream"),
    ],
)
def test_what_a_count_was_held_against_is_said(given_evidence, by_tokenizer, judged_by):
    counts = audited(given_evidence, by_tokenizer)
    assert (counts.judged_by, counts.findings, counts.counted_by) == (judged_by, (), "server")


@pytest.mark.parametrize(
    ("given_evidence", "by_tokenizer", "tokens", "counted_by", "disputed"),
    [
        (seen(None, 20, text="\ufffd", ends="length", asked=20), 20, 20, "tokenizer", 0),
        (seen(None, texts=[" tok", "\ufffd"] * 10), 20, 21, "tokenizer", 0),
        (seen(None, 10, empty=10, ends="length", asked=20), 10, 20, "tokenizer", 0),
        (seen(None, 5, ends="length", asked=20), 5, 20, "tokenizer", 15),
        (seen(None, 20, ends="length", asked=20), 38, 20, "tokenizer", 0),
        (seen(None, 20, ends="length", asked=20), 60, 60, "tokenizer", 40),
        (seen(None, texts=[" tok\ufffd\ufffd"] * 10), 30, 31, "tokenizer", 31),
        (seen(None, 20, prompt=10, total_tokens=230, reasoning_tokens=200), 20, 220, "server", 0),
        (seen(None, 20, prompt=10, total_tokens=230), 20, 21, "tokenizer", 199),
        (seen(None, 20, reasoning_tokens=200), 20, 221, "tokenizer", 0),
        (seen(None, 0, empty=20), 0, 20, "chunks", 20),
        (seen(None, 20), 0, 20, "chunks", 20),
        (seen(None, 20, kinds=("tool_calls",)), 20, 21, "tokenizer", 21),
    ],
    ids=[
        *("stray_bytes", "some_stray_bytes", "half_without_text", "short_of_the_limit"),
        *("a_token_for_each_chunk", "over_the_limit", "stray_bytes_in_bundles", "total_with_thoughts"),
        *("total", "thoughts", "no_text", "a_tokenizer_that_knows_nothing", "tool_calls"),
    ],
)
def test_without_a_count_the_best_evidence_counts_and_what_it_does_not_prove_is_in_dispute(
    given_evidence, by_tokenizer, tokens, counted_by, disputed
):
    counts = audited(given_evidence, recount(by_tokenizer))
    assert (counts.output_tokens, counts.counted_by, counts.disputed_output_tokens) == (tokens, counted_by, disputed)


@pytest.mark.parametrize(
    "honest",
    [
        seen(41, 20, empty=20),
        seen(41, 20, empty=20, listed=[2 * number % 3 or 1 for number in range(20)]),
        seen(41, 24, empty=16),
        seen(81, texts=list(" tok" * 20)),
    ],
    ids=["half_without_text", "listed", "special_tokens", "characters"],
)
def test_a_token_for_each_chunk_with_text_or_without_agrees_with_the_count(honest):
    counts = audited(honest, recount(20 if honest.chunks != 24 else 24))
    assert (counts.output_tokens, counts.counted_by, counts.disputed_output_tokens) == (
        honest.counts.output_tokens,
        "server",
        0,
    )
    assert not set(counts.findings) & CONTRADICTIONS


@pytest.mark.parametrize(
    ("changes", "tokens", "disputed"),
    [
        ({"output": 10, "chunks": 10, "text": " tok tok", "listed": [2] * 10}, 20, 10),
        ({"output": 60, "listed": [1] * 20}, 20, 40),
        ({"output": 60, "other_output_tokens": 20}, 20, 40),
        ({"output": 20, "other_output_tokens": 60}, 20, 40),
        ({"output": 20, "other_output_tokens": 10}, 20, 10),
        ({"output": 60, "asked": 20}, 60, 39),
    ],
    ids=["lists_more", "lists_fewer", "two", "the_other_is_larger", "the_other_is_smaller", "over_the_limit"],
)
def test_two_counts_of_the_server_that_differ_are_told_and_their_difference_is_in_dispute(changes, tokens, disputed):
    counts = audited(seen(**changes))
    assert "counts_differ" in counts.findings
    assert (counts.output_tokens, counts.counted_by, counts.disputed_output_tokens) == (tokens, "server", disputed)


@pytest.mark.parametrize(
    "changes",
    [
        {"output": 21, "listed": [1] * 20},
        {"output": 25, "listed": [1] * 20, "stops": 4},
        {"output": 128, "asked": 128, "ends": "length", "listed": [1] * 20},
        {"output": 60, "listed": [1] * 20, "kinds": ("content", "tool_calls")},
        {"output": 21, "other_output_tokens": 20},
        {"output": 21, "asked": 20},
        {"output": 220, "asked": 20, "reasoning_tokens": 200},
        {"output": 30, "chunks": 30, "asked": 20},
    ],
)
def test_counts_that_may_both_be_right_are_no_contradiction(changes):
    assert not found(seen(**changes)) & CONTRADICTIONS


def test_an_answer_that_is_longer_than_asked_is_a_remark_where_the_text_shows_it():
    assert found(seen(60, 60, asked=20, ends="length", ignore_eos=True)) == {"longer_than_asked"}
    assert found(seen(60, 10, asked=20), recount(60)) == {"longer_than_asked"}
    assert found(seen(21, 21, asked=20)) == set()


def test_a_chat_template_adds_no_hundred_thousand_tokens():
    assert found(seen(prompt=10_100), recount(20, least=10)) == set()
    counts = audited(seen(prompt=10_101), recount(20, least=10))
    assert (counts.findings, counts.disputed_input_tokens) == (("tokenizer_differs",), 10_091)


def test_more_cached_tokens_than_a_prompt_that_the_total_shows_to_be_whole_are_a_contradiction():
    cached = {"prompt": 10, "total_tokens": 30, "cached_input_tokens": 1000}
    counts = audited(seen(20, **cached), recount(20, least=10))
    assert counts.findings == ("counts_differ",)
    assert (counts.input_tokens, counts.cached_input_tokens) == (10, None)
    assert (counts.disputed_input_tokens, counts.disputed_output_tokens) == (1000, 0)
    assert found(seen(20, **cached), recount(20, least=1000)) == {"cached"}  # they are beside it
    assert "counts_differ" in found(seen(20, **cached))


def test_the_beginning_of_a_text_speaks_only_against_a_count_that_is_below_it():
    part = Recount(1000, None, 5, is_whole=False)
    assert found(seen(2000, 20), part) == set()
    assert audited(seen(2000, 20), part).judged_by == "stream"
    counts = audited(seen(20, 20), part)
    assert (counts.output_tokens, counts.counted_by, counts.disputed_output_tokens) == (1000, "tokenizer", 980)
    assert audited(seen(None, 20), part).disputed_output_tokens == 1000


def test_a_stop_string_has_no_more_tokens_than_bytes():
    assert most_stop_tokens({"stop": ["###", "é"], "top_k": "abcdefgh"}) == 4
    assert most_stop_tokens({"stop": "\nUser:"}) == 7
    assert most_stop_tokens({"stop_token_ids": [7, 8], "stop": None}) == 1
    assert most_stop_tokens({}) == 0
