"""The studies below a directory, listed."""

import pytest
from small_studies import Saves, make, small_study
from typer.testing import CliRunner

from llenergymeasure.cli.main import app
from llenergymeasure.results.study.held import held_study


@pytest.fixture
def llem(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_studies_are_listed_with_how_far_they_are_and_broken_ones_are_told(tmp_path, llem):
    study, fails = small_study(tmp_path), Saves(tmp_path / "results/b")
    fails.before = lambda batch_size, _: "broken" if batch_size == 2 else None
    make(study, tmp_path / "results/a")
    make(study, tmp_path / "results/b", fails)
    make(study, tmp_path / "results/july/c")
    broken = tmp_path / "results/d"
    make(study, broken)
    (broken / "study_manifest.json").write_bytes(b'{"kind": "llem.study_manifest", "study_name"')
    with held_study(tmp_path / "results/b"):
        shown = llem("study", "list")
    rows = [line.split() for line in shown.stdout.splitlines()[2:]]
    assert [(row[1], " ".join(row[2:5]), row[5], row[-1]) for row in rows if row] == [
        ("2", "4 of 4", "finished", "results/a"),
        ("2", "2 of 4", "running", "results/b"),
    ]
    assert "warning: results/d/study_manifest.json: not JSON: " in shown.stderr
    assert shown.stderr.endswith("; left out\n")
    assert llem("study", "list", "results", "-r").stdout.splitlines()[4].split()[-1] == "results/july/c"
    assert "unfinished, 2 failed" in llem("study", "list", "results/b").stdout
    assert '"state": "unfinished"' in llem("study", "list", "results/b", "--json").stdout


def test_what_is_no_studys_folder_is_told_with_the_one_that_was_meant(tmp_path, llem):
    make(small_study(tmp_path), tmp_path / "results/s")
    for command in ("show", "best", "resume"):
        ended = llem("study", command, "s")
        assert (ended.exit_code, ended.stderr) == (
            2,
            "error: s: is no study's folder: it has no study_manifest.json; results/s is one; to see them all: "
            "llem study list\n",
        )
    assert "; results/s is one" not in llem("study", "show", "results/t").stderr
    (tmp_path / "empty").mkdir()
    assert llem("study", "list", "empty").output == "no studies in empty\n"


def test_lists_of_results_pass_over_the_files_of_a_study_and_tell_of_the_results_in_it(tmp_path, llem):
    make(small_study(tmp_path), tmp_path / "results/s")
    assert "4 results one level down, in results/s" in llem("results", "list").stderr
    assert llem("results", "list", "results/s").stdout.count("random:llama") == 4
    assert llem("results", "verify", "results/s").stdout == "4 of 4 results are as they were saved\n"
    assert llem("results", "recover", "results/s").stdout == "nothing to recover in results/s\n"
