"""Latencies and counts out of a process's columns are those of its requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measurements import OPENED_S, batch, process_measurement

from labledger.schema_versions import parse_record
from llenergymeasure.domain.experiment import RawProcessResult
from llenergymeasure.domain.figures import WarmupResult
from llenergymeasure.domain.requests import Batch, RequestRecord
from llenergymeasure.metrics.latency import (
    e2e_ms,
    latency_intervals_of,
    latency_stats,
    latency_stats_of,
    served,
    tpot_ms,
    ttft_ms,
)
from llenergymeasure.metrics.steady_state import Window, choose_window, full_batches_span
from llenergymeasure.metrics.summary import latency_intervals, raw_result, summarise, totals
from llenergymeasure.results.aggregation import aggregate_results
from properties import examples

SETTLED = WarmupResult(converged=True, final_cv=0.01, iterations_completed=5, target_cv=0.05, max_prompts=20)
STEPS_MS = st.integers(1, 400)
SEED = 42


def kept(one):
    """The raw result of a measurement, as a file gives it back."""
    return parse_record(RawProcessResult, raw_result(one).model_dump_json().encode(), "a file")[0]


@st.composite
def batches(draw, opened_s, counts):
    """One after the other; of each, requests that end at different steps, or are over at the last of all."""
    found, now_ms = [], draw(st.integers(0, 300))
    for _ in range(draw(counts)):
        start_ms, times_s = now_ms, []
        for step_ms in draw(st.lists(STEPS_MS, min_size=1, max_size=6)):
            now_ms += step_ms
            times_s.append(opened_s + now_ms / 1e3)
        lengths = draw(st.lists(st.integers(1, len(times_s)), min_size=1, max_size=4))
        start_s = opened_s + start_ms / 1e3
        ended_s = draw(st.sampled_from([None, times_s[-1]]))
        requests = [
            RequestRecord(row, 7, n, start_s, tuple(times_s[:n]), "stop", ended_s) for row, n in enumerate(lengths)
        ]
        found.append(Batch(start_s, times_s[-1], tuple(requests), 7, tuple(times_s), draw(st.booleans())))
        now_ms += draw(st.integers(0, 50))
    return found


@st.composite
def measurements(draw, counts, index=0):
    """A measurement of random batches; its figures are of the whole, of a steady state or of a window."""
    opened_s = draw(st.floats(0, 1e7))
    found = draw(batches(opened_s, counts))
    closed_s = found[-1].end_s + draw(st.integers(0, 500)) / 1e3
    asked = None
    if draw(st.booleans()):
        start_ms = draw(st.integers(0, 2000))
        asked = (start_ms / 1e3, (start_ms + draw(st.integers(10, 3000))) / 1e3)
    warmup = draw(st.sampled_from([None, SETTLED]))
    window = choose_window(asked, warmup, full_batches_span(found), opened_s, closed_s)
    return process_measurement(index, late_s=opened_s - OPENED_S, batches=found, window=window)


@given(measurements(st.integers(1, 8)))
def test_latencies_and_counts_of_the_columns_are_those_of_the_requests(one):
    counted, requests = totals(one.batches, one.window, one.model), served(kept(one))
    assert len(requests) == sum(len(each.requests) for each in one.batches)
    assert sum(request.ended_inside for request in requests) == counted.completed
    assert sum(request.inside for request in requests) == len(counted.requests)
    assert latency_stats_of(requests) == latency_stats(counted.requests).model_copy(update={"itl_ms": None})


@given(measurements(st.integers(1, 5)))
def test_the_result_of_one_process_is_the_same_put_together_as_summarised(one):
    alone = summarise(one)
    result = aggregate_results([kept(one)], "e1", "0123456789abcdef")
    assert result.latency_stats == alone.latency_stats.model_copy(update={"itl_ms": None})
    assert result.requests_per_second == pytest.approx(alone.requests_per_second, rel=1e-4)  # time is in microseconds
    assert result.total_inference_time_sec == pytest.approx(alone.total_inference_time_sec, abs=2e-6)
    assert (result.total_tokens, result.output_tokens) == (alone.total_tokens, alone.output_tokens)


@given(measurements(st.integers(1, 5)), measurements(st.integers(1, 5), index=1))
def test_percentiles_of_two_processes_are_of_all_of_their_requests(first, second):
    inside = [request for one in (first, second) for request in totals(one.batches, one.window, one.model).requests]
    requests = served(kept(first)) + served(kept(second))
    assert latency_stats_of(requests) == latency_stats(inside).model_copy(update={"itl_ms": None})


@examples(10)
@given(measurements(st.integers(28, 34)))
def test_intervals_of_the_columns_are_those_of_the_requests(one):
    counted = totals(one.batches, one.window, one.model)
    expected = latency_intervals(one.batches, counted.requests, SEED)
    assert latency_intervals_of(served(kept(one)), SEED) == expected


@pytest.mark.parametrize(
    ("window", "ended", "inside"),
    [
        (Window("total", 100.0, 108.0), 8, 8),
        (Window("steady_state", 100.0, 106.0), 6, 6),
        (Window("windowed", 101.0, 106.5), 6, 4),
        (Window("windowed", 100.5, 101.5), 0, 0),
    ],
    ids=["all", "whole batches", "a batch cut at the start", "nothing whole"],
)
def test_each_kind_of_window_counts_what_ended_in_it_and_takes_latencies_of_what_began_there_too(window, ended, inside):
    one = process_measurement(0, batches=[batch(100.0 + 2 * number) for number in range(4)], window=window)
    requests = served(kept(one))
    assert (sum(each.ended_inside for each in requests), sum(each.inside for each in requests)) == (ended, inside)


@pytest.mark.parametrize(
    ("start_s", "end_s", "inside"),
    [
        (100.0 + 5e-7, 102.0 - 5e-7, True),
        (100.0 + 3e-6, 102.0, False),
        (100.0, 102.0 - 3e-6, False),
    ],
    ids=["within a microsecond", "begun before", "ended after"],
)
def test_the_edges_of_a_window_are_sure_to_a_microsecond(start_s, end_s, inside):
    one = process_measurement(0, batches=[batch(100.0, rows=1)], window=Window("windowed", start_s, end_s))
    assert [request.inside for request in served(kept(one))] == [inside]


def test_each_request_has_its_latencies():
    one = process_measurement(0, batches=[batch(100.0, rows=1), batch(102.0, rows=1, tokens_s=(0.25,))])
    requests = [request for each in one.batches for request in each.requests]
    assert [(each.ttft_ms, each.e2e_ms, each.tpot_ms) for each in served(kept(one))] == [
        (ttft_ms(request), e2e_ms(request), tpot_ms(request)) for request in requests
    ]
    assert [each.tpot_ms for each in served(kept(one))] == [750.0, None]


def test_requests_of_a_result_that_does_not_say_when_its_window_began_are_all_in_it():
    raw = kept(process_measurement(0, window=Window("windowed", 103.0, 103.5)))
    assert not any(request.ended_inside for request in served(raw))
    unknown = served(raw.model_copy(update={"window_start_s": None}))
    assert len(unknown) == 4
    assert all(request.inside for request in unknown)
    assert served(raw.model_copy(update={"requests": None})) == []


def test_batches_of_two_processes_that_began_at_the_same_moment_are_two():
    def process(index, slower_s):
        return [batch(100.0 + 2 * n, tokens_s=(0.5, 1.0, 1.5 + slower_s + n / 100)) for n in range(15)]

    raws = [kept(process_measurement(index, batches=process(index, index / 10))) for index in (0, 1)]
    requests = [request for raw in raws for request in served(raw)]
    assert latency_intervals_of(requests, SEED)["latency_stats.e2e_ms.mean"].n == 30
    assert latency_intervals_of(served(raws[0]), SEED) == {}


def test_time_per_token_ends_with_the_last_token_and_not_with_the_reason_for_the_end():
    told_at_once, told_later = (
        process_measurement(0, batches=[Batch(100.0, 101.3, (one,), 7, (101.3,), full=True)])
        for one in (RequestRecord(0, 7, 3, 100.0, (100.5, 100.6, 100.7), "stop", ended_s) for ended_s in (None, 101.3))
    )
    for one, e2e, column in ((told_at_once, 700, []), (told_later, 1300, [600])):
        raw = kept(one)
        assert raw.requests.after_last_token_ms == pytest.approx(column)
        for stats in (summarise(one).latency_stats, latency_stats_of(served(raw))):
            assert stats.tpot_ms.mean == pytest.approx(100)
            assert stats.e2e_ms.mean == pytest.approx(e2e)
