"""The parts that processes leave on disk, and the result that is recovered from them."""

import pytest
from measurements import LATE_S, merged, two_gpus
from unfinished_runs import leave_parts, power_samples

from labledger.files import joined_directory
from llenergymeasure import ExperimentResult
from llenergymeasure.results.aggregation import is_marked
from llenergymeasure.results.merging import combine
from llenergymeasure.results.parts import load_parts, load_samples, save_part
from llenergymeasure.results.persistence import state_folder
from llenergymeasure.results.raw_results import load_raw_results
from llenergymeasure.results.recovery import aggregate, find_leftovers
from llenergymeasure.results.state import discard_run


def test_a_part_is_kept_whole_without_its_raw_result_and_marked_last(tmp_path):
    parts = two_gpus()
    run = leave_parts(tmp_path, parts, (power_samples(0, 1.0), ()), expected=False)
    assert sorted(path.name for path in run.iterdir()) == [
        ".completed_0",
        ".completed_1",
        "part_0.json",
        "part_1.json",
        "process_0.json",
        "process_1.json",
        "timeseries_0.parquet",
    ]
    raws = load_raw_results(run)
    assert raws == [part.process_results[0] for part in parts]
    assert load_parts(run, raws) == [part.model_copy(update={"process_results": []}) for part in parts]
    assert combine(raws, load_parts(run, raws)) == merged(*parts)


@pytest.mark.parametrize("file", ["process_0.json", "part_0.json", "timeseries_0.parquet"])
def test_a_part_that_could_not_be_kept_is_not_marked(tmp_path, file):
    (state_folder(tmp_path, "e1") / file).mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        save_part(two_gpus()[0], power_samples(0, 1.0), tmp_path)
    assert not is_marked(state_folder(tmp_path, "e1"), 0)


def test_parts_come_in_the_order_of_the_raw_results_and_all_or_none(tmp_path):
    parts = two_gpus()
    run = leave_parts(tmp_path, parts)
    raws = load_raw_results(run)
    assert [part.total_energy_j for part in load_parts(run, raws[::-1])] == [30.0, 60.0]
    (run / "part_1.json").unlink()
    assert load_parts(run, raws) == []


@pytest.mark.parametrize(
    ("late_s", "moments_s"),
    [(LATE_S, [(0, 1.0), (1, 1.5), (0, 2.0), (1, 2.5)]), (-LATE_S, [(1, 1.0), (0, 1.5), (1, 2.0), (0, 2.5)])],
    ids=["the second later", "the first later"],
)
def test_the_power_over_time_is_on_the_clock_of_the_process_that_began_first(tmp_path, late_s, moments_s):
    run = leave_parts(
        tmp_path, two_gpus(second={"late_s": late_s}), (power_samples(0, 1.0, 2.0), power_samples(1, 1.0, 2.0))
    )
    found = load_samples(run, load_raw_results(run))
    assert [(row.gpu_index, row.timestamp_s) for row in found] == moments_s
    assert {(row.gpu_index, row.gpu_power_w, row.gpu_temperature_c) for row in found} == {
        (0, 100.0, 50.0),
        (1, 101.0, 50.0),
    }


def test_a_process_without_power_over_time_adds_no_row(tmp_path):
    run = leave_parts(tmp_path, two_gpus(), ((), power_samples(1, 1.0)))
    assert [row.gpu_index for row in load_samples(run, load_raw_results(run))] == [1]


def test_a_run_that_is_discarded_takes_the_state_folder_with_it_unless_another_is_in_there(tmp_path):
    run = leave_parts(tmp_path, two_gpus())
    other = state_folder(tmp_path, "e2")
    other.mkdir()
    discard_run(run)
    assert list((tmp_path / ".state").iterdir()) == [other]
    discard_run(other)
    assert list(tmp_path.iterdir()) == []
    discard_run(other)


def test_a_recovered_run_is_what_its_processes_would_have_made(tmp_path):
    parts = two_gpus()
    leave_parts(tmp_path, parts, (power_samples(0, 1.0, 2.0), power_samples(1, 1.0)))
    (leftover,) = find_leftovers(tmp_path)
    path = aggregate(leftover, tmp_path)
    found = ExperimentResult.from_json(path)
    assert found == merged(*parts).model_copy(update={"timeseries": "timeseries.parquet"})
    table = found.load_timeseries(path).to_pylist()
    assert [(row["gpu_index"], row["timestamp_s"]) for row in table] == [(0, 1.0), (1, 1.5), (0, 2.0)]
    assert not (tmp_path / ".state").exists()


BROKEN = {
    "missing": None,
    "empty": "",
    "cut": '{"schema_version": "3.0", "total_ene',
    "no object": "[]",
    "of another shape": '{"schema_version": "3.0", "total_energy_j": "much"}',
}


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_recovered_run_without_all_of_its_parts_says_so_and_keeps_what_the_others_knew(tmp_path, index, content):
    parts = two_gpus()
    run = leave_parts(tmp_path, parts, (power_samples(0, 1.0), power_samples(1, 1.0)))
    part = run / f"part_{index}.json"
    if content is None:
        part.unlink()
    else:
        part.write_text(content)
    (leftover,) = find_leftovers(tmp_path)
    with pytest.warns(UserWarning, match=f"process {index}: its part is "):
        path = aggregate(leftover, tmp_path)
    found, other = ExperimentResult.from_json(path), parts[1 - index]
    assert (found.total_energy_j, found.output_tokens, found.latency_stats.e2e_ms.n) == (90.0, 24, 8)
    assert found.measurement_config_hash == other.measurement_config_hash
    assert found.effective_config == other.effective_config
    assert set(other.measurement_warnings) <= set(found.measurement_warnings)
    assert (found.energy_uncertainty_j, found.verdict) == (None, "invalid")
    assert found.verdict_reasons[0].startswith(f"process {index}: its part is ")
    assert (found.multi_gpu.energy_per_gpu_j, found.multi_gpu.gpu_uuids) == ([60.0, 30.0], None)
    assert [row["timestamp_s"] for row in found.load_timeseries(path).to_pylist()] == [1.0, 1.5]
    assert not run.exists()


def test_a_run_whose_processes_live_is_not_recovered(tmp_path):
    run = leave_parts(tmp_path, two_gpus())
    (leftover,) = find_leftovers(tmp_path)
    with joined_directory(run):
        assert aggregate(leftover, tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == [".state"]
    assert aggregate(leftover, tmp_path) is not None
    assert aggregate(leftover, tmp_path) is None
