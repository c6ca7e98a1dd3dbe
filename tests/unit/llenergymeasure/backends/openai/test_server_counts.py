"""Token counts as servers give them: under many names, anywhere in the stream, so far or of each chunk, or broken."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llenergymeasure.backends.openai.client.count_bounds import most_tokens
from llenergymeasure.backends.openai.client.records import ServerCounts
from llenergymeasure.backends.openai.client.responses import AnswerReader
from llenergymeasure.backends.openai.load.plausible_counts import plausible
from llenergymeasure.domain.requests import Request

DONE = b"data: [DONE]\n\n"


def event(text=None, reason=None, **message):
    """An event with this text, or without a choice."""
    choices = [] if text is None and reason is None else [{"delta": {"content": text}, "finish_reason": reason}]
    return f"data: {json.dumps({'choices': choices, **message})}\n\n".encode()


def read(*events):
    reader = AnswerReader()
    for number, each in enumerate(events, 1):
        reader.feed(float(number), each)
    reader.end(99.0)
    answer = reader.answer(None)
    assert answer.failure is None
    return answer


def usage(output, prompt=10, **further):
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output, **further}


def counted(**message):
    """The counts of an answer of two texts with this at its end."""
    return read(event("a"), event("b"), event("", "stop"), event(**message), DONE).counts


@pytest.mark.parametrize(
    ("sent", "counts"),
    [
        (usage(20), ServerCounts(10, 20, 30)),
        ({"completion_tokens": 20}, ServerCounts(None, 20)),
        ({"prompt_tokens": 10}, ServerCounts(10)),
        ({"total_tokens": 30}, ServerCounts(total_tokens=30)),
        ({"prompt_tokens": 10.0, "completion_tokens": 20.0, "total_tokens": 30.0}, ServerCounts(10, 20, 30)),
        ({"input_tokens": 10, "output_tokens": 20}, ServerCounts(10, 20)),
        (usage(20, prompt_tokens_details={"cached_tokens": 8}), ServerCounts(10, 20, 30, None, 8)),
        (usage(20, completion_tokens_details={"reasoning_tokens": 5}), ServerCounts(10, 20, 30, 5)),
        (
            usage(20, completion_tokens_details={"rejected_prediction_tokens": 5, "accepted_prediction_tokens": 2}),
            ServerCounts(10, 20, 30, rejected_tokens=5),
        ),
        (usage(20, prompt_tokens_details=None, completion_tokens_details=None), ServerCounts(10, 20, 30)),
        (usage(20, reasoning_tokens=5), ServerCounts(10, 20, 30, 5)),
        (usage(20, prompt_cache_hit_tokens=8, prompt_cache_miss_tokens=2), ServerCounts(10, 20, 30, None, 8)),
        (usage(20, cached_tokens=8), ServerCounts(10, 20, 30, None, 8)),
        (
            {"input_tokens": 2, "output_tokens": 20, "cache_read_input_tokens": 8},
            ServerCounts(2, 20, None, None, 8),
        ),
        (
            {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 8}, "output_tokens": 20,
             "output_tokens_details": {"reasoning_tokens": 5}},
            ServerCounts(10, 20, None, 5, 8),
        ),
    ],
)  # fmt: skip
def test_a_usage_is_read_by_all_the_names_that_servers_give_its_parts(sent, counts):
    assert counted(usage=sent) == counts


def test_counts_are_found_in_the_choice_in_groqs_own_field_and_in_llama_cpps_timings():
    assert counted(x_groq={"usage": usage(20)}) == ServerCounts(10, 20, 30)
    in_choice = json.dumps({"choices": [{"delta": {}, "finish_reason": "stop", "usage": usage(20)}]})
    assert read(event("a"), f"data: {in_choice}\n\n".encode()).counts == ServerCounts(10, 20, 30)
    timings = {"cache_n": 8, "prompt_n": 2, "predicted_n": 20, "predicted_ms": 5.5}
    assert counted(timings=timings) == ServerCounts(10, 20, None, None, 8)
    assert counted(timings={"prompt_n": 2, "predicted_n": 20}) == ServerCounts(None, 20)
    assert counted(timings=timings, usage=usage(21)) == ServerCounts(10, 21, 31)


@pytest.mark.parametrize(
    "broken", ["20", True, -1, 20.5, float("nan"), float("inf"), 10**30, [20], {"n": 20}, None], ids=repr
)
def test_what_is_no_count_is_unknown_and_no_failure(broken):
    sent = {"prompt_tokens": broken, "completion_tokens": broken, "total_tokens": broken, "cached_tokens": broken}
    details = {"prompt_tokens_details": broken, "completion_tokens_details": {"reasoning_tokens": broken}}
    assert counted(usage={**sent, **details}) == ServerCounts()
    assert counted(usage=broken, timings=broken, x_groq=broken) == ServerCounts()


@pytest.mark.parametrize("listing", [{"token_ids": 5}, {"logprobs": 5}, {"logprobs": {"content": 5}}])
def test_a_list_of_tokens_that_is_none_counts_nothing(listing):
    sent = json.dumps({"choices": [{"delta": {"content": "a"}, **listing, "finish_reason": "stop"}]})
    assert read(f"data: {sent}\n\n".encode()).chunk_tokens == (None,)


def test_usage_counts_wherever_in_the_stream_it_comes():
    end = event("", "stop")
    assert read(event("", usage=usage(0)), event("a"), event("b"), end, DONE).counts == ServerCounts(10, 0, 10)
    assert read(event("a"), event("b", usage=usage(2)), end, DONE).counts == ServerCounts(10, 2, 12)
    assert read(event("a"), event("", "stop", usage=usage(2)), DONE).counts == ServerCounts(10, 2, 12)
    assert read(event("a", usage=None), end, event(usage=usage(2)), DONE).counts == ServerCounts(10, 2, 12)
    assert read(event("a"), end, DONE, event(usage=usage(2))).counts == ServerCounts(10, 2, 12)
    assert read(event("a"), end, DONE, b"data: no JSON\n\n", event("more")).chunk_texts == ("a",)
    first, last = {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 8}}, {"completion_tokens": 2}
    assert read(event("", usage=first), event("a"), event("", "stop", usage=last)).counts == ServerCounts(
        10, 2, None, None, 8
    )


def test_counts_with_every_chunk_are_those_so_far_or_each_chunks_own():
    def stream(outputs, *last):
        return read(*(event("x", usage=usage(output)) for output in outputs), event("", "stop"), *last)

    so_far = stream([1, 3, 4], event(usage=usage(4)))
    assert (so_far.counts, so_far.chunk_tokens) == (ServerCounts(10, 4, 14), (1, 2, 1))
    cut_anew = stream([4, 4, 5], event(usage=usage(5)))  # a count that stays: text of the same tokens
    assert cut_anew.chunk_tokens == (4, 0, 1)
    assert stream([0, 0, 1], event(usage=usage(3))).chunk_tokens == (None, None, 1)
    own = stream([1, 1, 1])
    assert (own.counts.output_tokens, own.counts.total_tokens, own.chunk_tokens) == (3, None, (1, 1, 1))
    own = stream([3, 1, 2])
    assert (own.counts.output_tokens, own.chunk_tokens) == (6, (3, 1, 2))
    own = stream([3, 1, 2], event(usage=usage(7)))  # the end has one of its own, or is the sum
    assert (own.counts, own.chunk_tokens) == (ServerCounts(10, 7, 17), (3, 1, 2))
    own = stream([3, 1, 2], event(usage=usage(1)))
    assert own.counts.output_tokens == 7
    in_all = stream([20, 20, 20])  # what the server knew before it began to send
    assert in_all.counts.output_tokens == 20


def test_two_counts_of_one_whole_answer_are_both_kept():
    texts = [event("a"), event("b")]

    def both(*events):
        counts = read(*events).counts
        return counts.output_tokens, counts.other_output_tokens

    end = event("", "stop")
    assert both(*texts, end, event(usage=usage(20)), event(usage=usage(60)), DONE) == (60, 20)
    assert both(*texts, end, event(usage=usage(60)), event(usage=usage(20)), DONE) == (60, 20)
    assert both(*texts, end, event(usage=usage(20)), DONE, event(usage=usage(60))) == (60, 20)
    running = [event(text, usage=usage(10 * number)) for number, text in enumerate("ab", 1)]
    assert both(*running, end, event(usage=usage(10)), DONE) == (20, 10)
    for once in (event(usage=usage(20)), event(usage=usage(20)) * 2, event(usage=usage(20)) + event(usage=usage(0))):
        assert both(*running, end, once, DONE) == (20, None)
    assert both(event(usage=usage(1)), *texts, end, event(usage=usage(20)), DONE) == (20, None)  # before the text


def test_a_count_that_ends_at_nothing_is_what_it_was():
    outputs = [event("x", usage=usage(output)) for output in (1, 2, 3)]
    assert read(*outputs, event("", "stop"), event(usage=usage(0))).counts == ServerCounts(10, 3, None)


@given(
    tokens=st.lists(st.integers(1, 9), min_size=1, max_size=30),
    own=st.booleans(),
    ends=st.sampled_from([None, 0, 1]),
)
def test_counts_with_every_chunk_add_up_to_the_answer(tokens, own, ends):
    """Those of its own are told from those so far where they fall at least once."""
    own = own and any(after < before for before, after in itertools.pairwise(tokens))
    said = tokens if own else [sum(tokens[: place + 1]) for place in range(len(tokens))]
    last = [] if ends is None else [event(usage=usage(ends if own else sum(tokens) + ends))]
    answer = read(*(event("x", usage=usage(each)) for each in said), event("", "stop"), *last)
    if not (own and ends is not None and ends >= sum(tokens)):
        assert answer.counts.output_tokens == sum(tokens) + (ends or 0)
    assert answer.chunk_tokens == tuple(tokens)


NAMES = [
    *("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "cached_tokens"),
    *("prompt_tokens_details", "completion_tokens_details", "reasoning_tokens", "predicted_n", "prompt_n"),
]
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)


@settings(max_examples=50)
@given(sent=VALUES | st.dictionaries(st.sampled_from(NAMES), VALUES | st.fixed_dictionaries({"cached_tokens": VALUES})))
def test_whatever_a_server_sends_for_counts_the_answer_is_read(sent):
    answer = read(event("a", usage=sent), event("", "stop", timings=sent, x_groq=sent), DONE)
    assert answer.chunk_texts == ("a",)
    given_counts = (getattr(answer.counts, name) for name in ServerCounts.__slots__)
    assert all(each is None or (type(each) is int and each >= 0) for each in given_counts)


# Counts that no answer can have

ASKED = Request(0, "a prompt", None, max_output_tokens=8)
GOOD = event(usage=usage(2))
ABSURD = {
    "output": usage(10**9),
    "prompt": usage(2, prompt=10**8),
    "all": {"prompt_tokens": 10**12, "completion_tokens": 10**12, "total_tokens": 10**12},
    "cached": usage(2, prompt_tokens_details={"cached_tokens": 10**12}),
    "reasoning": usage(2, completion_tokens_details={"reasoning_tokens": 10**12}),
}


@pytest.mark.parametrize("order", ["before", "behind", "behind [DONE]"])
@pytest.mark.parametrize("absurd", ABSURD.values(), ids=ABSURD)
def test_an_absurd_count_takes_the_place_of_no_good_one_wherever_it_comes(absurd, order):
    odd = event(usage=absurd)
    ends = {"before": [odd, GOOD, DONE], "behind": [GOOD, odd, DONE], "behind [DONE]": [GOOD, DONE, odd]}[order]
    reader = AnswerReader(most=most_tokens(ASKED))
    for number, each in enumerate([event("a"), event("b"), event("", "length"), *ends], 1):
        reader.feed(float(number), each)
    answer = plausible(reader.answer(None), ASKED)
    assert (answer.failure, answer.counts) == (None, ServerCounts(10, 2, 12))


def test_a_count_of_thousands_of_digits_counts_nothing_and_fails_nothing():
    odd = GOOD.replace(b'"completion_tokens": 2', b'"completion_tokens": ' + b"9" * 5000)
    assert odd != GOOD
    answer = read(event("a"), event("b"), event("", "stop"), odd, DONE)
    assert answer.counts == ServerCounts(10, None, 12)
