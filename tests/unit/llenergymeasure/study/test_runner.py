"""The runs of a study: made in order, written down, and gone on with after any ending."""

import os
import random
import shutil
import signal
import sys
from collections import Counter

import pytest
from disks import files_up_to
from small_studies import Saves, make, result_of, small_study

from labledger.errors import UnreadableFileError
from llenergymeasure import StudyResult
from llenergymeasure.errors import ConfigError, PreFlightError
from llenergymeasure.results.catalog import read_result, result_files
from llenergymeasure.results.persistence import save_result
from llenergymeasure.results.study.held import held_study, runner_of
from llenergymeasure.results.study.manifest import MANIFEST_FILE, read_manifest, write_manifest
from llenergymeasure.study.plan import OTHERWISE, plan


def states(manifest):
    return [run.state for run in manifest.runs]


def places(manifest):
    return [(run.cell, run.round_number) for run in manifest.runs]


def make_and_be_killed(study, folder, step):
    """Go on with a study in a process that is killed before it makes or renames its `step`th file or folder; True if it
    came so far."""
    if (child := os.fork()) == 0:
        left = [step]

        def count(event, arguments):
            if event == "os.rename" or (event == "os.mkdir" and not os.path.lexists(arguments[0])):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            make(study, folder)
            os._exit(0)
        finally:
            os._exit(1)
    ending = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ending in (0, -signal.SIGKILL)
    return ending != 0


def assert_each_run_was_made_once(study, folder, manifest):
    assert set(states(manifest)) == {"done"}
    saved = {path.parent.name: read_result(path) for path in result_files(folder)}
    assert sorted(saved) == sorted(str(run.folder) for run in manifest.runs)
    for run in manifest.runs:
        result = saved[run.folder]
        assert result.experiment_id == run.experiment_id
        assert result.effective_config["batch_size"] == study.cells[run.cell].config.batch_size
    assert read_manifest(folder) == manifest


def test_a_study_that_is_killed_at_any_step_goes_on_without_a_run_made_twice_or_lost(tmp_path):
    study, step, was_killed = small_study(tmp_path, "sweep: {batch_size: [1, 2]}\nstudy: {repeats: 1}\n"), 1, True
    while was_killed:
        folder = tmp_path / str(step)
        folder.mkdir()
        was_killed = make_and_be_killed(study, folder, step)
        saves = Saves(folder)
        manifest = make(study, folder, saves)
        assert_each_run_was_made_once(study, folder, manifest)
        step += 1
    assert step > 9
    assert saves.made == []


@pytest.mark.slow
def test_a_study_killed_at_thirty_random_moments_has_the_runs_of_one_left_alone(tmp_path):
    text = "sweep: {batch_size: [1, 2, 4]}\nstudy: {repeats: 12, order: shuffled, seed: 7}\n"
    study, folder, draw, kills = small_study(tmp_path, text), tmp_path / "s", random.Random(1), 0  # noqa: S311
    folder.mkdir()
    while make_and_be_killed(study, folder, draw.randint(1, 11)):
        kills += 1
    assert kills >= 30
    manifest = read_manifest(folder)
    assert_each_run_was_made_once(study, folder, manifest)
    alone = make(study, tmp_path / "alone")
    assert places(manifest) == places(alone)
    assert manifest.sessions > 10


def test_ctrl_c_leaves_a_run_interrupted_or_done_if_its_result_was_saved(tmp_path):
    def stop(batch_size, round_number):
        if round_number == 2:
            raise KeyboardInterrupt

    study, folder = small_study(tmp_path), tmp_path / "s"
    for side, state in (("before", "interrupted"), ("after", "done")):
        folder = tmp_path / side
        saves = Saves(folder)
        setattr(saves, side, stop)
        with pytest.raises(KeyboardInterrupt):
            make(study, folder, saves)
        assert states(read_manifest(folder)) == ["done", "done", state, "waiting"]
        assert StudyResult.model_validate_json((folder / "study.json").read_bytes()).runs == read_manifest(folder).runs
        assert_each_run_was_made_once(study, folder, make(study, folder))


def test_a_run_that_fails_is_a_row_and_a_cell_that_fails_twice_in_a_row_is_given_up(tmp_path):
    study, folder = small_study(tmp_path, "sweep: {batch_size: [1, 2]}\nstudy: {repeats: 4}\n"), tmp_path / "s"
    saves = Saves(folder)
    saves.before = lambda batch_size, _: "no memory\n\x1b[31m" + "x" * 5000 if batch_size == 2 else None
    manifest = make(study, folder, saves)
    of_second = [run for run in manifest.runs if run.cell == 1]
    assert [run.state for run in of_second] == ["failed", "failed", "given up", "given up"]
    assert [run.state for run in manifest.runs if run.cell == 0] == ["done"] * 4
    assert of_second[0].error.startswith("no memory; \N{REPLACEMENT CHARACTER}[31mxxx")
    assert len(of_second[0].error) == 1000
    assert "failed one after another" in of_second[2].error
    saves = Saves(folder)
    assert_each_run_was_made_once(study, folder, make(study, folder, saves))
    assert saves.made == [(2, 1), (2, 2), (2, 3), (2, 4)]


def test_fail_fast_ends_a_study_with_its_first_failure(tmp_path):
    saves = Saves(tmp_path / "s")
    saves.before = lambda batch_size, _: "broken" if batch_size == 2 else None
    assert states(make(small_study(tmp_path), tmp_path / "s", saves, fail_fast=True)) == [
        *("done", "failed"),
        *("waiting", "waiting"),
    ]


def test_a_process_that_cannot_be_started_is_a_failure(tmp_path):
    def refuse(batch_size, round_number):
        if round_number == 1:
            raise OSError(12, "Cannot allocate memory")

    saves = Saves(tmp_path / "s")
    saves.before = refuse
    manifest = make(small_study(tmp_path), tmp_path / "s", saves)
    assert states(manifest) == ["failed", "failed", "done", "done"]
    assert manifest.runs[0].error == "could not be started: Cannot allocate memory"


def test_one_process_at_a_time_makes_the_runs_and_is_named_to_others(tmp_path):
    study, folder = small_study(tmp_path), tmp_path / "s"
    make(study, folder)
    assert runner_of(folder) is None
    with held_study(folder):
        assert runner_of(folder).startswith(f"process {os.getpid()} (")
        with pytest.raises(PreFlightError, match=rf"process {os.getpid()} .*is running this study"):
            make(study, folder)


def test_a_result_that_was_deleted_or_damaged_is_told_and_its_run_made_again(tmp_path, caplog):
    study, folder = small_study(tmp_path), tmp_path / "s"
    before = make(study, folder)
    gone, damaged, other, kept = (folder / run.folder for run in before.runs)
    shutil.rmtree(gone)
    (damaged / "result.json").write_bytes((damaged / "result.json").read_bytes().replace(b"1000", b"1001"))
    shutil.copy(kept / "result.json", other / "result.json")
    saves = Saves(folder)
    after = make(study, folder, saves)
    assert saves.made == [(1, 1), (2, 1), (2, 2)]
    assert after.runs[3] == before.runs[3]
    assert f"{gone}: round 1, batch_size 1: it is no longer there; the run is made again" in caplog.text
    assert f"{damaged}: round 1, batch_size 2: it or timeseries.parquet was changed after" in caplog.text
    assert f"{other}: round 2, batch_size 2: it is not the result" in caplog.text
    assert Counter(run.folder for run in after.runs).most_common(1)[0][1] == 1


def test_a_study_that_goes_on_on_another_machine_is_told_so(tmp_path, caplog):
    study, folder = small_study(tmp_path), tmp_path / "s"
    manifest = make(study, folder)
    assert caplog.text == ""
    again = manifest.model_copy(update={"machine": "a larger one", "runs": plan(study).runs})
    write_manifest(again, folder)
    assert make(study, folder).machine == manifest.machine
    assert f"was begun on another machine (a larger one), and goes on on this one ({manifest.machine})" in caplog.text


def test_another_persons_result_in_the_folder_is_no_run_of_the_study(tmp_path):
    study, folder = small_study(tmp_path), tmp_path / "s"
    folder.mkdir()
    stranger = save_result(result_of(study.cells[0].config, 1), folder)
    manifest = make(study, folder)
    assert stranger.parent.name not in {run.folder for run in manifest.runs}


def test_a_full_disk_ends_a_study_which_goes_on_once_there_is_room(tmp_path):
    study, folder = small_study(tmp_path), tmp_path / "s"
    saves, full = Saves(folder), files_up_to(100)
    saves.after = lambda batch_size, round_number: full.__enter__() if (batch_size, round_number) == (2, 1) else None
    try:
        with pytest.raises(OSError, match=MANIFEST_FILE):
            make(study, folder, saves)
    finally:
        full.__exit__(None, None, None)
    assert states(read_manifest(folder)) == ["done", "running", "waiting", "waiting"]
    saves = Saves(folder)
    assert_each_run_was_made_once(study, folder, make(study, folder, saves))
    assert saves.made == [(2, 2), (1, 2)]


def test_a_failure_that_cannot_be_written_down_is_told_with_the_error(tmp_path):
    full, saves = files_up_to(100), Saves(tmp_path / "s")
    saves.before = lambda *_: full.__enter__() or "no room; it is kept at /home/unsaved/result.json"
    try:
        with pytest.raises(OSError, match=MANIFEST_FILE) as caught:
            make(small_study(tmp_path), tmp_path / "s", saves)
    finally:
        full.__exit__(None, None, None)
    assert caught.value.__notes__ == ["batch_size 1: no room; it is kept at /home/unsaved/result.json"]


def test_rounds_are_added_while_a_cell_is_wide_and_are_gone_on_with(tmp_path):
    text = (
        "sweep: {batch_size: [1, 2]}\nstudy: {repeats: 2}\n"
        "stop: {metric: output_tokens_per_second, half_width: 3%, max_repeats: 9}\n"
    )
    study, folder = small_study(tmp_path, text), tmp_path / "s"
    alone = make(study, folder)
    assert places(alone)[:6] == [(0, 1), (1, 1), (1, 2), (0, 2), (0, 3), (1, 3)]
    assert set(states(alone)) == {"done"}
    assert 3 <= max(run.round_number for run in alone.runs) < 9
    assert make(study, folder) == alone
    few = small_study(tmp_path / "few", text.replace("9}", "2}"))
    assert len(make(few, tmp_path / "few" / "s").runs) == 4
    assert max(run.round_number for run in make(study, tmp_path / "few" / "s").runs) > 2


def test_a_cell_that_is_given_up_does_not_hold_the_stop_rule_up(tmp_path):
    text = (
        "sweep: {batch_size: [1, 2]}\nstudy: {repeats: 2}\n"
        "stop: {metric: output_tokens_per_second, half_width: 0.001%, max_repeats: 4}\n"
    )
    saves = Saves(tmp_path / "s")
    saves.before = lambda batch_size, round_number: "broken" if batch_size == 2 else None
    manifest = make(small_study(tmp_path, text), tmp_path / "s", saves)
    assert places(manifest)[4:] == [(0, 3), (0, 4)]


def test_rounds_are_not_added_for_a_figure_that_no_run_has(tmp_path):
    study = small_study(tmp_path, "sweep: {batch_size: [1, 2]}\nstudy: {repeats: 1}\nstop: {half_width: 3%}\n")
    assert len(make(study, tmp_path / "s").runs) == 2 * 3


def test_a_study_of_another_plan_is_refused_with_each_difference(tmp_path):
    folder = tmp_path / "s"
    make(small_study(tmp_path), folder)
    text = (
        "max_output_tokens: 9\nsweep: {batch_size: [2]}\ngaps: {experiment_s: 3.0}\n"
        "study: {repeats: 1, order: shuffled, seed: 4, process: shared}\n"
    )
    with pytest.raises(ConfigError) as refused:
        make(small_study(tmp_path, text), folder)
    assert str(refused.value).splitlines() == [
        "study.repeats: 2 in the study that was begun, 1 now; it may only become more",
        'study.order: "alternating" in the study that was begun, "shuffled" now',
        "study.seed: 1 in the study that was begun, 4 now",
        'study.process: "separate" in the study that was begun, "shared" now',
        "gaps.experiment_s: 0.0 in the study that was begun, 3.0 now",
        "cell batch_size 1: was in the study that was begun, and is not now",
        "cell batch_size 2: max_output_tokens: 128 when it was begun, 9 now",
        OTHERWISE,
    ]
    assert set(states(read_manifest(folder))) == {"done"}


def test_a_manifest_that_was_damaged_is_told_and_nothing_is_run(tmp_path):
    study, folder = small_study(tmp_path), tmp_path / "s"
    make(study, folder)
    path = folder / MANIFEST_FILE
    path.write_bytes(path.read_bytes().replace(b'"round_number":2', b'"round_number":3'))
    saves = Saves(folder)
    with pytest.raises(UnreadableFileError, match="was changed or damaged after it was written"):
        make(study, folder, saves)
    assert saves.made == []
