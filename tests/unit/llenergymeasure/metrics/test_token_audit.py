"""The audit of token counts in a result: verdict, warnings, source, columns; of one process, of two, and recovered."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measurements import batch, gpu_energy, make_part, merged, process_measurement
from unfinished_runs import answer, leave_journal

from llenergymeasure import ExperimentResult
from llenergymeasure.domain.experiment import RequestColumns
from llenergymeasure.domain.power import DeviceWatch
from llenergymeasure.metrics.latency import request_columns
from llenergymeasure.metrics.steady_state import Window
from llenergymeasure.metrics.summary import summarise
from llenergymeasure.metrics.token_audit import (
    counted_columns,
    counted_requests,
    token_audit,
    token_reasons,
    weakest_source,
)
from llenergymeasure.results.aggregation import aggregate_results
from llenergymeasure.results.flat import flat_row
from llenergymeasure.results.journal_recovery import read_journal

SERVED = {"counted_by": "server", "is_audited": True}
NO_TOKENIZER = "m is neither a folder here nor in the hub's cache"


def audited(batches, *each):
    """These batches, of one request each, with the audit of each."""
    return [
        replace(one, requests=tuple(replace(request, **(SERVED | changes)) for request in one.requests))
        for one, changes in zip(batches, each, strict=True)
    ]


def batches(*each, tokens=100):
    times_s = tuple(0.5 + number / tokens for number in range(tokens))
    return audited([batch(100.0 + 2 * number, rows=1, tokens_s=times_s) for number in range(len(each))], *each)


def served(*each, index=0, **fields):
    """The part of a process on a sure GPU, whose requests of a hundred tokens have these audits."""
    known = {"energy": {"watches": [DeviceWatch(f"GPU-{index}", index=index, ticks=99)]}}
    devices = [gpu_energy(index, 600.0, edge_j=0.5, gain_j=1.0)]
    return make_part(index, gpu=index, devices=devices, batches=batches(*each), **(known | fields))


def disputed(tokens, kind="tokenizer_differs", **changes):
    return {"findings": (kind,), "disputed_output_tokens": tokens, **changes}


def test_counts_that_agree_leave_the_verdict_as_it_is():
    result = served({}, {})
    assert (result.verdict, result.verdict_reasons, result.token_count_source) == ("valid", [], "server")
    audit = result.token_audit
    assert (audit.requests_checked, audit.requests_agreeing, audit.findings) == (2, 2, {})
    assert (audit.output_tokens_in_dispute, audit.input_tokens_in_dispute) == (0, 0)
    assert result.cached_input_tokens is None
    assert audit.described == "2 of 2 answers agree"


def test_more_than_one_percent_of_tokens_in_dispute_is_invalid_and_one_percent_is_a_warning():
    result = served(disputed(2), {})
    assert result.verdict == "valid"
    assert any("2 output tokens are in dispute, 1.0% of the 200" in each for each in result.measurement_warnings)
    result = served(disputed(3), {})
    assert result.verdict == "invalid"
    (reason,) = result.verdict_reasons
    assert "3 output tokens are in dispute, 1.5% of the 200 of these answers, over 1%" in reason
    assert "1 tokenizer_differs" in reason
    assert (result.token_audit.requests_agreeing, result.token_audit.output_tokens_in_dispute) == (1, 3)


def test_tokens_in_dispute_are_invalid_where_energy_was_not_measured_too():
    result = make_part(0, batches=batches(disputed(50), {}))
    assert result.verdict == "invalid"
    assert "energy is" in result.verdict_reasons[0]
    assert "in dispute" in result.verdict_reasons[1]


def test_no_token_at_all_and_some_in_dispute_is_invalid():
    nothing = {"output_tokens": 0, "token_times_s": (), "ended_s": 101.0}
    result = served(disputed(20, "shorter_than_asked", **nothing))
    assert result.verdict == "invalid"
    assert "and none is counted" in result.verdict_reasons[0]


def test_the_source_is_the_weakest_of_all_requests():
    order = [("server", "server"), ("tokenizer", "tokenizer"), ("chunks", "chunks"), (None, None)]
    for number, (added, weakest) in enumerate(order):
        assert weakest_source([source for source, _ in order[: number + 1]]) == weakest, added
    assert served({}, {"counted_by": "chunks"}, {"counted_by": "tokenizer"}).token_count_source == "chunks"  # noqa: S105


def served_with(**changes):
    return served({}, changes)


def test_tokens_that_nothing_tells_are_null_with_a_warning_and_all_that_rests_on_them():
    unknown = {"output_tokens": None, "token_times_s": (), "ended_s": 103.0, "counted_by": None}
    result = served({}, {**unknown, "findings": ("usage_missing",)})
    assert result.output_tokens is result.total_tokens is result.energy_per_output_token_j is None
    assert result.output_tokens_per_second is result.token_count_source is None
    assert result.input_tokens == 20
    assert any("The output tokens are unknown: 1 of 2 answers" in each for each in result.measurement_warnings)
    result = served_with(input_tokens=None)
    assert result.input_tokens is result.total_tokens is result.avg_energy_per_token_j is None
    assert result.output_tokens == 200
    assert any("The input tokens are unknown" in each for each in result.measurement_warnings)


def test_an_unknown_prompt_leaves_no_operations_that_are_counted_without_it():
    known = batches({}, {})
    unknown = [known[0], replace(known[1], padded_input_tokens=None)]
    assert make_part(0, batches=known).total_flops > 0
    assert make_part(0, batches=unknown).total_flops is None


def test_cached_prompts_are_summed_and_over_a_twentieth_of_them_is_a_warning():
    def warned(result):
        return [each for each in result.measurement_warnings if "prefix cache" in each]

    result = served({"cached_input_tokens": 1}, {})
    assert (result.cached_input_tokens, warned(result)) == (1, [])
    result = served({"cached_input_tokens": 2, "findings": ("cached",)}, {})
    assert result.cached_input_tokens == 2
    assert "2 of 20 input tokens (10.0%)" in warned(result)[0]
    assert result.token_audit.requests_agreeing == 2


def test_a_remark_on_the_parts_is_a_disagreement_only_where_it_leaves_tokens_in_dispute():
    remark = {"findings": ("parts_do_not_add",)}
    assert served(remark, {}).token_audit.requests_agreeing == 2
    assert served({**remark, "disputed_output_tokens": 1}, {}).token_audit.requests_agreeing == 1


@pytest.mark.parametrize(
    ("window", "checked", "disputed_tokens"),
    [((101.6, 106.0), 2, 0), ((100.9, 101.2), 1, 50), ((101.2, 102.9), 2, 50), ((101.6, 102.4), 0, 0)],
    ids=["ended before it", "ended after it", "one before and one after", "between two"],
)
def test_the_audit_is_of_every_request_with_a_token_in_the_window(window, checked, disputed_tokens):
    result = served(disputed(50), {}, {}, window=Window("windowed", *window))
    assert (result.output_tokens > 0) == (checked > 0)
    assert (result.token_audit.requests_checked if result.token_audit else 0) == checked
    assert (result.token_audit.output_tokens_in_dispute if result.token_audit else 0) == disputed_tokens
    assert result.verdict == ("invalid" if disputed_tokens else "valid")


def test_a_request_that_straddles_the_window_is_audited_late_as_it_is_at_once():
    straddling = served(disputed(50, counted_by="chunks"), {}, window=Window("windowed", 100.9, 101.2))
    assert (straddling.token_audit.requests_checked, straddling.token_count_source) == (1, "chunks")
    late = aggregate_results([straddling.process_results[0]], "e1", "0" * 16)
    for name in ("token_audit", "token_count_source", "verdict"):
        assert getattr(late, name) == getattr(straddling, name), name


def test_a_request_without_a_token_in_the_window_does_not_weaken_the_source():
    result = served({"counted_by": "chunks"}, {}, window=Window("windowed", 101.9, 106.0))
    assert result.token_count_source == "server"  # noqa: S105


def test_tokens_that_were_counted_here_are_not_audited():
    result = make_part(0)
    assert (result.token_audit, result.token_count_source) == (None, "tokenizer")
    columns = result.process_results[0].requests
    assert columns.counted_by == columns.findings == columns.disputed_output_tokens == []


def test_why_the_tokenizer_did_not_count_is_said_unless_it_has_counted_all():
    audit = served({}, tokenizer_unavailable=NO_TOKENIZER).token_audit
    assert (audit.requests_counted_by_tokenizer, audit.tokenizer_unavailable) == (None, NO_TOKENIZER)
    audit = served({"counted_by_tokenizer": True}, {}, tokenizer_unavailable=NO_TOKENIZER).token_audit
    assert (audit.requests_counted_by_tokenizer, audit.tokenizer_unavailable) == (1, NO_TOKENIZER)
    assert served({"counted_by_tokenizer": True}).token_audit.tokenizer_unavailable is None


def test_a_row_of_a_table_has_the_audit_in_words_and_the_tokens_in_dispute():
    row = flat_row(served(disputed(30), {}))
    assert row["token_audit"] == "1 of 2 answers agree; 1 tokenizer_differs; 30 output tokens in dispute"  # noqa: S105
    assert row["output_tokens_in_dispute"] == 30
    assert row["token_count_source"] == "server"  # noqa: S105
    assert flat_row(make_part(0))["token_audit"] is None


TWO = (
    (disputed(40, counted_by="tokenizer", counted_by_tokenizer=True), {"cached_input_tokens": 9}),
    ({}, {"findings": ("prompt_truncated", "cached"), "disputed_input_tokens": 5, "cached_input_tokens": 1}),
)


def test_one_audit_is_made_of_those_of_several_processes():
    first, second = (served(*each, index=index) for index, each in enumerate(TWO))
    second = second.model_copy(
        update={"token_audit": second.token_audit.model_copy(update={"tokenizer_unavailable": NO_TOKENIZER})}
    )
    result = merged(first, second)
    audit = result.token_audit
    assert (audit.requests_checked, audit.requests_agreeing) == (4, 2)
    assert audit.findings == {"tokenizer_differs": 1, "prompt_truncated": 1, "cached": 1}
    assert (audit.output_tokens_in_dispute, audit.input_tokens_in_dispute) == (40, 5)
    assert (audit.requests_counted_by_tokenizer, audit.tokenizer_unavailable) == (1, NO_TOKENIZER)
    assert (result.token_count_source, result.cached_input_tokens) == ("tokenizer", 10)
    assert result.verdict == "invalid"
    assert any("40 output tokens are in dispute, 10.0% of the 400" in each for each in result.verdict_reasons)


def test_results_that_are_aggregated_late_have_the_same_audit_and_verdict():
    parts = [served(*each, index=index) for index, each in enumerate(TWO)]
    raws = [part.process_results[0] for part in parts]
    late, at_once = aggregate_results(raws, "e1", "0" * 16), merged(*parts)
    for name in ("token_audit", "token_count_source", "cached_input_tokens", "verdict"):
        assert getattr(late, name) == getattr(at_once, name), name


def test_a_process_that_is_merged_alone_keeps_its_audit_verdict_and_reasons():
    part = served(*TWO[0])
    alone = merged(part)
    for name in ("token_audit", "token_count_source", "cached_input_tokens", "verdict", "verdict_reasons"):
        assert getattr(alone, name) == getattr(part, name), name


def test_unknown_tokens_of_one_process_are_unknown_of_all_and_nothing_fails():
    result = merged(served({}), served({"input_tokens": None}, index=1))
    assert result.input_tokens is result.total_tokens is None
    assert result.output_tokens == 200


def test_the_requests_of_a_killed_process_keep_their_audit(tmp_path):
    def told(index, **changes):
        one = answer(index, 0.0, 2.0)
        return replace(one, requests=(replace(one.requests[0], **(SERVED | changes)),))

    path = leave_journal(tmp_path, told(0), told(1, **disputed(4)), told(2, counted_by=None, output_tokens=None))
    raw = read_journal(path).raw
    assert raw.requests.counted_by == ["server", "server", None]
    assert raw.requests.findings == ["", "tokenizer_differs", ""]
    assert raw.requests.disputed_output_tokens == [0, 4, 0]
    assert raw.requests.cached_input_tokens == []
    assert raw.inference_metrics.output_tokens is None
    assert token_audit(list(counted_columns(raw.requests))).findings == {"tokenizer_differs": 1}


def test_a_journal_of_requests_that_were_counted_here_has_no_columns_of_an_audit(tmp_path):
    columns = read_journal(leave_journal(tmp_path, answer(0, 0.0, 2.0))).raw.requests
    assert columns.counted_by == columns.findings == []


AUDITS = st.fixed_dictionaries(
    {},
    optional={
        "findings": st.lists(st.sampled_from(["cached", "bundled", "tokenizer_differs"]), unique=True).map(tuple),
        "disputed_output_tokens": st.integers(0, 200),
        "disputed_input_tokens": st.integers(0, 9),
        "cached_input_tokens": st.integers(0, 10),
        "counted_by": st.sampled_from(["server", "tokenizer", "chunks"]),
        "counted_by_tokenizer": st.booleans(),
    },
)


@given(st.lists(AUDITS, min_size=1, max_size=5))
def test_columns_give_back_the_counts_that_they_were_made_of(each):
    requests = [request for one in batches(*each, tokens=3) for request in one.requests]
    columns = request_columns(requests, 0.0)
    again = RequestColumns.model_validate_json(columns.model_dump_json())
    assert list(counted_columns(again)) == counted_requests(requests)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8))
def test_the_verdict_turns_just_above_one_percent_in_dispute(each):
    requests = counted_requests(
        request for one in batches(*map(disputed, each), tokens=100) for request in one.requests
    )
    assert bool(token_reasons(requests)) == (sum(each) > len(each))


def test_a_result_with_an_audit_comes_back_from_its_file(tmp_path):
    result = served(*TWO[0])
    path = result.save(tmp_path)
    again = ExperimentResult.from_json(path)
    assert again.token_audit == result.token_audit
    assert again.process_results[0].requests == result.process_results[0].requests


@pytest.mark.parametrize("absent", ["counted_by", "findings"])
def test_columns_of_an_audit_that_are_missing_are_no_error(absent):
    part = served(*TWO[0])
    raw = part.process_results[0]
    columns = raw.requests.model_copy(update={absent: []})
    assert aggregate_results([raw.model_copy(update={"requests": columns})], "e1", "0" * 16).output_tokens == 200


def test_phases_of_unknown_tokens_are_unknown():
    energy = {"prefill": [gpu_energy(0, 20.0, edge_j=0.5)], "decode": [gpu_energy(0, 40.0, edge_j=0.5)]}
    known = process_measurement(0, gpu=0, devices=[gpu_energy(0, 60.0, edge_j=0.5)], batches=batches({}), energy=energy)
    assert summarise(known).energy_decode_j == 40.0
    unknown = summarise(replace(known, batches=batches({"input_tokens": None})))
    assert unknown.energy_decode_j is None
    assert any("so are the tokens of some requests" in each for each in unknown.measurement_warnings)
