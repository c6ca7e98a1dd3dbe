"""One result from the raw results of several processes, and the runs that are recovered so."""

import json
import shutil
import warnings
from datetime import UTC, datetime, timedelta

import pytest

from labledger.schema_versions import SchemaVersionWarning
from llenergymeasure.domain.experiment import ExperimentResult, RawProcessResult, RequestColumns
from llenergymeasure.domain.figures import ComputeMetrics, EnergyMetrics, InferenceMetrics, Timestamps
from llenergymeasure.errors import ExperimentError
from llenergymeasure.results import catalog, complete_runs
from llenergymeasure.results.aggregation import (
    aggregate_results,
    expect_processes,
    mark_completed,
    validate_process_completeness,
)
from llenergymeasure.results.persistence import save_raw_result
from llenergymeasure.results.raw_results import load_raw_results
from llenergymeasure.results.recovery import aggregate, find_leftovers
from llenergymeasure.results.verification import verify

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def raw(index, *, begins_s=0.0, lasts_s=10.0, gpu_id="own", energy_j=50.0, latencies_ms=(100.0, 200.0)):
    start = START + timedelta(seconds=begins_s)
    return RawProcessResult(
        experiment_id="e1",
        process_index=index,
        gpu_id=index if gpu_id == "own" else gpu_id,
        config_name=None,
        model_name="gpt2",
        timestamps=Timestamps.from_times(start, start + timedelta(seconds=lasts_s)),
        inference_metrics=InferenceMetrics(
            total_tokens=100,
            input_tokens=60,
            output_tokens=40,
            inference_time_sec=lasts_s,
            tokens_per_second=100 / lasts_s,
            latency_per_token_ms=1.0,
        ),
        energy_metrics=EnergyMetrics(total_energy_j=energy_j, duration_sec=lasts_s),
        compute_metrics=ComputeMetrics(flops_total=1e9),
        per_request_latencies_ms=list(latencies_ms),
        requests=RequestColumns(
            input_tokens=[30, 30],
            output_tokens=[20, 20],
            start_s=[0.0, 0.0],
            ttft_ms=[5.0, 5.0],
            e2e_ms=list(latencies_ms),
            finish_reason=["length", "length"],
        ),
    )


def aggregated(*raws, **fields):
    return aggregate_results(raws, "e1", "0123456789abcdef", **fields)


def test_tokens_energy_and_operations_are_sums():
    result = aggregated(raw(0), raw(1))
    assert (result.total_tokens, result.input_tokens, result.output_tokens) == (200, 120, 80)
    assert (result.total_energy_j, result.total_flops) == (100.0, 2e9)
    assert result.energy_per_output_token_j == 100.0 / 80


def test_throughput_is_over_the_union_of_the_intervals():
    overlapping = aggregated(raw(0), raw(1, begins_s=5.0))
    apart = aggregated(raw(0), raw(1, begins_s=20.0))
    assert (overlapping.total_inference_time_sec, overlapping.avg_tokens_per_second) == (15.0, 200 / 15)
    assert (apart.total_inference_time_sec, apart.duration_sec) == (20.0, 30.0)
    assert any("do not overlap" in warning for warning in apart.aggregation.warnings)
    assert not apart.aggregation.temporal_overlap_verified


def test_percentiles_are_taken_once_of_all_latencies():
    result = aggregated(raw(0, latencies_ms=(1.0, 2.0)), raw(1, latencies_ms=(3.0, 100.0)))
    assert result.latency_stats.e2e_ms.n == 4
    assert result.latency_stats.e2e_ms.median == 2.5
    assert result.latency_stats.tpot_ms.n == 4


def test_one_unknown_energy_makes_the_sum_unknown():
    assert aggregated(raw(0), raw(1, energy_j=None)).total_energy_j is None


def test_a_shared_gpu_counts_once_and_is_warned_of():
    once = aggregated(raw(0, gpu_id=3), raw(1, gpu_id=3, energy_j=None))
    twice = aggregated(raw(0, gpu_id=3), raw(1, gpu_id=3))
    assert (once.total_energy_j, twice.total_energy_j) == (50.0, None)
    assert any("GPU 3" in warning for warning in once.aggregation.warnings)
    assert not once.aggregation.gpu_attribution_verified


def test_each_gpu_of_known_joules_is_reported_with_the_headline_of_all():
    found = aggregated(raw(0, energy_j=60.0), raw(1, energy_j=30.0)).multi_gpu
    assert (found.num_gpus, found.energy_per_gpu_j, found.gpu_uuids) == (2, [60.0, 30.0], None)
    assert (found.energy_total_j, found.energy_per_output_token_j) == (90.0, 90.0 / 80)
    partly = aggregated(raw(0, energy_j=60.0), raw(1, energy_j=None)).multi_gpu
    assert (partly.energy_per_gpu_j, partly.energy_total_j) == ([60.0, None], None)


@pytest.mark.parametrize(
    "raws",
    [
        [raw(0)],
        [raw(0, gpu_id=None), raw(1, gpu_id=None)],
        [raw(0, gpu_id=3), raw(1, gpu_id=3, energy_j=None)],
        [raw(0, energy_j=None), raw(1, energy_j=None)],
    ],
    ids=["one", "on a CPU", "on one GPU", "of unknown energy"],
)
def test_processes_that_are_not_on_several_gpus_of_known_joules_have_no_figures_of_several(raws):
    assert aggregated(*raws).multi_gpu is None


def without_requests(index, **fields):
    return raw(index, **fields).model_copy(update={"requests": None})


def test_latencies_without_requests_give_e2e_and_a_note_on_what_is_unknown():
    result = aggregated(without_requests(0, latencies_ms=(1.0, 2.0)), without_requests(1, latencies_ms=(3.0, 100.0)))
    assert (result.latency_stats.e2e_ms.n, result.latency_stats.e2e_ms.median) == (4, 2.5)
    assert result.latency_stats.ttft_ms is result.requests_per_second is result.energy_per_request_j is None
    (note,) = [text for text in result.aggregation.warnings if "requests" in text]
    assert note.startswith("the result of processes 0, 1 keeps no requests: E2E is of every request that finished")


def test_latencies_of_some_processes_stand_for_all_only_where_every_process_has_them():
    mixed = aggregated(raw(0, latencies_ms=(1.0, 2.0)), without_requests(1, latencies_ms=(3.0, 100.0)))
    assert (mixed.latency_stats.e2e_ms.n, mixed.latency_stats.ttft_ms, mixed.requests_per_second) == (4, None, None)
    lacking = aggregated(raw(0), without_requests(1, latencies_ms=()))
    assert lacking.latency_stats.e2e_ms is lacking.latency_stats.ttft_ms is lacking.requests_per_second is None
    assert any(text.startswith("the result of process 1 keeps no requests") for text in lacking.aggregation.warnings)


def test_requests_that_every_process_keeps_are_no_matter_for_a_note():
    assert not any("requests" in text for text in aggregated(raw(0), raw(1)).aggregation.warnings)


def test_results_of_two_schema_versions_in_memory_are_warned_of_once_with_what_one_of_them_lacks():
    old = without_requests(1).model_copy(update={"schema_version": "1.0", "compute_metrics": None})
    old = old.model_copy(update={"energy_metrics": EnergyMetrics(total_energy_j=5.0, duration_sec=None)})
    with pytest.warns(SchemaVersionWarning) as caught:
        aggregated(raw(0), old, old.model_copy(update={"process_index": 2}))
    assert [str(each.message) for each in caught] == [
        'Warning: Raw results have schema_version "1.0" (processes 1, 2) and "2.0" (process 0); current schema is '
        '"2.0".\n'
        "  Missing fields: [compute_metrics], [energy_metrics.duration_sec], [requests] → None\n"
        "  To rerun with updated schema: llem run experiment.yaml"
    ]
    assert caught[0].filename.endswith("test_aggregation.py")


def test_results_whose_schema_versions_have_the_same_numbers_are_of_one():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        aggregated(*(raw(n).model_copy(update={"schema_version": text}) for n, text in enumerate(["2.0", "2.0.0"])))


@pytest.mark.parametrize("version", ["1.0", "2.0", None])
def test_results_of_one_schema_version_are_not_warned_of_again(version):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = aggregated(*(raw(index).model_copy(update={"schema_version": version}) for index in (0, 1)))
    assert [each.schema_version for each in found.process_results] == [version, version]


def test_what_the_caller_knows_stands_over_what_is_computed():
    assert aggregated(raw(0), backend="openai", total_energy_j=7.0).total_energy_j == 7.0


def test_nothing_to_aggregate_is_an_error():
    with pytest.raises(ExperimentError, match="no process"):
        aggregated()


@pytest.fixture
def saved(tmp_path):
    """Save what is given, with a marker each."""

    def save(*raws, marked=True):
        for each in raws:
            save_raw_result(each, tmp_path)
            if marked:
                mark_completed(each, tmp_path)
        return tmp_path

    return save


def report(folder, raws, expected):
    return validate_process_completeness("e1", raws, expected, folder)


def test_all_there_with_their_markers_is_complete(saved):
    raws = [raw(0), raw(1)]
    found = report(saved(*raws), raws, 2)
    assert (found.is_complete, found.missing_indices, found.duplicate_indices, found.error_message) == (
        True,
        [],
        [],
        None,
    )


def test_a_process_that_left_nothing_is_named(saved):
    raws = [raw(0), raw(2)]
    found = report(saved(*raws), raws, 3)
    assert (found.is_complete, found.missing_indices) == (False, [1])
    assert "process 1" in found.error_message


def test_a_process_without_its_marker_did_not_finish(saved):
    raws = [raw(0), raw(1)]
    folder = saved(raws[0])
    saved(raws[1], marked=False)
    found = report(folder, raws, 2)
    assert found.missing_indices == [1]
    assert ".completed_" in found.error_message


def test_an_index_that_comes_twice_is_named(saved):
    raws = [raw(0), raw(1), raw(1)]
    found = report(saved(*raws), raws, 2)
    assert (found.is_complete, found.duplicate_indices) == (False, [1])


def test_raw_results_come_back_by_their_index(saved):
    raws = [raw(index) for index in (10, 2, 0)]
    folder = saved(*raws)
    assert load_raw_results(folder / ".state" / "e1") == sorted(raws, key=lambda each: each.process_index)


def test_raw_results_of_another_version_are_warned_of_once(saved):
    folder = saved(*(raw(index).model_copy(update={"schema_version": "1.0"}) for index in (0, 1)))
    with pytest.warns(SchemaVersionWarning) as caught:
        load_raw_results(folder / ".state" / "e1")
    (text,) = [str(each.message) for each in caught]
    assert text.startswith('Warning: 2 result files with schema_version="1.0", the first ')


def test_a_complete_run_that_was_killed_before_it_was_aggregated_is_recovered(saved):
    folder = saved(raw(0), raw(1))
    expect_processes("e1", 2, folder)
    (leftover,) = find_leftovers(folder)
    assert leftover.complete
    path = aggregate(leftover, folder)
    assert path.parent.parent == folder
    assert find_leftovers(folder) == []
    assert not (folder / ".state").exists()


def test_an_aggregation_that_was_cut_short_after_it_had_saved_is_not_made_twice(saved):
    folder = saved(raw(0), raw(1))
    expect_processes("e1", 2, folder)
    aggregated(raw(0), raw(1)).save(folder)
    (leftover,) = find_leftovers(folder)
    aggregate(leftover, folder)
    assert len(list(folder.glob("*/result.json"))) == 1
    assert find_leftovers(folder) == []


def test_each_result_is_read_once_however_many_runs_are_recovered(saved, monkeypatch):
    names = ("r1", "r2", "r3")
    for name in names:
        folder = saved(*(raw(index).model_copy(update={"experiment_id": name}) for index in (0, 1)))
        expect_processes(name, 2, folder)
    aggregated(raw(0), raw(1)).save(folder)
    read = []
    monkeypatch.setattr(complete_runs, "read_result", lambda path: read.append(path) or catalog.read_result(path))
    for leftover in find_leftovers(folder):
        aggregate(leftover, folder)
    assert len(list(folder.glob("*/result.json"))) == 1 + len(names)
    assert len(read) == len(set(read)) > 0


def test_a_run_whose_result_was_removed_again_is_saved_anew(saved):
    folder = saved(raw(0), raw(1))
    expect_processes("e1", 2, folder)
    path = aggregated(raw(0), raw(1)).save(folder)
    (leftover,) = find_leftovers(folder)
    assert leftover.saved.path("e1") == path
    path.unlink()
    assert aggregate(leftover, folder).is_file()


def other_run(path, folder):
    path.write_bytes(path.read_bytes().replace(b'"total_tokens": 200', b'"total_tokens": 201'))


def another_of_its_name(path, folder):
    path.write_text(json.dumps({"kind": "llem.result", "experiment_id": "e1"}))


def same_id_other_requests(path, folder):
    shutil.rmtree(path.parent)
    aggregated(raw(0), raw(1, energy_j=51.0)).save(folder)


def behind_a_link(path, folder):
    elsewhere = folder.parent / f"elsewhere-{folder.name}"
    path.parent.rename(elsewhere)
    path.parent.symlink_to(elsewhere)


@pytest.mark.parametrize("spoil", [other_run, another_of_its_name, same_id_other_requests, behind_a_link])
def test_a_complete_run_goes_only_where_a_result_holds_all_of_it_as_it_was_saved(saved, spoil):
    folder = saved(raw(0), raw(1))
    expect_processes("e1", 2, folder)
    spoil(aggregated(raw(0), raw(1)).save(folder), folder)
    (leftover,) = find_leftovers(folder)
    before = set(folder.glob("*/result.json"))
    path = aggregate(leftover, folder)
    assert path not in before
    assert verify(path).status == "ok"
    assert ExperimentResult.from_json(path).total_tokens == 200


def test_a_run_whose_last_process_left_nothing_is_not_complete(saved):
    folder = saved(raw(0), raw(1))
    expect_processes("e1", 3, folder)
    (leftover,) = find_leftovers(folder)
    assert (leftover.complete, "no result of process 2" in leftover.what) == (False, True)


def test_an_incomplete_run_says_whose_result_is_missing(saved):
    folder = saved(raw(0))
    saved(raw(1), marked=False)
    expect_processes("e1", 2, folder)
    (leftover,) = find_leftovers(folder)
    assert not leftover.complete
    assert "process 1 did not finish" in leftover.what
    assert "4 finished requests of 2 process(es)" in leftover.what
