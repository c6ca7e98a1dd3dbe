"""The audit of one request's token counts: each kind on both sides of its tolerance, and good servers never accused."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answers_as_evidence import LONG_WORD, PROSE, cut, found, recount, seen
from llenergymeasure.backends.openai.client.records import Answer
from llenergymeasure.backends.openai.load.token_counts import audited
from llenergymeasure.backends.openai.load.token_evidence import answer_text
from llenergymeasure.domain.token_audit import CONTRADICTIONS

REMARKS = {
    *("cached", "bundled", "parts_do_not_add", "reasoning_apart"),
    *("longer_than_asked", "shorter_than_asked", "not_shown"),
}


def test_counts_that_nothing_contradicts_are_the_servers_and_none_is_in_dispute():
    counts = audited(seen(20, 20, total_tokens=30))
    assert (counts.input_tokens, counts.output_tokens, counts.counted_by) == (10, 20, "server")
    assert (counts.findings, counts.disputed_output_tokens, counts.disputed_input_tokens) == ((), 0, 0)


@pytest.mark.parametrize("ends", ["stop", "length"])
def test_without_a_count_the_tokenizer_counts_and_nothing_is_in_dispute(ends):
    counts = audited(seen(None, 20, ends=ends, asked=23), recount(23))
    assert counts.output_tokens == 23 + (ends == "stop")
    assert (counts.counted_by, counts.findings, counts.disputed_output_tokens) == ("tokenizer", ("usage_missing",), 0)


def test_without_a_count_and_a_tokenizer_chunks_are_a_guess_and_all_of_it_is_in_dispute():
    counts = audited(seen(None, 20))
    assert (counts.output_tokens, counts.counted_by, counts.disputed_output_tokens) == (20, "chunks", 20)


def test_without_a_count_and_text_the_tokens_are_unknown():
    for by_tokenizer in (None, recount(0)):
        counts = audited(seen(None, 0, ends="length"), by_tokenizer)
        assert (counts.output_tokens, counts.counted_by, counts.findings) == (None, None, ("usage_missing",))


@pytest.mark.parametrize(
    ("by_tokenizer", "tokens", "disputed"),
    [(125, 100, 0), (126, 100, 26), (75, 100, 0), (74, 100, 26), (201, 201, 101)],
)
def test_an_answer_without_a_count_that_ended_at_its_limit_is_as_long_unless_its_text_is_twice_that(
    by_tokenizer, tokens, disputed
):
    counts = audited(seen(None, 74, asked=100, ends="length"), recount(by_tokenizer))
    assert (counts.output_tokens, counts.counted_by) == (tokens, "tokenizer")
    assert counts.disputed_output_tokens == disputed


def test_tokens_that_the_server_lists_chunk_by_chunk_are_its_count_where_it_has_no_usage():
    counts = audited(seen(None, 5, listed=[4, 1, 1, 1, 1]))
    assert (counts.output_tokens, counts.counted_by) == (8 + 1, "server")
    assert counts.findings == ("bundled",)


def test_no_token_beside_text_is_not_believed():
    by_chunks, by_tokenizer = audited(seen(0, 20)), audited(seen(0, 20), recount(21))
    assert (by_chunks.output_tokens, by_chunks.counted_by, by_chunks.disputed_output_tokens) == (20, "chunks", 20)
    assert (by_tokenizer.output_tokens, by_tokenizer.counted_by) == (22, "tokenizer")
    assert by_tokenizer.disputed_output_tokens == 22
    assert by_chunks.findings == by_tokenizer.findings == ("zero_with_text",)
    assert found(seen(0, 0)) == set()


@pytest.mark.parametrize(("chunks", "least"), [(20, 18), (100, 98), (1000, 980)])
def test_fewer_tokens_than_chunks_are_found_beyond_two_and_two_percent(chunks, least):
    assert found(seen(least, chunks, text=LONG_WORD)) == set()
    counts = audited(seen(least - 1, chunks, text=LONG_WORD))
    assert counts.findings == ("fewer_than_chunks",)
    assert (counts.output_tokens, counts.counted_by) == (chunks, "chunks")
    assert counts.disputed_output_tokens == chunks - least + 1


def test_chunks_of_under_three_characters_are_text_that_was_cut_anew():
    assert found(seen(100, 300, text="to")) == set()
    assert found(seen(100, 300, text="tok")) == {"fewer_than_chunks"}
    assert found(seen(100, 300, texts=["tok"] * 299 + ["to"])) == set()


def test_a_text_of_no_more_than_its_tokens_can_hold_was_cut_anew_whatever_its_chunks():
    english = (PROSE * 2)[:468]
    assert found(seen(103, texts=cut(english, 3, 4))) == set()
    assert found(seen(1, texts=cut(" " * 64, 4))) == set()
    assert found(seen(3, texts=cut("\n" + "-=" * 40 + "\n", 4))) == set()
    assert found(seen(100, 180, text="wxyz")) == set()  # 720 characters
    assert found(seen(100, texts=["wxyz"] * 180 + ["v"])) == {"fewer_than_chunks"}


@pytest.mark.parametrize("tokens", [40, 100, 1000])
def test_half_a_count_of_english_in_chunks_of_a_token_is_found_without_a_tokenizer(tokens):
    words = (PROSE * 100).split()[:tokens]
    texts = [f" {word}" for word in words]
    assert found(seen(tokens, texts=texts)) == set()
    assert found(seen(tokens // 2, texts=texts)) == {"fewer_than_chunks"}


def test_the_tokenizer_tells_chunks_that_were_cut_anew_from_tokens():
    assert found(seen(100, 300, text="tok"), recount(125)) == set()
    counts = audited(seen(100, 300, text="tok"), recount(126))
    assert counts.findings == ("fewer_than_chunks",)
    assert (counts.output_tokens, counts.counted_by, counts.disputed_output_tokens) == (127, "tokenizer", 27)


def test_chunks_that_each_repeat_the_text_so_far_are_the_text_of_the_last():
    def text(*texts):
        return answer_text(Answer((1.0,) * len(texts), texts, (None,) * len(texts), "stop", 1.0, True, None))

    assert text(*(" tok" * number for number in range(1, 6))) == " tok" * 5
    assert text(*(" tok" * number for number in range(1, 5))) == " tok" * 10
    assert text(*[" tok"] * 20) == " tok" * 20
    assert text("a", "ab", "abc", "abcd", "x") == "aababcabcdx"


def test_of_a_few_tokens_the_tokenizer_tells_no_more_than_the_length_of_the_chunks():
    assert found(seen(9, 33, text="ha"), recount(17)) == set()
    assert found(seen(9, 33, text="ha"), recount(18)) == {"fewer_than_chunks"}
    assert found(seen(9, 15, text="tok"), recount(15)) == set()
    assert found(seen(9, 15, text=LONG_WORD), recount(15)) == {"fewer_than_chunks"}


@pytest.mark.parametrize(
    ("server", "least", "most"), [(20, 4, 28), (32, 16, 40), (64, 48, 80), (100, 75, 125), (1000, 750, 1250)]
)
def test_the_tokenizer_differs_beyond_sixteen_tokens_above_it_eight_below_and_a_quarter(server, least, most):
    for agreed in (least, most):
        assert found(seen(server, 1), recount(agreed)) == set()
    for far in (least - 1, most + 1):
        counts = audited(seen(server, 1), recount(far))
        assert counts.findings == ("tokenizer_differs",)
        assert (counts.output_tokens, counts.counted_by) == (far + 1, "tokenizer")
        assert counts.disputed_output_tokens == abs(far + 1 - server)


@pytest.mark.parametrize(
    "changes",
    [
        {"ends": "length", "asked": 100},
        {"kinds": ("content", "tool_calls")},
        {"reasoning_tokens": 40},
        {"kinds": ("content", "reasoning"), "reasoning_tokens": 40},
        {"stops": 20},
        {"empty": 20},
        {"ends": "content_filter"},
        {"ends": "SAFETY"},
        {"texts": ["\ufffd" * 50]},
        {"texts": []},
    ],
    ids=[
        *("at_the_limit", "tool_calls", "hidden_reasoning", "shown_reasoning", "stop_strings", "empty_chunks"),
        *("content_filter", "safety", "no_bytes_of_text", "no_text"),
    ],
)
def test_the_tokenizer_does_not_judge_text_that_does_not_show_the_tokens(changes):
    assert not found(seen(100, 30, **changes), recount(60)) & CONTRADICTIONS
    below_limit = {**changes, "asked": 101} if "asked" in changes else {}
    assert found(seen(100, 30, **below_limit), recount(60)) == {"tokenizer_differs"}


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_half_and_double_the_count_of_twenty_tokens_are_found(factor):
    assert found(seen(round(20 * factor), 1), recount(20)) == {"tokenizer_differs"}


def test_thoughts_that_were_asked_to_be_dropped_may_be_counted_and_not_shown():
    assert found(seen(210, 9, hides=True), recount(9)) == set()
    assert found(seen(210, 9), recount(9)) == {"tokenizer_differs"}
    assert found(seen(9, 1, hides=True), recount(210)) == {"tokenizer_differs"}


def test_tokens_that_frame_an_answer_may_be_counted_and_neither_shown_nor_listed():
    assert found(seen(20 + 16, 20, listed=[1] * 20), recount(20)) == set()
    assert found(seen(20 + 17, 20, listed=[1] * 20)) == set()
    assert found(seen(20 + 18, 20, listed=[1] * 20)) == {"counts_differ"}


def test_tokens_that_waited_for_the_rest_of_a_character_may_be_counted_and_not_listed():
    smiles = "\N{GRINNING FACE}"
    assert found(seen(80, 20, text=smiles, listed=[1] * 20), recount(80)) == set()
    assert found(seen(80, 20, text=smiles, listed=[1] * 20)) == set()
    assert found(seen(120, 20, text=smiles, listed=[1] * 20)) == {"counts_differ"}


def test_rejected_predictions_are_counted_and_not_shown():
    assert found(seen(20 + 40, 20, rejected_tokens=40), recount(20)) == set()
    assert found(seen(20, 20, rejected_tokens=40), recount(20)) == set()
    assert found(seen(20 + 40, 20, asked=20, ends="length", rejected_tokens=40), recount(20)) == set()
    assert found(seen(20 + 40 + 16, 20, rejected_tokens=40), recount(20)) == set()
    assert found(seen(20 + 40 + 17, 20, rejected_tokens=40), recount(20)) == {"tokenizer_differs"}


def test_a_total_with_reasoning_beside_the_completion_makes_it_output():
    counts = audited(seen(20, 20, total_tokens=230, reasoning_tokens=200))
    assert (counts.output_tokens, counts.hidden_tokens, counts.counted_by) == (220, 200, "server")
    assert (counts.findings, counts.disputed_output_tokens) == (("reasoning_apart",), 0)


def test_reasoning_beyond_the_completion_is_apart_where_there_is_no_total():
    for total in (None, 0):
        assert audited(seen(20, 20, total_tokens=total, reasoning_tokens=200)).output_tokens == 220
        assert audited(seen(220, 20, total_tokens=total, reasoning_tokens=200)).output_tokens == 220


def test_reasoning_within_the_completion_is_not_counted_twice():
    counts = audited(seen(220, 20, total_tokens=230, reasoning_tokens=200))
    assert (counts.output_tokens, counts.hidden_tokens, counts.findings) == (220, 200, ())


def test_reasoning_that_is_shown_is_not_hidden():
    assert audited(seen(220, 220, kinds=("content", "reasoning"), reasoning_tokens=200)).hidden_tokens == 0
    assert audited(seen(220, 215, reasoning_tokens=200)).hidden_tokens == 5  # in the content, unparsed


def test_a_total_that_leaves_the_output_open_is_in_dispute():
    counts = audited(seen(20, 20, total_tokens=230))
    assert (counts.output_tokens, counts.counted_by) == (20, "server")
    assert (counts.findings, counts.disputed_output_tokens) == (("parts_do_not_add",), 200)
    counts = audited(seen(20, 20, total_tokens=30, reasoning_tokens=200))
    assert (counts.findings, counts.disputed_output_tokens) == (("parts_do_not_add",), 200)


@pytest.mark.parametrize(
    ("changes", "by_tokenizer"),
    [
        ({"total_tokens": 31}, None),
        ({"total_tokens": 12}, None),
        ({"total_tokens": 230, "ends": "length", "asked": 20}, None),
        ({"total_tokens": 230}, recount(21)),
        ({"total_tokens": 7}, None),
    ],
    ids=["one_token", "below_the_chunks", "at_the_limit", "by_the_tokenizer", "below_the_prompt"],
)
def test_a_total_alone_is_a_remark_where_other_evidence_settles_the_output(changes, by_tokenizer):
    counts = audited(seen(20, 20, **changes), by_tokenizer)
    assert (counts.output_tokens, counts.counted_by) == (20, "server")
    assert (counts.findings, counts.disputed_output_tokens) == (("parts_do_not_add",), 0)


@pytest.mark.parametrize("total", [None, 0, 1030])
def test_a_total_that_is_absent_or_zero_or_the_sum_says_nothing(total):
    assert found(seen(20, 20, prompt=1010, total_tokens=total)) == set()


def test_cached_tokens_beside_the_prompt_are_tokens_of_it():
    apart = audited(seen(20, 20, prompt=8, total_tokens=1020, cached_input_tokens=992))
    within = audited(seen(20, 20, prompt=1000, total_tokens=1020, cached_input_tokens=992))
    without_total = audited(seen(20, 20, prompt=8, cached_input_tokens=992))
    for counts in (apart, within, without_total):
        assert (counts.input_tokens, counts.cached_input_tokens) == (1000, 992)
        assert (counts.findings, counts.disputed_output_tokens) == (("cached",), 0)


def test_a_twentieth_of_a_prompt_may_be_cached_without_a_remark():
    assert found(seen(prompt=1000, cached_input_tokens=50)) == set()
    assert found(seen(prompt=1000, cached_input_tokens=51)) == {"cached"}


@pytest.mark.parametrize("in_chat", [True, False])
def test_a_prompt_may_lack_two_of_the_ids_that_were_sent(in_chat):
    assert found(seen(prompt=98, ids=100, in_chat=in_chat)) == set()
    counts = audited(seen(prompt=97, ids=100, in_chat=in_chat))
    assert (counts.findings, counts.input_tokens, counts.disputed_input_tokens) == (("prompt_truncated",), 97, 3)
    assert found(seen(prompt=30, cached_input_tokens=68, ids=100, in_chat=in_chat)) == {"cached"}
    assert found(seen(prompt=30, cached_input_tokens=67, ids=100, in_chat=in_chat)) == {"cached", "prompt_truncated"}


def test_cached_tokens_are_added_to_a_prompt_only_where_no_total_shows_that_they_are_in_it():
    prompt = {"prompt": 40, "cached_input_tokens": 32, "ids": 64}
    assert found(seen(20, **prompt)) == {"cached"}
    assert found(seen(20, **prompt, total_tokens=92)) == {"cached"}
    counts = audited(seen(20, **prompt, total_tokens=60))
    assert (set(counts.findings), counts.disputed_input_tokens) == ({"cached", "prompt_truncated"}, 24)


def test_a_prompt_may_have_two_tokens_more_than_was_sent_and_any_number_in_a_chat():
    assert found(seen(prompt=102, ids=100, in_chat=False)) == set()
    counts = audited(seen(prompt=103, ids=100, in_chat=False))
    assert (counts.findings, counts.disputed_input_tokens) == (("tokenizer_differs",), 3)
    assert found(seen(prompt=5000, in_chat=True), recount(20, prompt=110, least=100)) == set()


def test_a_prompt_of_text_is_held_against_the_tokenizers_count_of_it():
    by_tokenizer = recount(20, prompt=110, least=100)
    assert found(seen(prompt=75), by_tokenizer) == set()
    assert found(seen(prompt=74), by_tokenizer) == {"prompt_truncated"}
    assert found(seen(prompt=125, in_chat=False), by_tokenizer) == set()
    assert found(seen(prompt=126, in_chat=False), by_tokenizer) == {"tokenizer_differs"}


def test_a_prompt_that_the_server_does_not_count_is_what_was_sent_or_what_the_tokenizer_counts_or_unknown():
    for none in (None, 0):
        assert audited(seen(prompt=none, ids=100)).input_tokens == 100
        assert audited(seen(prompt=none), recount(20, prompt=13)).input_tokens == 13
        counts = audited(seen(prompt=none))
        assert (counts.input_tokens, counts.output_tokens) == (None, 20)
        assert counts.findings == (() if none is None else ("prompt_truncated",))


def test_an_answer_is_shorter_than_asked_by_more_than_one_token_where_it_was_to_go_on():
    assert found(seen(19, 19, asked=20, ignore_eos=True)) == set()
    counts = audited(seen(18, 18, asked=20, ignore_eos=True))
    assert (counts.findings, counts.output_tokens, counts.disputed_output_tokens) == (("shorter_than_asked",), 18, 2)
    assert found(seen(3, 3, asked=20)) == set()


@pytest.mark.parametrize(
    "changes",
    [{"stops": 9}, {"ends": "length"}, {"ends": "MAX_TOKENS"}, {"ends": "length", "ids": 64, "prompt": 64}],
    ids=["stop_string", "context", "other_word", "context_of_ids"],
)
def test_what_a_stop_string_or_the_contexts_end_has_cut_short_is_a_remark_and_not_in_dispute(changes):
    counts = audited(seen(10, 10, asked=64, ignore_eos=True, **changes), recount(10))
    assert (counts.findings, counts.output_tokens, counts.counted_by) == (("shorter_than_asked",), 10, "server")
    assert counts.disputed_output_tokens == 0
    for ends in ("stop", None):
        assert audited(seen(10, 10, asked=64, ignore_eos=True, ends=ends)).disputed_output_tokens == 54


def test_an_answer_that_the_tokenizer_counted_is_shorter_than_asked_beyond_its_tolerance():
    assert found(seen(None, 70, asked=100, ignore_eos=True), recount(75 - 1)) == {"usage_missing"}
    assert found(seen(None, 70, asked=100, ignore_eos=True), recount(74 - 1)) == {"usage_missing", "shorter_than_asked"}
    assert found(seen(None, 70, asked=100, ignore_eos=True)) == {"usage_missing"}  # chunks are no count


def test_several_tokens_in_the_first_chunk_are_a_remark():
    assert found(seen(20, 20, listed=[1] * 20)) == set()
    assert found(seen(20, 11, listed=[10] + [1] * 10)) == {"bundled"}
    assert found(seen(220, 20, listed=[201] + [1] * 19, reasoning_tokens=200)) == set()


def test_a_count_that_no_answer_can_have_is_none():
    assert audited(seen(100 * 400 + 10_081, 20, asked=400)).counted_by == "chunks"
    assert audited(seen(100 * 400 + 10_080, 20, asked=400)).counted_by == "server"
    counts = audited(seen(12_021, 12_021, asked=20))
    assert (counts.output_tokens, counts.findings, counts.disputed_output_tokens) == (12_021, ("longer_than_asked",), 0)


COUNT = st.one_of(st.none(), st.integers(0, 500), st.integers(0, 10**30))
ANY_EVIDENCE = st.builds(
    seen,
    COUNT,
    st.integers(0, 60),
    text=st.sampled_from([" tok", "x", "\ufffd", "\N{GRINNING FACE}", "    " * 4]),
    prompt=COUNT,
    asked=st.integers(1, 300),
    ends=st.sampled_from(["stop", "length", None, "tool_calls", "content_filter"]),
    ignore_eos=st.booleans(),
    ids=st.one_of(st.none(), st.integers(1, 300)),
    kinds=st.sets(st.sampled_from(["content", "reasoning", "tool_calls", "refusal"])),
    in_chat=st.booleans(),
    stops=st.integers(0, 30),
    total_tokens=COUNT,
    reasoning_tokens=COUNT,
    cached_input_tokens=COUNT,
)
ANY_RECOUNT = st.one_of(st.none(), st.builds(recount, st.integers(0, 500), st.integers(1, 500), st.integers(0, 500)))


@given(ANY_EVIDENCE, ANY_RECOUNT)
def test_whatever_a_server_counts_what_is_believed_can_be_and_what_is_in_dispute_is_said(given_evidence, by_tokenizer):
    counts = audited(given_evidence, by_tokenizer)
    assert (counts.output_tokens is None) == (counts.counted_by is None)
    assert counts.disputed_output_tokens >= 0
    assert counts.disputed_input_tokens >= 0
    assert 0 <= counts.hidden_tokens <= (counts.output_tokens or 0)
    assert len(set(counts.findings)) == len(counts.findings)
    if counts.disputed_output_tokens or counts.disputed_input_tokens:
        assert counts.findings
    if counts.counted_by not in ("server", None):
        assert set(counts.findings) & CONTRADICTIONS
    if counts.counted_by == "tokenizer":
        assert by_tokenizer is not None
    assert set(counts.findings) <= CONTRADICTIONS | REMARKS


HONEST = st.fixed_dictionaries(
    {
        "tokens": st.integers(1, 2000),
        "eos_counted": st.booleans(),
        "ends": st.sampled_from(["stop", "length"]),
        "chunk_of": st.floats(0.05, 40.0),  # tokens
        "characters": st.floats(1.0, 6.0),  # of a token
        "retokenised": st.floats(1.0, 1.21),
        "prompt": st.integers(1, 3000),
        "added": st.integers(0, 2),
        "template": st.integers(0, 500),
        "in_chat": st.booleans(),
        "has_tokenizer": st.booleans(),
        "reasoning": st.integers(0, 1000),
    }
)


@given(HONEST)
def test_a_server_that_counts_right_is_never_accused(honest):
    tokens, in_chat = honest["tokens"], honest["in_chat"]
    shown = round(tokens * honest["characters"])
    chunks = min(max(round(tokens / honest["chunk_of"]), 1), shown)
    text = (PROSE * (shown // len(PROSE) + 1))[:shown]
    lengths = [shown // chunks + (number < shown % chunks) for number in range(chunks)]
    starts = itertools.accumulate(lengths, initial=0)
    ended = honest["ends"] == "stop" and honest["eos_counted"]
    hidden = honest["reasoning"]
    output = tokens + ended + hidden
    prompt = honest["prompt"] + honest["added"] + (honest["template"] if in_chat else 0)
    given_evidence = seen(
        output,
        texts=[text[start : start + length] for start, length in zip(starts, lengths, strict=False)],
        prompt=prompt,
        ids=honest["prompt"],
        in_chat=in_chat,
        ends=honest["ends"],
        asked=output if honest["ends"] == "length" else output + 100,
        total_tokens=prompt + output,
        reasoning_tokens=hidden or None,
        ignore_eos=honest["ends"] == "length",
    )
    by_tokenizer = recount(round(tokens * honest["retokenised"]), prompt, honest["prompt"])
    counts = audited(given_evidence, by_tokenizer if honest["has_tokenizer"] else None)
    assert not set(counts.findings) & CONTRADICTIONS
    assert (counts.output_tokens, counts.counted_by) == (output, "server")
    assert (counts.disputed_output_tokens, counts.disputed_input_tokens) == (0, 0)


@given(HONEST, st.sampled_from([0.0, 0.5, 2.0]))
def test_a_server_that_counts_half_or_double_or_nothing_is_found_by_the_tokenizer(honest, factor):
    tokens = 40 + honest["tokens"]
    counted = round(tokens * factor)
    given_evidence = seen(counted, max(tokens // 8, 1), text="x" * 30, asked=10_000)
    counts = audited(given_evidence, recount(round(tokens * honest["retokenised"])))
    assert set(counts.findings) & {"zero_with_text", "tokenizer_differs", "fewer_than_chunks"}
    assert counts.counted_by == "tokenizer"
    assert tokens <= counts.output_tokens <= 1.21 * tokens + 2
    assert counts.disputed_output_tokens > 0.01 * counts.output_tokens


def test_what_is_in_dispute_does_not_change_where_the_tokenizer_agrees():
    server = seen(20, 20, total_tokens=30)
    assert audited(server, recount(20)) == replace(audited(server), counted_by_tokenizer=True, judged_by="tokenizer")
