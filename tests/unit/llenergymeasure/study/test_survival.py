"""What is done to a study from outside while it runs, or before it goes on."""

import os
import shutil

import pytest
from disks import files_up_to
from small_studies import BASE, Quiet, Saves, make, result_of, small_study
from typer.testing import CliRunner

from llenergymeasure import StudyResult
from llenergymeasure.cli.main import app
from llenergymeasure.config.study.loading import load_study
from llenergymeasure.errors import ConfigError, ExperimentError
from llenergymeasure.parallel.run_process import Separate
from llenergymeasure.results.persistence import save_result
from llenergymeasure.results.study.held import LOCK_FILE
from llenergymeasure.results.study.listing import listed_studies
from llenergymeasure.results.study.manifest import read_manifest, write_manifest
from llenergymeasure.study.claim import begun_study
from llenergymeasure.study.plan import plan
from llenergymeasure.study.runner import make_runs
from llenergymeasure.study.workers import RunOptions, Workers

PROMPTS = '{"prompt": "one"}\n{"prompt": "two"}\n'


def states(folder):
    return [run.state for run in read_manifest(folder).runs]


def llem(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A study of p.jsonl that was begun in `there`, of which nothing has run."""
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.chdir(there)
    (there / "p.jsonl").write_text(PROMPTS)
    (there / "s.yaml").write_text(
        BASE.replace("num_prompts: 4", "num_prompts: 2\ndataset: p.jsonl")
        + "sweep: {batch_size: [1]}\nstudy: {repeats: 2}\n"
    )
    folder = there / "results/s"
    folder.mkdir(parents=True)
    write_manifest(plan(load_study(there / "s.yaml")), folder)
    return there


def test_a_study_goes_on_from_the_directory_in_which_it_was_begun(begun, tmp_path, monkeypatch):
    here, seen = tmp_path / "here", []
    here.mkdir()
    (here / "p.jsonl").write_text('{"prompt": "another"}\n')
    monkeypatch.chdir(here)

    def run(self, config, round_number):
        seen.append((os.getcwd(), config.dataset, config.num_prompts))
        return Saves(begun / "results/s").run(config, round_number)

    monkeypatch.setattr(Workers, "run", run)
    ended = llem("study", "resume", "../there/results/s", "--export-csv", "all.csv", "-q")
    assert ended.exit_code == 0, ended.output
    assert set(seen) == {(str(begun), "p.jsonl", 2)}
    assert len((here / "all.csv").read_text().splitlines()) == 1 + len(seen)
    assert os.getcwd() == str(here)


def test_a_study_does_not_go_on_where_its_paths_mean_other_files(begun, tmp_path, monkeypatch):
    study = load_study(begun / "s.yaml")
    (begun / "p.jsonl").write_text(PROMPTS.replace("two", "too"))
    with pytest.raises(ConfigError, match=r"^dataset p\.jsonl: has changed since the study was begun\n"):
        make(study, begun / "results/s")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=rf"begun in {begun}, where its paths begin \(p\.jsonl\)"):
        make(study, begun / "results/s")
    begun.rename(tmp_path / "moved")
    ended = llem("study", "resume", "moved/results/s")
    assert ended.exit_code == 2
    assert f"begun in {begun}, which is not there" in ended.stderr
    assert set(states(tmp_path / "moved/results/s")) == {"waiting"}


def test_a_study_without_relative_paths_or_of_an_older_manifest_goes_on_anywhere(begun, tmp_path, monkeypatch):
    study, folder, with_paths = small_study(tmp_path), begun / "s", load_study(begun / "s.yaml")
    make(study, folder)
    older = plan(with_paths).model_copy(update={"directory": None, "inputs": {}})
    write_manifest(older, begun / "results/s")
    monkeypatch.chdir(tmp_path)
    assert set(make(study, folder).settings) == set(read_manifest(folder).settings)
    assert {run.state for run in make(with_paths, begun / "results/s").runs} == {"done"}


@pytest.mark.parametrize("takes_away", ["the lock", "the folder"])
def test_a_study_whose_lock_or_folder_is_taken_away_ends_and_makes_neither_anew(tmp_path, takes_away):
    study, folder = small_study(tmp_path), tmp_path / "s"
    saves = Saves(folder)

    def take_away(batch_size, round_number):
        if len(saves.made) == 2:
            (folder / LOCK_FILE).unlink() if takes_away == "the lock" else folder.rename(tmp_path / "moved")

    saves.after = take_away
    with pytest.raises(ExperimentError, match=rf"{folder}: was moved or removed while its study ran") as ended:
        make(study, folder, saves)
    assert ended.value.__notes__[0].startswith(f"batch_size 2: its result was saved as {folder}")
    assert len(saves.made) == 2
    assert folder.exists() == (takes_away == "the lock")
    manifest = make(study, folder if folder.exists() else tmp_path / "moved")
    assert [run.state for run in manifest.runs] == ["done"] * 4


def test_a_result_that_is_removed_while_the_study_runs_is_told_and_made_again(tmp_path, caplog):
    study, folder = small_study(tmp_path), tmp_path / "s"
    saves = Saves(folder)

    def remove_first(batch_size, round_number):
        if len(saves.made) == 2:
            shutil.rmtree(folder / str(read_manifest(folder).runs[0].folder))

    saves.after = remove_first
    manifest = make(study, folder, saves)
    assert [run.state for run in manifest.runs] == ["failed", "done", "done", "done"]
    assert "it is" in manifest.runs[0].error
    assert f"{folder}" in caplog.text
    assert len({run.folder for run in manifest.runs}) == 4
    again = make(study, folder)
    assert {run.state for run in again.runs} == {"done"}
    shutil.rmtree(folder / str(again.runs[3].folder))
    assert next(iter(listed_studies(folder))).done == 3


def test_a_result_that_is_found_in_the_folder_is_told_as_one_that_was_made(tmp_path):
    study, folder = small_study(tmp_path), tmp_path / "s"
    saves, full = Saves(folder), files_up_to(100)
    saves.after = lambda *_: full.__enter__() if len(saves.made) == 2 else None
    try:
        with pytest.raises(OSError, match="manifest"):
            make(study, folder, saves)
    finally:
        full.__exit__(None, None, None)
    heard = Quiet()
    make_runs(study, folder, heard, RunOptions(), workers=Saves(folder))
    assert heard.heard == [(1, True), (2, True), (3, True)]


def test_a_study_that_ends_before_its_manifest_is_written_leaves_no_folder(tmp_path):
    study = small_study(tmp_path / "yaml", "sweep: {batch_size: [1]}\n")
    with pytest.raises(OSError, match="manifest"), begun_study(tmp_path, "s") as folder, files_up_to(100):
        make(study, folder)
    with pytest.raises(KeyboardInterrupt), begun_study(tmp_path, "s"):
        raise KeyboardInterrupt
    assert sorted(each.name for each in tmp_path.iterdir()) == ["yaml"]


SEARCH = """
model: m
backend: openai
num_prompts: 16
load: {search: {metric: concurrency, goal: "output_tokens_per_second <= 5", between: [1, 16]}}
study: {repeats: 2}
"""


class Searches(Saves):
    """Makes the runs of a search whose highest load is 5; those that `why` gives a text for fail."""

    def __init__(self, folder, why=lambda load: None):
        super().__init__(folder)
        self.folder, self.why, self.loads = folder, why, []

    def run(self, config, round_number):
        load = config.load.concurrency
        self.loads.append(load)
        if problem := self.why(load):
            return Separate(None, problem)
        result = result_of(config, len(self.loads)).model_copy(update={"output_tokens_per_second": float(load)})
        return Separate(save_result(result, self.folder))


def searching(tmp_path, repeats=1):
    (tmp_path / "s.yaml").write_text(SEARCH.replace("repeats: 2", f"repeats: {repeats}"))
    return load_study(tmp_path / "s.yaml")


@pytest.mark.parametrize(
    ("failing", "repeats"),
    [({4, 8, 16}, 1), *(pytest.param(each, 2, marks=pytest.mark.slow) for each in ({1}, {8}, set(range(1, 17))))],
)
def test_a_search_that_goes_on_after_failures_has_the_steps_of_one_left_alone(tmp_path, failing, repeats):
    study, folder = searching(tmp_path, repeats), tmp_path / "s"
    make(study, folder, Searches(folder, lambda load: "out of memory" if load in failing else None))
    again = make(study, folder, Searches(folder))
    alone = make(study, tmp_path / "alone", Searches(tmp_path / "alone"))
    steps, of_alone = (
        [(run.round_number, run.step, run.searched, run.state) for run in m.runs] for m in (again, alone)
    )
    assert steps == of_alone
    assert [load for _, _, load, _ in steps[:6]] == [1, 16, 8, 4, 6, 5]
    assert {state for *_, state in steps} == {"done"}
    assert make(study, folder, Searches(folder)) == again


def test_a_step_that_was_made_after_a_failure_is_taken_up_where_the_search_comes_to_it(tmp_path):
    study, folder = searching(tmp_path), tmp_path / "s"
    make(study, folder, Searches(folder, lambda load: "out of memory" if load == 16 else None))
    searches = Searches(folder)
    make(study, folder, searches)
    assert searches.loads == [16]


def test_a_server_that_is_not_there_is_no_miss_of_the_goal(tmp_path):
    study, folder = searching(tmp_path, repeats=2), tmp_path / "s"
    away = "openai.base_url: nothing answers at http://127.0.0.1:9/v1 (Connection refused)"
    manifest = make(study, folder, Searches(folder, lambda load: away if load > 1 else None))
    assert [run.state for run in manifest.runs] == ["done", "failed", "failed", "given up"]
    (found,) = StudyResult.from_folder(folder).searches
    assert (found.rounds[0].highest_met, found.rounds[0].lowest_missed, found.rounds[0].ended) == (None, None, True)
    assert found.highest.mean is None
    assert "unknown: 2 runs failed: openai.base_url: nothing answers" in found.sentence
