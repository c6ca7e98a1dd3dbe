"""Every kind of text that a model may send is output with its time, and which kinds came is known."""

import json

import pytest

from llenergymeasure.backends.openai.client.responses import AnswerReader


def read(*choices):
    """The answer of these choices, an event each at 1 s, 2 s, ...; then it ends."""
    reader = AnswerReader()
    for number, choice in enumerate([*choices, {"delta": {}, "finish_reason": "stop"}], 1):
        reader.feed(float(number), f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
    reader.end(99.0)
    answer = reader.answer(None)
    assert answer.failure is None
    return answer


def call(**function):
    return {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]}


@pytest.mark.parametrize(
    ("delta", "text", "kinds"),
    [
        ({"content": "a"}, "a", {"content"}),
        ({"role": "assistant", "content": "a", "reasoning_content": None, "tool_calls": []}, "a", {"content"}),
        ({"reasoning": "a"}, "a", {"reasoning"}),
        ({"reasoning_content": "a", "content": ""}, "a", {"reasoning"}),
        ({"reasoning_details": [{"type": "reasoning.text", "text": "a", "index": 0}]}, "a", {"reasoning"}),
        ({"reasoning_details": [{"type": "reasoning.summary", "summary": "a"}]}, "a", {"reasoning"}),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab", {"content"}),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}]}, "a", {"reasoning"}),
        ({"content": [{"type": "thinking", "thinking": "a"}, "b"]}, "ab", {"reasoning", "content"}),
        ({"content": [{"type": "refusal", "refusal": "a"}]}, "a", {"refusal"}),
        ({"content": None, "refusal": "a"}, "a", {"refusal"}),
        (call(name="f", arguments=""), "f", {"tool_calls"}),
        (call(arguments='{"x'), '{"x', {"tool_calls"}),
        (call(name="f", arguments={"x": 1}), 'f{"x": 1}', {"tool_calls"}),
        ({"tool_calls": [{"type": "custom", "custom": {"name": "f", "input": "a"}}]}, "fa", {"tool_calls"}),
        ({"function_call": {"name": "f", "arguments": "a"}}, "fa", {"tool_calls"}),
    ],
)
def test_every_text_is_output_with_its_time_and_its_kind(delta, text, kinds):
    answer = read({"delta": {"role": "assistant"}}, {"delta": delta})
    assert (answer.chunk_texts, answer.chunk_times_s, answer.text_kinds) == ((text,), (2.0,), kinds)
    whole = read({"message": delta, "finish_reason": "stop"})
    assert (whole.chunk_texts, whole.text_kinds) == ((text,), kinds)


def test_a_completions_text_is_content():
    answer = read({"index": 0, "text": "a", "logprobs": None, "finish_reason": None})
    assert (answer.chunk_texts, answer.text_kinds) == (("a",), {"content"})


def test_reasoning_and_answer_of_one_event_are_each_counted_once_and_in_their_order():
    answer = read({"delta": {"content": "yes", "reasoning": "hm "}})
    assert (answer.chunk_texts, answer.text_kinds) == (("hm yes",), {"reasoning", "content"})


def test_reasoning_that_a_server_sends_in_three_fields_at_once_is_one_text():
    details = [{"type": "reasoning.text", "text": "hm"}]
    answer = read({"delta": {"reasoning": "hm", "reasoning_content": "hm", "reasoning_details": details}})
    assert answer.chunk_texts == ("hm",)


@pytest.mark.parametrize(
    "delta",
    [
        {"role": "assistant"},
        {"content": ""},
        {"content": []},
        {"content": [{"type": "image_url", "image_url": {"url": "x"}}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "gAAAA"}]},
        {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": None}]},
        {"tool_calls": {}, "refusal": 0, "reasoning": False},
    ],
)
def test_what_has_no_text_is_no_chunk(delta):
    assert read({"delta": delta}).chunk_texts == ()


@pytest.mark.parametrize("delta", [{}, {"content": ""}])
def test_a_message_that_repeats_the_text_beside_its_deltas_is_not_counted_again(delta):
    answer = read({"delta": {"content": "a"}}, {"delta": delta, "message": {"content": "a"}, "finish_reason": "stop"})
    assert answer.chunk_texts == ("a",)


def test_the_text_of_every_choice_is_output():
    reader = AnswerReader()
    for index in (0, 1):
        choice = {"index": index, "delta": {"content": f"{index}"}, "finish_reason": None}
        reader.feed(1.0, f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
    both = [{"index": index, "delta": {"content": "x"}, "finish_reason": "stop"} for index in (0, 1)]
    reader.feed(2.0, f"data: {json.dumps({'choices': both})}\n\n".encode())
    assert reader.answer(None).chunk_texts == ("0", "1", "xx")


@pytest.mark.parametrize("reason", ["", None])
def test_an_empty_finish_reason_is_no_end(reason):
    def event(text, reason):
        return f"data: {json.dumps({'choices': [{'delta': {'content': text}, 'finish_reason': reason}]})}\n\n".encode()

    reader = AnswerReader()
    reader.feed(1.0, event("a", reason))
    reader.end(2.0)
    assert reader.answer(None).failure.kind == "cut"
    reader = AnswerReader()
    reader.feed(1.0, event("a", reason) + event("b", "stop") + event("", reason))
    reader.end(2.0)
    answer = reader.answer(None)
    assert (answer.finish_reason, answer.finished_s, answer.failure) == ("stop", 1.0, None)


def test_an_answer_that_ends_with_done_alone_is_whole_and_its_reason_is_unknown():
    reader = AnswerReader()
    reader.feed(1.0, b'data: {"choices": [{"delta": {"content": "a"}, "finish_reason": ""}]}\n\ndata: [DONE]\n\n')
    reader.end(2.0)
    answer = reader.answer(None)
    assert (answer.finish_reason, answer.failure) == (None, None)


def test_empty_texts_between_the_beginning_and_the_end_of_an_answer_are_counted():
    first, empty = {"delta": {"role": "assistant", "content": ""}}, {"delta": {"content": ""}}
    assert read(first, {"delta": {"content": "a"}}, {"delta": {}}, {"delta": {"content": None}}).empty_chunks == 0
    assert read(first, empty, {"delta": {"content": "a"}}, {"delta": {"reasoning_content": ""}}).empty_chunks == 2
    assert read({"text": "", "finish_reason": None}, {"text": "a"}).empty_chunks == 1
    assert read({"delta": {"content": ""}, "finish_reason": "stop"}).empty_chunks == 0
