"""Reasons for the end of an answer: a server that gave up has not finished it, in whatever words it says so."""

from collections import Counter

import pytest

from llenergymeasure.backends.openai.client.records import Answer, ServedRequest
from llenergymeasure.backends.openai.load.collector import ResponseCollector
from llenergymeasure.backends.openai.load.finish_reasons import is_given_up, is_known, odd_reasons_remark
from llenergymeasure.domain.requests import Batch, Request


@pytest.mark.parametrize(
    "reason",
    [
        *("insufficient_system_resource", "network_error", "canceled", "CANCELLED", "cancel", "failed", "ERROR"),
        *("server_error", "timeout", "timed_out", "TIME_LIMIT", "Aborted", "abort", "interrupted", "overloaded"),
        *("internal_error", "preempted", "ERROR_LIMIT", "userStopped", "connection closed", " Error: CUDA "),
    ],
)
def test_a_reason_that_speaks_of_failure_in_any_spelling_is_no_finish(reason):
    assert is_given_up(reason)
    assert is_known(reason)


@pytest.mark.parametrize(
    "reason",
    [
        *("stop", "length", "STOP", "MAX_TOKENS", "tool_calls", "function_call", "content_filter", "eos", "eos_token"),
        *("end_turn", "stop_sequence", "model_length", "COMPLETE", "ERROR_TOXIC", "SAFETY", "eos_token: <|im_end|>"),
        *("not given", "stopStringFound", "pause_turn"),
    ],
)
def test_a_reason_with_which_models_end_is_a_finish(reason):
    assert not is_given_up(reason)
    assert is_known(reason)


def test_an_answer_with_a_reason_that_nobody_knows_is_finished_and_its_reason_is_told():
    collector = ResponseCollector([Request(index, "Hi", None, 8) for index in range(4)], in_chat=True)
    for index, reason in enumerate(["OTHER", "stop", "Aborted", None]):
        collector.ended(ServedRequest(index, 0.0, 0.0, 2.0, Answer((1.0,), ("x",), (None,), reason, 2.0, True, None)))
    records = list(collector.records())
    assert [isinstance(record, Batch) for record in records] == [True, True, False, True]
    assert (records[2].kind, records[2].message) == ("server_error", "the server gave up: finish_reason Aborted")
    assert collector.odd_reasons == {"OTHER": 1}


def test_the_remark_on_unknown_reasons_names_the_most_frequent():
    assert odd_reasons_remark(Counter({"a": 2, "b": 1}), 9) == (
        "3 of 9 answers ended with a finish_reason that is not known here (2 a, 1 b): they are taken to be finished; "
        "look up what the server means by it."
    )
    assert "(1 0, 1 1, 1 2 and 4 other reasons)" in odd_reasons_remark(Counter(map(str, range(7))), 7)
