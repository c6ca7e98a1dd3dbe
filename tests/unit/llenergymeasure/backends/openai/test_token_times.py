"""The times of tokens: each its chunk's, and unknown, with the reason, where nobody knows which came with which."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llenergymeasure.backends.openai.client.records import Answer, ServedRequest, Usage
from llenergymeasure.backends.openai.load.token_times import token_times


def served(times_s, counted=None, reason="length", streamed=True, finished_s=9.0, **further):
    """A request whose text came at these times, with these tokens if the server counted them."""
    counted = tuple(counted) if counted is not None else (None,) * len(times_s)
    answer = Answer(tuple(times_s), ("x",) * len(times_s), counted, reason, finished_s, streamed, None, **further)
    return ServedRequest(0, 0.0, 0.0, finished_s, answer)


def test_where_every_chunk_is_a_token_each_has_its_time():
    assert token_times(served([1.0, 2.0, 3.0]), Usage(5, 3)) == ((1.0, 2.0, 3.0), 1, True, None)
    with_end = token_times(served([1.0, 2.0, 3.0], reason="stop"), Usage(5, 4))
    assert with_end == ((1.0, 2.0, 3.0, 9.0), 1, True, None)


def test_tokens_that_the_server_counted_with_each_chunk_came_with_it():
    times = token_times(served([1.0, 2.0, 3.0], [10, 1, 2]), Usage(5, 13))
    assert times == ((1.0,) * 10 + (2.0, 3.0, 3.0), 10, False, "bundled")


def test_of_tokens_that_nobody_counted_none_is_known_to_have_come_later():
    times = token_times(served([float(number) for number in range(11)]), Usage(5, 20))
    assert (times.first, times.exact, times.untimed) == (20, False, "uncounted")
    assert len(times.times_s) == 20


def test_those_of_the_first_text_are_known_where_the_server_counted_them_alone():
    times = token_times(served([1.0, 2.0, 3.0], [4, None, None]), Usage(5, 10))
    assert (times.first, times.exact, times.untimed) == (4, False, "bundled")


@pytest.mark.parametrize(("extra", "first"), [(2, 1), (3, 103)])
def test_a_few_tokens_that_came_beside_others_move_no_mean_time(extra, first):
    times = token_times(served([0.1 * number for number in range(100)]), Usage(5, 100 + extra))
    assert (times.first, times.exact) == (first, False)


def test_text_in_more_pieces_than_tokens_has_no_token_times():
    times = token_times(served([1.0, 2.0, 3.0, 4.0]), Usage(5, 2))
    assert (times.first, times.exact, times.untimed) == (1, False, "cut_anew")


@pytest.mark.parametrize("tokens", [80, 96, 120, 125])
def test_nearly_as_many_chunks_as_the_tokenizer_counts_are_tokens(tokens):
    times = token_times(served([0.1 * number for number in range(100)]), Usage(5, tokens), is_recount=True)
    assert (times.first, times.exact) == (1, False)


def test_tokens_that_the_tokenizer_counts_in_fewer_chunks_came_together():
    times = token_times(served([0.1 * number for number in range(100)]), Usage(5, 126), is_recount=True)
    assert (times.first, times.untimed) == (126, "uncounted")


def test_hidden_reasoning_came_before_the_first_text():
    times = token_times(served([1.0, 2.0]), Usage(5, 202, 200))
    assert times == ((1.0,) * 201 + (2.0,), 201, True, None)


def test_tokens_without_text_or_in_one_piece_have_no_time_and_the_reason():
    assert token_times(served([]), Usage(5, 3)) == ((9.0,) * 3, 3, False, "no_text")
    assert token_times(served([8.0], streamed=False), Usage(5, 3)) == ((9.0,) * 3, 3, False, "one_piece")


@pytest.mark.parametrize(("finished_s", "exact"), [(4.0, True), (3.6, True), (3.01, False), (3.0, False)])
def test_a_token_more_than_chunks_is_the_end_only_where_the_end_came_as_late_as_a_token(finished_s, exact):
    """It may as well have come with another: of few, one beside others moves the mean."""
    times = token_times(served([1.0, 2.0, 3.0], reason="stop", finished_s=finished_s), Usage(5, 4))
    assert (times.exact, times.untimed) == ((True, None) if exact else (False, "uncounted"))
    assert times.first == (1 if exact else 4)
    by_list = token_times(served([1.0, 2.0, 3.0], [1, 1, 1], "stop", finished_s=finished_s), Usage(5, 4))
    assert (by_list.exact, by_list.first) == ((True, 1) if exact else (False, 4))


def test_times_follow_the_servers_list_even_where_there_are_as_many_chunks_as_tokens():
    by_list = token_times(served([1.0, 1.1, 1.2, 2.0, 3.0], [3, 0, 0, 1, 1]), Usage(5, 5))
    assert by_list == ((1.0, 1.0, 1.0, 2.0, 3.0), 3, False, "bundled")
    first_alone = token_times(served([1.0, 2.0, 3.0], [3, None, None]), Usage(5, 3))
    assert (first_alone.first, first_alone.untimed) == (3, "bundled")


def test_counts_of_chunks_that_are_not_the_count_of_the_whole_time_nothing():
    assert token_times(served([1.0, 2.0], [2, 2]), Usage(5, 2))[1:] == (2, False, "disputed")
    assert token_times(served([1.0, 2.0], [1, 1]), Usage(5, 6))[1:] == (6, False, "disputed")


def test_chunks_in_one_packet_have_one_time_and_no_gap_between_them():
    pairs = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    assert token_times(served(pairs), Usage(5, 6)) == (tuple(pairs), 2, False, "one_packet")
    assert token_times(served([1.0, 2.0, 2.0, 3.0]), Usage(5, 4)) == ((1.0, 2.0, 2.0, 3.0), 1, True, None)
    at_once = token_times(served([9.0, 9.0, 9.0]), Usage(5, 3))
    assert (at_once.first, at_once.untimed) == (3, "one_packet")


def test_tokens_whose_chunks_had_no_text_are_told_from_those_that_came_with_others():
    assert token_times(served([1.0, 2.0], empty_chunks=2), Usage(5, 4))[1:] == (4, False, "without_text")
    assert token_times(served([1.0, 2.0], empty_chunks=1), Usage(5, 9))[1:] == (9, False, "uncounted")
    listed = token_times(served([1.0, 3.0], [1, 2], empty_chunks=2), Usage(5, 4))
    assert listed == ((1.0, 3.0, 3.0, 9.0), 1, False, "without_text")


def test_several_answers_at_once_have_no_token_times():
    times = token_times(served([1.0, 1.1, 2.0, 2.1], has_several_choices=True), Usage(5, 4))
    assert times[1:] == (4, False, "several_choices")


def test_hidden_reasoning_may_be_in_the_count_of_the_first_chunk():
    listed = token_times(served([1.0, 2.0], [201, 1]), Usage(5, 202, 200))
    assert listed == ((1.0,) * 201 + (2.0,), 201, True, None)


@given(
    chunks=st.integers(0, 30),
    tokens=st.integers(0, 60),
    hidden=st.integers(0, 60),
    counted=st.lists(st.none() | st.integers(0, 9), min_size=30, max_size=30),
    reason=st.sampled_from(["stop", "length"]),
    grain=st.sampled_from([1, 2, 9]),
    empty=st.integers(0, 3),
)
def test_every_token_has_a_time_within_the_answer_and_in_order(chunks, tokens, hidden, counted, reason, grain, empty):
    times_s = [1.0 + 0.1 * (number // grain) for number in range(chunks)]
    times = token_times(served(times_s, counted[:chunks], reason, empty_chunks=empty), Usage(5, tokens, hidden))
    assert len(times.times_s) == tokens
    assert list(times.times_s) == sorted(times.times_s)
    assert set(times.times_s) <= {*times_s, 9.0}
    assert times.exact == (times.untimed is None)
    assert 0 <= times.first <= max(tokens, 1)
