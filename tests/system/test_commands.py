"""The commands beside a run: help, doctor, config, a dry run; and the user's own configuration."""

import json
import os
from importlib.metadata import version

import pytest
import typer
from loaded_modules import commands, run_and_list_modules
from ruamel.yaml import YAML

from llenergymeasure.cli.main import app
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.config.section import STUDY_KEYS, STUDY_MARKS

HEAVY = ("torch", "transformers", "pyarrow", "scipy", "duckdb", "pydantic", "numpy")


def sections(schema):
    """The parts of a JSON Schema that describe an object with keys of its own."""
    return [part for part in (schema, *schema["$defs"].values()) if "properties" in part]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["config", "--help"], ["meter", "--help"]], ids=" ".join
)
def test_help_is_an_answer(user, arguments):
    ended = user.llem(*arguments)
    assert (ended.code, ended.stderr) == (0, "")
    assert "Usage: llem" in ended.stdout


def test_help_names_every_command():
    assert [name for name, _ in commands(typer.main.get_command(app)) if name] == [
        "run",
        "meter",
        "doctor",
        "calibrate",
        "config",
        "config show",
        "config schema",
        "config init",
        "results",
        "results list",
        "results show",
        "results compare",
        "results export",
        "results sql",
        "results verify",
        "results recover",
        "study",
        "study list",
        "study show",
        "study best",
        "study resume",
    ]


def test_every_command_and_every_option_has_a_help_text():
    without = []
    for name, command in commands(typer.main.get_command(app), "llem"):
        without += [] if command.help else [name]
        without += [f"{name} {each.name}" for each in command.params if not getattr(each, "help", None)]
    assert without == []


def test_help_loads_no_heavy_library(user):
    _, code, modules = run_and_list_modules(user, "llenergymeasure", "--help")
    assert code == "0"
    assert sorted(set(HEAVY) & modules) == []


def test_the_version_is_that_of_the_distribution(user):
    ended = user.llem("--version")
    assert (ended.code, ended.stdout, ended.stderr) == (0, f"llem {version('labledger')}\n", "")


def test_doctor_shows_what_is_available_and_why_each_other_source_is_not(user):
    ended = user.llem("doctor")
    assert (ended.code, ended.stderr) == (0, "")
    rows = {line.split()[0]: line for line in ended.stdout.splitlines() if line.startswith(" ") and line.strip()}
    assert rows["nvml_counter"]
    assert rows["rapl"]
    assert "±100%" in rows["estimate"]
    assert f"torch {version('torch')}" in rows["pytorch"]
    assert f"transformers {version('transformers')}" in rows["pytorch"]
    assert str(user.config_file) in ended.stdout
    assert str(user.unsaved) in ended.stdout


def test_the_schema_has_every_field_and_no_room_for_another(user):
    schema = json.loads(user.llem("config", "schema").stdout)
    assert schema["properties"].keys() == {*ExperimentConfig.model_fields, *STUDY_KEYS}
    assert [each["required"] for each in schema["anyOf"]] == [["model"], *([mark] for mark in STUDY_MARKS)]
    assert [part["title"] for part in sections(schema) if part["additionalProperties"] is not False] == []
    assert {part["$ref"].removeprefix("#/$defs/") for part in references(schema)} == schema["$defs"].keys()


def references(node):
    """Every `$ref` in a JSON Schema."""
    if isinstance(node, dict):
        yield from [node] if "$ref" in node else []
        node = list(node.values())
    for each in node if isinstance(node, list) else []:
        yield from references(each)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"warmup": {"convergence_detection": True, "max_prompts": 7}},
        {"dataset": {"synthetic": {"input_len": 8, "output_len": 3}}, "max_output_tokens": None},
        {
            "dataset": {
                "synthetic": {
                    "input_len": {"distribution": "lognormal", "mean": 40, "stdev": 9.5, "max": 64},
                    "output_len": {"distribution": "uniform", "min": 2, "max": 4},
                    "shared_prefix": 0.5,
                }
            },
            "max_output_tokens": None,
            "max_input_tokens": None,
        },
        {"decoder": {"do_sample": True, "temperature": 0.5}, "measurement": {"window": [1, 2.5]}},
        {"random_model": None, "model": "some/model", "pytorch": {"revision": "v1"}, "passthrough_kwargs": {"a": [1]}},
    ],
    ids=["plain", "convergence", "synthetic", "drawn lengths", "sampled", "hub model"],
)
def test_what_config_show_prints_is_a_configuration_that_resolves_to_the_same(user, changes):
    shown = user.llem("config", "show", user.experiment(**changes)).stdout
    again = user.llem("config", "show", user.write("shown.yaml", shown))
    assert (again.code, again.stderr) == (0, "")
    assert YAML(typ="safe").load(again.stdout) == YAML(typ="safe").load(shown)


def test_config_show_names_the_files_it_is_resolved_from(user):
    user.config_file.write_text("batch_size: 2\n", encoding="utf-8")
    shown = user.llem("config", "show", user.experiment()).stdout
    assert shown.splitlines()[0] == f"# from: defaults, {user.config_file}, experiment.yaml"


def test_a_dry_run_prints_the_resolved_configuration_and_makes_nothing(user):
    yaml = user.experiment()
    ended = user.llem("run", yaml, "--dry-run", "-n", "3", "--batch-size", "2")
    shown = YAML(typ="safe").load(ended.stdout)
    assert (shown["num_prompts"], shown["batch_size"], shown["max_output_tokens"]) == (3, 2, 4)
    assert ended.code == 0
    assert "nothing was run" in ended.stderr
    assert user.made() == []


def test_a_dry_run_prints_json_where_that_is_asked_for(user):
    yaml = user.experiment()
    as_json = json.loads(user.llem("run", yaml, "--dry-run", "--json").stdout)
    assert as_json == YAML(typ="safe").load(user.llem("run", yaml, "--dry-run").stdout)


def test_a_dry_run_prints_the_warning_that_the_run_will_have(user):
    shape = {"max_position_embeddings": 128}
    lengths = {"dataset": {"synthetic": {"input_len": 140, "output_len": 4}}}
    no_limits = {"max_input_tokens": None, "max_output_tokens": None}
    yaml = user.experiment(random_model=shape, **lengths, **no_limits)
    for named, further in (("", ()), (f"{yaml}: ", ("--repeat", "2"))):
        ended = user.llem("run", yaml, "--dry-run", *further)
        assert ended.code == 0
        warning, last = ended.stderr.splitlines()
        assert warning.startswith(f"warning: {named}Sequences have up to 144 tokens, and the model was made for 128: ")
        assert last.endswith("can run; nothing was run")


def test_a_dry_run_reports_what_would_keep_the_run_from_starting(user):
    ended = user.llem("run", "--dry-run", "--model", "./nowhere", "--dataset", "gone.jsonl")
    assert ended.code == 1
    assert "2 problems" in ended.stderr
    assert "./nowhere: no such folder" in ended.stderr
    assert "gone.jsonl: no such file" in ended.stderr
    assert user.made() == []


def test_a_run_without_a_model_is_an_error_that_names_the_options(user):
    ended = user.llem("run")
    assert (ended.code, ended.stdout) == (2, "")
    assert "no configuration given" in ended.stderr
    assert "--model" in ended.stderr


def test_the_users_experiment_fields_stand_over_the_defaults_and_under_the_yaml(user):
    user.config_file.write_text("num_prompts: 7\nbatch_size: 2\nwarmup: {thermal_floor_seconds: 3}\n", encoding="utf-8")
    shown = YAML(typ="safe").load(user.llem("config", "show", user.experiment()).stdout)
    assert (shown["num_prompts"], shown["batch_size"], shown["random_seed"]) == (4, 2, 42)
    assert (shown["warmup"]["iterations"], shown["warmup"]["thermal_floor_seconds"]) == (0, 3.0)


def test_an_unknown_key_of_the_users_configuration_is_named_with_its_line(user):
    user.config_file.write_text("# mine\ncpu_wats_per_core: 4\n", encoding="utf-8")
    ended = user.llem("config", "show", user.experiment())
    assert (ended.code, ended.stdout) == (2, "")
    assert f"{user.config_file}:2: cpu_wats_per_core: unknown key" in ended.stderr
    assert "cpu_watts_per_core" in ended.stderr.replace("cpu_wats_per_core", "")


def test_doctor_knows_the_watts_that_the_user_states(user):
    user.config_file.write_text("cpu_watts_per_core: 4\n", encoding="utf-8")
    shown = user.llem("doctor").stdout
    assert "4 W per core as you set it" in shown
    assert "±60%" in shown


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", ["--version", "--help", "config schema"])
def test_an_answer_that_cannot_be_printed_is_one_message(user, arguments):
    ended = user.shell(f"llem {arguments} > /dev/full")
    assert ended.code == 1
    assert "No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
