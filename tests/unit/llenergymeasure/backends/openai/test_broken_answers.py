"""Answers that a server gave up, or cut in odd places: what is an error, what is an end, and what is still text."""

import json

import pytest

from llenergymeasure.backends.openai.client import responses
from llenergymeasure.backends.openai.client.records import Failure
from llenergymeasure.backends.openai.client.responses import AnswerReader

DONE = b"data: [DONE]\n\n"


def event(content, reason=None, **further):
    """A chunk of the chat endpoint."""
    message = {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": reason}], **further}
    return f"data: {json.dumps(message)}\n\n".encode()


def data(message):
    return f"data: {json.dumps(message)}\n\n".encode()


def read(*pieces):
    """The answer in these pieces, which come at 1 s, 2 s, ..."""
    reader = AnswerReader()
    for number, piece in enumerate(pieces, 1):
        reader.feed(float(number), piece)
    reader.end(99.0)
    return reader.answer(None)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (data({"code": 500, "message": "boom", "success": False}), "boom"),
        (data({"success": False}), '{"success": false}'),
        (data({"detail": "Internal Server Error"}), "Internal Server Error"),
        (data({"message": "Endpoint request timed out"}), "Endpoint request timed out"),
        (data({"error_code": 336003, "error_msg": "the prompt is empty"}), "the prompt is empty"),
        (data({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}), "rate limit"),
        (b'event: message\ndata: {"code": "429"}\n\n', '{"code": "429"}'),
        (b'{"error":{"message":"boom"}}\n', "boom"),
        (b'{\n "error": {\n  "message": "boom"\n }\n}\n', "boom"),
        (b'{"detail": "boom"}\n\n', "boom"),
        (data({"choices": [{"delta": {}, "error": {"code": 502, "message": "upstream"}}]}), "upstream"),
    ],
)  # fmt: skip
def test_an_error_of_whatever_shape_before_done_is_no_end_of_an_answer(error, words):
    answer = read(event("x"), error + DONE)
    assert answer.failure == Failure("server_error", words)
    assert answer.chunk_texts == ("x",)


def test_an_error_of_another_shape_in_place_of_a_whole_answer_has_its_words():
    assert read(b'{"code": 500, "message": "boom"}').failure == Failure("server_error", "boom")


@pytest.mark.parametrize(
    "remark",
    [
        {"type": "ping"},
        {"id": "x", "object": "ping", "created": 1},
        {"code": 0, "message": "ok"},
        {"code": 200, "msg": "success", "data": None},
        {"base_resp": {"status_code": 0, "status_msg": ""}},
        {"usage": {"completion_tokens": 1}, "message": "so far"},
        {"error": None, "success": True},
        {"choices": [{"delta": {}}], "message": "so far"},
    ],
)
def test_a_servers_remark_on_itself_is_no_error(remark):
    assert read(data(remark), event("x"), data(remark), DONE).failure is None


def test_what_reads_as_an_error_is_none_in_an_answer_that_ends_with_a_reason_or_in_another_event():
    remark = {"message": "you are 3rd in the queue"}
    assert read(data(remark), event("x", "stop"), DONE).failure is None
    assert read(event("x", "stop"), data(remark), DONE).failure is None
    assert read(b"event: queue\n" + data(remark), event("x"), DONE).failure is None


@pytest.mark.parametrize("reason", ["", " ", "null", "None", "not_finished"])
def test_a_finish_reason_that_says_that_there_is_none_is_no_end(reason):
    assert read(event("x", reason)).failure == Failure("cut", "the answer ended before it was finished")
    assert read(event("x", reason), event("", reason), event("", "stop")).finish_reason == "stop"
    assert read(event("x", reason), event("", reason), event("", "stop")).empty_chunks == 1


def test_a_character_that_is_cut_between_its_halves_is_read_whole():
    def escaped(text):
        return data({"choices": [{"delta": {"content": text}}]})

    answer = read(escaped("a\ud83d"), escaped("\ude00"), escaped("b"), event("", "stop"), DONE)
    assert (answer.chunk_texts, answer.chunk_times_s) == (("a😀", "", "b"), (1.0, 2.0, 3.0))
    answer = read(escaped("\ud83d"), escaped("b\ude00"), escaped("\ud83d"), event("", "stop"))
    assert (answer.chunk_texts, answer.failure) == (("\ufffd", "b\ufffd", "\ufffd"), None)


def test_bytes_that_are_no_text_do_not_lose_the_answer_around_them():
    answer = read(b'data: {"choices": [{"delta": {"content": "a\xf0\x9f"}}]}\n\n', event("b", "stop"))
    assert (answer.chunk_texts, answer.failure) == (("a\ufffd", "b"), None)


def test_a_half_of_a_character_in_a_reason_or_an_error_is_shown_as_such():
    assert read(event("a", "\ud800 x")).finish_reason == "\ufffd x"
    assert read(data({"error": "\ud83d no"})).failure == Failure("server_error", "\ufffd no")


def test_an_answer_of_more_chunks_than_any_is_left(monkeypatch):
    monkeypatch.setattr(responses, "MOST_CHUNKS", 10)
    reader = AnswerReader()
    reader.feed(1.0, event("x") * 10)
    assert not reader.gives_up
    reader.feed(2.0, event("x"))
    assert reader.gives_up
    assert reader.answer(None).failure == Failure("malformed", "an answer of more than 10 chunks of text")


def test_several_answers_at_once_are_told_from_one():
    def choice(index, text="x"):
        return data({"choices": [{"index": index, "delta": {"content": text}}]})

    assert not read(choice(0), choice(0), choice(1, ""), DONE).has_several_choices
    assert not read(choice(1), choice(1), DONE).has_several_choices
    assert read(choice(0), choice(1), choice(0), DONE).has_several_choices
