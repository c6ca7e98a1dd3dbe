"""The mark of a run: its prompts begin otherwise than those of every other run, and are as long."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_config

from llenergymeasure.domain.beginnings import PROMPT_MARKS, words_of
from llenergymeasure.workload.prompts import build_requests

MARKS = st.lists(st.integers(0, PROMPT_MARKS - 1), min_size=2, max_size=4, unique=True)
LENGTHS = {"input_len": {"distribution": "uniform", "min": 20, "max": 40}, "output_len": 3, "shared_prefix": 0.5}


@given(MARKS)
def test_texts_of_different_marks_begin_differently_with_as_many_words(marks):
    requests = [build_requests(tiny_config(), ["one", "two"], (), mark) for mark in marks]
    assert len({each[0].prompt for each in requests}) == len(marks)
    assert {tuple(len(each.prompt.split()) for each in of_mark) for of_mark in requests} == {(7, 7)}
    assert [[each.prompt for each in of_mark] for of_mark in requests] == [
        [words_of(mark) + "one", words_of(mark) + "two"] for mark in marks
    ]


@given(MARKS)
def test_drawn_tokens_of_different_marks_share_no_beginning_and_have_the_same_lengths(marks):
    config = tiny_config(dataset={"synthetic": LENGTHS}, max_input_tokens=None, max_output_tokens=None)
    unmarked = build_requests(config, [], range(10_000))
    drawn = [build_requests(config, [], range(10_000), mark) for mark in marks]
    for one, other in pairwise([unmarked, *drawn]):
        assert [len(each.token_ids) for each in one] == [len(each.token_ids) for each in other]
        assert not {each.token_ids[:4] for each in one} & {each.token_ids[:4] for each in other}
    assert build_requests(config, [], range(10_000), marks[0]) == drawn[0]
