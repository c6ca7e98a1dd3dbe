"""Where `llem results` looks: in the directory that is named, one way or the other, and further down where asked."""

import json
import os

import pytest
from typer.testing import CliRunner

from llenergymeasure.api import compare
from llenergymeasure.cli.main import app
from small_result import make_result


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a result in `flat`, and in `deep` three in folders of which one is two levels down."""
    monkeypatch.chdir(tmp_path)
    make_result(experiment_id="flat-1").save(tmp_path / "flat")
    for number, place in enumerate(("deep/july", "deep/july", "deep/june/nights")):
        make_result(experiment_id=f"deep-{number}").save(tmp_path / place)
    (tmp_path / "deep" / "payments").mkdir()
    (tmp_path / "deep" / "payments" / "result.json").write_text('{\n  "kind": "payments.experiment"}')
    (tmp_path / "deep" / "archive" / "payments").mkdir(parents=True)
    (tmp_path / "deep" / "archive" / "payments" / "result.json").write_text('{\n  "kind": "payments.experiment"}')
    return tmp_path


def llem(*arguments, code=0):
    ended = CliRunner().invoke(app, ["results", *arguments], env={"COLUMNS": "300"})
    assert ended.exit_code == code, ended.stderr
    return ended


def ids(*arguments):
    return sorted(row["experiment_id"] for row in json.loads(llem("list", "--json", *arguments).stdout))


@pytest.mark.parametrize("place", [("flat",), ("--dir", "flat"), ("-d", "flat"), ("flat", "-d", "flat")], ids=" ".join)
def test_every_command_takes_its_directory_as_an_argument_or_as_an_option(folder, place):
    assert ids(*place) == ["flat-1"]
    assert "1 results in all.csv" in llem("export", "-o", "all.csv", *place).stdout
    assert "1 of 1 results" in llem("verify", *place).stdout
    assert "nothing to recover in flat" in llem("recover", *place).stdout


@pytest.mark.parametrize("command", ["list", "export", "verify", "recover"])
def test_two_directories_of_one_command_are_refused(folder, command):
    ended = llem(command, "flat", "-d", "deep", code=2)
    assert "--dir deep: flat is named as well; name one directory" in ended.stderr


@pytest.mark.parametrize("command", ["list", "show", "compare", "export", "sql", "verify", "recover"])
def test_every_results_command_has_the_option_dir(command):
    shown = CliRunner().invoke(app, ["results", command, "--help"]).stdout
    assert "--dir" in shown
    assert "-d" in shown


@pytest.mark.parametrize(
    "command",
    [("list",), ("export", "-o", "a.csv"), ("verify",), ("sql", "select 1 as one")],
    ids=lambda command: command[0],
)
def test_results_one_level_down_are_told_of_and_how_to_take_them(folder, command):
    told = llem(*command, "-d", "deep").stderr
    assert told == "left out: 2 results one level down, in deep/july; -r takes them as well\n"
    assert llem(*command, "-d", "deep", "-r").stderr == ""
    assert llem(*command, "-d", "flat").stderr == ""


def test_results_at_any_depth_are_taken_with_r_but_none_in_hidden_or_linked_folders(folder):
    make_result(experiment_id="hidden").save(folder / "deep" / ".state")
    os.symlink(folder / "flat", folder / "deep" / "link")
    os.symlink(folder / "deep", folder / "deep" / "june" / "round")
    assert ids("deep", "-r") == ["deep-0", "deep-1", "deep-2"]
    assert "3 results" in llem("export", "deep", "-r", "-o", "a.csv").stdout
    assert "3 of 3 results" in llem("verify", "deep", "--recursive").stdout
    assert json.loads(llem("sql", "select count(*) n from results", "-d", "deep", "-r", "--json").stdout) == [{"n": 3}]


def test_a_folder_that_cannot_be_looked_into_is_named_and_the_others_are_taken(folder, monkeypatch):
    scandir = os.scandir

    def refuses(place):  # root may look into any folder
        if os.fspath(place).endswith("july"):
            raise PermissionError(13, "Permission denied", place)
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuses)
    ended = llem("list", "--json", "deep", "-r")
    assert [row["experiment_id"] for row in json.loads(ended.stdout)] == ["deep-2"]
    assert ended.stderr == "warning: deep: deep/july: Permission denied; left out\n"


def test_results_beside_others_one_level_down_are_listed_and_those_are_told_of(folder):
    make_result(experiment_id="top").save(folder / "deep")
    ended = llem("list", "deep")
    assert "top" in ended.stdout
    assert ended.stderr.startswith("left out: 2 results one level down, in deep/july; -r")


def test_a_result_that_is_not_found_or_compared_is_told_to_lie_one_level_down(folder):
    assert "2 results one level down, in deep/july" in llem("show", "deep-0", "-d", "deep", code=2).stderr
    ended = llem("compare", "flat", "deep", code=2)
    assert "left out: 2 results one level down, in deep/july" in ended.stderr
    assert "-r" not in ended.stderr


SYNTHETIC = {
    "input_len": {"distribution": "lognormal", "mean": 512, "stdev": 300, "min": 16, "max": 2048},
    "output_len": {"distribution": "uniform", "min": 64, "max": 256},
    "shared_prefix": 0.5,
}


@pytest.mark.parametrize(
    ("config", "rows"),
    [
        (
            {"dataset": "mine.jsonl", "num_prompts": 7, "max_input_tokens": 16, "max_output_tokens": 4},
            ["dataset mine.jsonl, 7 prompts", "lengths in tokens input cut to 16, output up to 4"],
        ),
        (
            {"lora": {"path": "adapters/a", "merge": True}, "max_output_tokens": 4, "decoder": {"ignore_eos": True}},
            ["adapter adapters/a, merged into the weights", "lengths in tokens output exactly 4"],
        ),
        (
            {"lora": {"path": "adapters/a", "merge": False}, "dataset": "builtin"},
            ["adapter adapters/a", "dataset builtin"],
        ),
        (
            {"dataset": {"synthetic": SYNTHETIC}, "num_prompts": 3},
            [
                "dataset synthetic, 3 prompts",
                "lengths in tokens input lognormal of mean 512 and stdev 300, 16 to 2048 (50% of it the same in all), "
                "output uniform, 64 to 256",
            ],
        ),
        ({"dataset": {"synthetic": {"input_len": 8, "output_len": 3}}}, ["lengths in tokens input 8, output 3"]),
    ],
    ids=["a file", "merged", "adapter", "drawn lengths", "lengths"],
)
def test_show_names_the_adapter_the_dataset_and_its_lengths(folder, config, rows):
    path = make_result(effective_config={"model": "m", **config}).save(folder / "new")
    shown = {" ".join(line.split()) for line in llem("show", str(path)).stdout.splitlines()}
    assert [row for row in rows if row not in shown] == []


@pytest.mark.parametrize("odd", [{}, {"dataset": ["x"], "lora": "y", "decoder": 5}, {"dataset": {"synthetic": [1]}}])
def test_show_takes_whatever_a_configuration_of_somebody_else_holds(folder, odd):
    path = make_result(effective_config={"model": "m", **odd}).save(folder / "new")
    assert " model " in llem("show", str(path)).stdout


@pytest.mark.parametrize("source", [("flat",), ("flat/one",), ("flat/one/result.json",), ("deep", "-r")], ids=" ".join)
def test_an_export_is_not_written_over_a_result_or_what_belongs_to_it(folder, source):
    one = next((folder / "flat").iterdir()).rename(folder / "flat" / "one")
    (one / "timeseries.parquet").write_bytes(b"samples")
    (folder / "linked").symlink_to(one)
    before = (one / "result.json").read_bytes()
    for output in ("flat/one/result.json", "linked/result.json", "linked/timeseries.parquet"):
        ended = llem("export", *source, "-o", output, code=2)
        assert f"--output: {output} would be written over a saved result; name another" in ended.stderr
    assert ((one / "result.json").read_bytes(), (one / "timeseries.parquet").read_bytes()) == (before, b"samples")


def test_an_export_by_the_name_of_a_results_file_is_written_again(folder):
    for _ in range(2):
        llem("export", "flat", "-f", "json", "-o", "result.json")
    assert len(json.loads((folder / "result.json").read_text())) == 1


def test_show_of_a_directory_of_results_says_that_it_is_one_and_how_to_list_them(folder):
    for arguments in (["deep"], ["july", "--dir", "deep"], ["flat"]):
        assert "is a directory, not a result; llem results list" in llem("show", *arguments, code=2).stderr


def test_export_writes_what_the_name_of_its_file_says_and_refuses_another_format(folder):
    llem("export", "flat", "-o", "all.json")
    assert json.loads((folder / "all.json").read_text())[0]["experiment_id"] == "flat-1"
    assert llem("export", "flat", "-f", "json", "-o", "all.txt").exit_code == 0
    refused = llem("export", "flat", "-f", "json", "-o", "all.csv", code=2).stderr
    assert "--output all.csv: ends in .csv, and --format is json; name one of them" in refused
    assert not (folder / "all.csv").exists()
    assert "unknown format 'xml'; one of csv, parquet, json" in llem("export", "flat", "-f", "xml", code=2).stderr


def test_one_side_alone_is_not_compared_and_is_named(folder):
    assert "only flat to compare: name two or more results" in llem("compare", "flat", code=2).stderr
    assert "nothing to compare: name two or more results" in llem("compare", code=2).stderr


def test_a_result_and_a_comparison_print_themselves_in_a_line_or_two(folder):
    result = make_result(process_results=[], measurement_warnings=["w" * 999] * 9)
    assert len(repr(result)) < 300
    assert "experiment_id='test-001'" in repr(result)
    found = repr(compare([result] * 2, [make_result(experiment_id="other")] * 3))
    assert len(found) < 600
    assert "energy_per_output_token_j" in found
