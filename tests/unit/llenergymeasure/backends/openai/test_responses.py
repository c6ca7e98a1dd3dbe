"""Answers of OpenAI-compatible servers, read from their bytes: whatever servers really send, wherever it is cut."""

import itertools
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labledger.redaction import redactor
from llenergymeasure.backends.openai.client.records import Failure, ServerCounts
from llenergymeasure.backends.openai.client.responses import LONGEST, AnswerReader

CUT = Failure("cut", "the connection was lost")
DONE = "data: [DONE]\n\n"


def event(**message):
    """An event as servers write it."""
    return f"data: {json.dumps(message)}\n\n"


def chat(delta, finish_reason=None, **further):
    """A chunk of the chat endpoint."""
    return event(choices=[{"index": 0, "delta": delta, "finish_reason": finish_reason, **further}])


def said(text, finish_reason=None, **further):
    """A chunk with text."""
    return chat({"content": text}, finish_reason, **further)


def usage(asked, answered):
    """A server's count."""
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


def read(*pieces, failure=None):
    """The answer in these pieces, which come at 1 s, 2 s, ..."""
    reader = AnswerReader()
    for number, piece in enumerate(pieces, 1):
        reader.feed(float(number), piece.encode() if isinstance(piece, str) else piece)
    if failure is None:
        reader.end(len(pieces) + 1.0)
    return reader.answer(failure)


def test_a_chat_stream_is_read_with_the_time_of_each_text_and_the_servers_count():
    answer = read(
        chat({"role": "assistant", "content": ""}),
        said("Hello"),
        said(" world"),
        chat({}, "stop"),
        event(choices=[], usage=usage(7, 2)) + DONE,
    )
    assert answer.chunk_texts == ("Hello", " world")
    assert answer.chunk_times_s == (2.0, 3.0)
    assert (answer.finish_reason, answer.counts, answer.failure) == ("stop", ServerCounts(7, 2, 9), None)
    assert answer.streamed


def test_a_completions_stream_is_read_the_same_way():
    answer = read(
        event(choices=[{"index": 0, "text": "Hello", "finish_reason": None}]),
        event(choices=[{"index": 0, "text": "", "finish_reason": "length"}]),
        DONE,
    )
    assert (answer.chunk_texts, answer.finish_reason, answer.failure) == (("Hello",), "length", None)


@pytest.mark.parametrize("empty", ["", None])
def test_the_first_time_is_that_of_the_first_text_that_is_not_empty(empty):
    answer = read(chat({"role": "assistant"}), said(empty), said("x", "stop"))
    assert answer.chunk_times_s == (3.0,)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_output_with_a_time_as_the_answer_after_it(name):
    answer = read(chat({name: "Hm", "content": None}), chat({name: "."}), said("Yes", "stop"))
    assert answer.chunk_texts == ("Hm", ".", "Yes")
    assert answer.chunk_times_s == (1.0, 2.0, 3.0)


def test_a_server_that_sends_no_usage_has_none():
    answer = read(said("x", "stop"), DONE)
    assert (answer.counts, answer.failure) == (ServerCounts(), None)


@pytest.mark.parametrize(
    "listed",
    [
        lambda count, so_far: {"token_ids": [1] * count},
        lambda count, so_far: {"logprobs": {"content": [{"token": "a"}] * count}},
        lambda count, so_far: {"logprobs": {"tokens": ["a"] * count}},
    ],
)
def test_the_tokens_of_a_chunk_are_known_where_the_server_lists_them(listed):
    answer = read(said("a", **listed(1, 1)), said("b c", **listed(2, 3)), said("", "stop"), DONE)
    assert answer.chunk_tokens == (1, 2)


def test_the_tokens_of_a_chunk_are_known_where_the_server_counts_them_up():
    pieces = [
        event(choices=[{"delta": {"role": "assistant"}}], usage=usage(5, 0)),
        event(choices=[{"delta": {"content": "a"}}], usage=usage(5, 1)),
        event(choices=[{"delta": {"content": ""}}], usage=usage(5, 2)),
        event(choices=[{"delta": {"content": "bc"}, "finish_reason": "stop"}], usage=usage(5, 4)),
        event(choices=[], usage=usage(5, 4)),
    ]
    assert read(*pieces).chunk_tokens == (1, 3)


def test_a_count_at_the_end_alone_leaves_the_chunks_uncounted():
    last = event(choices=[{"delta": {"content": "c"}, "finish_reason": "stop"}], usage=usage(5, 3))
    assert read(said("a"), said("b"), last).chunk_tokens == (None, None, None)


@pytest.mark.parametrize("message", [{"content": "All of it"}, {"content": "All of it", "role": "assistant"}])
def test_an_answer_in_one_piece_is_one_chunk_and_marked_as_not_streamed(message):
    whole = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage(4, 3)}, indent=1)
    answer = read(whole[:30], whole[30:])
    assert (answer.chunk_texts, answer.chunk_times_s, answer.chunk_tokens) == (("All of it",), (3.0,), (3,))
    assert (answer.streamed, answer.counts, answer.failure) == (False, ServerCounts(4, 3, 7), None)


@pytest.mark.parametrize(
    "stream",
    [
        ": a comment\n\n" + said("x") + ": keep-alive\n\n" + said("y", "stop") + DONE,
        (said("x") + said("y", "stop") + DONE).replace("\n", "\r\n"),
        (said("x") + said("y", "stop") + DONE).replace("\n", "\r"),
        "\ufeff" + said("x") + said("y", "stop") + DONE,
        'id: 1\nevent: message\nretry: 10\ndata: {"choices": [\ndata: {"delta": {"content": "x"}}]}\n\n'
        + said("y", "stop"),
        (said("x") + said("y", "stop") + DONE).replace("data: ", "data:"),
        (said("x") + said("y", "stop")).rstrip(),
        said("x") + said("y") + DONE.rstrip(),
        said("x") + "\n\n\n" + said("y", "stop"),
        said("x") + event(id="ping") + said("y", "stop") + event(choices=None, usage=None),
    ],
)
def test_every_way_of_writing_the_same_stream_is_read_as_the_same_text(stream):
    answer = read(stream)
    assert answer.chunk_texts == ("x", "y")
    assert answer.failure is None


@pytest.mark.parametrize("lost", [None, CUT])
@pytest.mark.parametrize("stream", ["", said("x"), said("x") + 'data: {"choices": [{"de', ": only a comment\n\n"])
def test_a_stream_that_ends_before_it_was_finished_is_cut_and_keeps_its_text(stream, lost):
    answer = read(stream, failure=lost)
    assert answer.failure is not None
    assert answer.failure.kind == "cut"
    assert answer.chunk_texts == (("x",) if "x" in stream else ())
    assert answer.counts == ServerCounts()


@pytest.mark.parametrize("stream", [said("x", "stop"), said("x", "stop") + DONE])
def test_an_answer_that_was_whole_is_whole_whatever_becomes_of_its_connection(stream):
    assert read(stream, failure=CUT).failure is None


@pytest.mark.parametrize("stream", [DONE, chat({"role": "assistant"}) + DONE, said("x") + DONE])
def test_an_answer_that_a_server_drops_with_done_is_cut(stream):
    assert read(stream, failure=CUT).failure == CUT
    assert read(stream).failure is None


@pytest.mark.parametrize(
    "broken",
    [
        "data: this is no JSON\n\n",
        "data: [1, 2]\n\n",
        "data: \udcff\n\n".encode("utf-8", "surrogateescape"),
        "data: " + "[" * 100_000 + "\n\n",
        event(choices="none"),
        event(choices=["none"]),
        chat("no object"),
        said(5),
        said({"type": "text"}),
        said("x", finish_reason=5),
    ],
)
def test_an_event_of_another_shape_makes_the_answer_malformed(broken):
    answer = read(said("before"), broken, said("after", "stop"), DONE)
    assert answer.failure is not None
    assert answer.failure.kind == "malformed"
    assert len(answer.failure.message) < 500
    assert answer.chunk_texts[0] == "before"
    assert "after" not in answer.chunk_texts


@pytest.mark.parametrize("page", ["<html>It works!</html>", '["a list"]', "{not JSON}", '{"no": "choices"}'])
def test_an_answer_that_is_no_models_is_malformed_or_cut(page):
    answer = read(page)
    assert answer.failure is not None
    assert answer.failure.kind in ("malformed", "cut")
    assert answer.chunk_texts == ()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("stop", "stop"),
        ("eos_token: <|im_end|>", "eos_token: <|im_end|>"),
        ("x" * 3_000_000, "x" * 63 + "…"),
        ("\x1b]0;x\x07\x1b[2J\n\u202e", "\ufffd]0;x\ufffd\ufffd[2J \ufffd"),
        ("refused sk-test-4b1d0c77aa", "refused (the key)"),
        ("x" * 60 + "sk-test-4b1d0c77aa", "x" * 60 + "(th…"),
    ],
    ids=["of_the_protocol", "another", "long", "commands", "key", "key_at_the_cut"],
)
def test_a_finish_reason_is_any_text_bounded_printable_and_without_the_key(sent, kept):
    reader = AnswerReader(redactor("sk-test-4b1d0c77aa"))
    reader.feed(1.0, said("a", sent).encode())
    reader.end(2.0)
    assert reader.answer(None).finish_reason == kept


@pytest.mark.parametrize("before", range(0, 130, 10))
def test_no_part_of_a_long_key_that_the_end_of_what_is_kept_divides_is_shown(before):
    key = "".join(f"{number:04d}" for number in range(150))
    reader = AnswerReader(redactor(key))
    reader.feed(1.0, f"no events {'.' * before}{key * 20}".encode())
    reader.end(2.0)
    message = reader.answer(None).failure.message
    assert message.startswith("neither events nor JSON: ")
    assert not any(key[place : place + 8] in message for place in range(len(key) - 8))


@pytest.mark.parametrize(
    "error",
    [
        event(error={"message": "out of blocks", "code": 500}),
        event(error="out of blocks"),
        event(object="error", message="out of blocks"),
        'event: error\ndata: {"detail": "out of blocks"}\n\n',
        "event: error\ndata: out of blocks\n\n",
        'error: {"code": 500, "message": "out of blocks"}\n\n',
        '{"error": {"message": "out of blocks"}}',
    ],
)
def test_an_error_in_place_of_an_answer_is_the_servers_with_its_words(error):
    assert read(error).failure == Failure("server_error", "out of blocks")


def test_an_error_within_a_stream_keeps_the_text_before_it():
    answer = read(said("x"), event(error={"message": "out of blocks"}), DONE)
    assert answer.failure == Failure("server_error", "out of blocks")
    assert answer.chunk_texts == ("x",)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ('"addmm_impl" not implemented', '{"error": ""addmm_impl" not implemented"}'),
        ("CUDA error: an assert\nCompile with a flag", '{"error": "CUDA error: an assert'),
    ],
    ids=["quotes", "lines"],
)
def test_an_error_whose_message_breaks_its_json_is_the_servers_with_its_words(message, shown):
    answer = read(chat({"role": "assistant"}), said("x"), f'data: {{"error": "{message}"}}\n\n')
    assert answer.failure == Failure("server_error", shown)


@pytest.mark.parametrize("begun", ["data: ", "x", ": ", '{"choices": "'])
def test_what_is_longer_than_any_event_is_not_kept(begun):
    reader = AnswerReader()
    reader.feed(1.0, said("before").encode() if begun[0] != "{" else b" ")
    fed = 0
    for piece in itertools.chain([begun.encode()], itertools.repeat(b"y" * 65_536)):
        assert not reader.gives_up
        reader.feed(2.0, piece)
        fed += len(piece)
        if fed > LONGEST:
            break
    assert reader.gives_up
    reader.end(3.0)
    answer = reader.answer(None)
    assert (answer.failure.kind, answer.failure.message) == ("malformed", "an event or answer of more than 16 MiB")
    assert answer.chunk_texts == (("before",) if begun[0] != "{" else ())


def test_a_long_event_in_many_pieces_takes_time_by_its_length():
    piece, reader, began_s = b"y" * 500, AnswerReader(), time.process_time()
    reader.feed(1.0, b'data: {"choices": [{"delta": {"content": "')
    for _ in range(16_000):
        reader.feed(1.0, piece)
    reader.feed(2.0, b'"}, "finish_reason": "stop"}]}\n')
    reader.feed(3.0, b"\n")
    assert time.process_time() - began_s < 5  # a minute, were what has come copied with every piece
    assert reader.answer(None).chunk_texts == ("y" * 8_000_000,)


STREAM = (
    chat({"role": "assistant", "content": ""})
    + ": ping\r\n\r\n"
    + said("Grüße ", token_ids=[1])
    + said("€😀", token_ids=[2, 3]).replace("\n", "\r\n")
    + 'data: {"choices": [\rdata: {"delta": {"content": "x"}}]}\r\r'
    + chat({}, "length")
    + event(choices=[], usage=usage(3, 4))
    + DONE
)
ENDINGS = ["", event(error="no"), "data: no JSON\n\n", 'data: {"choices"']


@given(
    ending=st.sampled_from(ENDINGS),
    length=st.integers(0, len(STREAM.encode())),
    cuts=st.sets(st.integers(0, len(STREAM.encode()) + 40), max_size=60),
)
def test_the_packets_that_a_stream_is_cut_into_make_no_difference(ending, length, cuts):
    stream = STREAM.encode()[:length] + ending.encode()
    marks = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    whole, cut = AnswerReader(), AnswerReader()
    whole.feed(1.0, stream)
    for start, end in itertools.pairwise(marks):
        cut.feed(1.0, stream[start:end])
    whole.end(1.0)
    cut.end(1.0)
    assert cut.answer(None) == whole.answer(None)


@given(
    noise=st.binary(max_size=300),
    start=st.integers(0, len(STREAM.encode())),
    length=st.integers(0, len(STREAM.encode())),
)
def test_of_any_bytes_the_reader_makes_an_answer_with_a_time_for_each_chunk(noise, start, length):
    stream = STREAM.encode()
    reader = AnswerReader()
    reader.feed(1.0, stream[:start] + noise + stream[start + length :])
    reader.end(2.0)
    answer = reader.answer(None)
    assert len(answer.chunk_times_s) == len(answer.chunk_texts) == len(answer.chunk_tokens)
    assert set(answer.chunk_times_s) <= {1.0, 2.0}
