"""Paths in a YAML: beside it first, then in the working directory; those of flags are in the working directory."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labledger.written_paths import find_written, places
from llenergymeasure.api import run_experiment
from llenergymeasure.cli.main import app
from llenergymeasure.config import loading
from llenergymeasure.config.loading import build_config, load_config
from llenergymeasure.errors import ConfigError, PreFlightError

ATTACHED = {"backend": "openai", "model": "tiny"}


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    """A working directory with a folder `study` for a YAML and what lies beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "user_config_path", lambda: tmp_path / "user" / "config.yaml")
    folder = tmp_path / "study"
    folder.mkdir()
    return folder


def write(folder: Path, **fields) -> Path:
    path = folder / "experiment.yaml"
    path.write_text(json.dumps({"model": "random:llama", **fields}))
    return path


def prompts(folder: Path) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text('{"prompt": "one"}\n')
    return path


def test_a_dataset_is_the_one_beside_the_yaml_though_the_working_directory_has_one_too(study, tmp_path):
    prompts(study), prompts(tmp_path)
    for yaml in (write(study, dataset="prompts.jsonl"), Path("study/experiment.yaml")):
        assert load_config(yaml).experiment.dataset == "study/prompts.jsonl"


def test_a_dataset_that_is_not_beside_the_yaml_is_the_one_in_the_working_directory(study, tmp_path):
    prompts(tmp_path)
    assert load_config(write(study, dataset="./prompts.jsonl")).experiment.dataset == "./prompts.jsonl"


def test_a_dataset_that_is_nowhere_is_refused_with_its_line_and_both_places(study, tmp_path):
    with pytest.raises(ConfigError) as refused:
        load_config(write(study, dataset="gone.jsonl")).require_paths()
    assert str(refused.value) == (
        f"{study}/experiment.yaml:1: dataset: gone.jsonl: no such file "
        f"(looked for {study}/gone.jsonl, then {tmp_path}/gone.jsonl)"
    )


def test_a_flag_that_overrides_the_yamls_path_is_of_the_working_directory_alone(study, tmp_path):
    prompts(study)
    loaded = load_config(write(study, dataset="gone.jsonl"), {"dataset": "prompts.jsonl"})
    assert loaded.experiment.dataset == "prompts.jsonl"
    assert build_config({"model": "random:llama", "dataset": "prompts.jsonl"}).dataset == "prompts.jsonl"


@pytest.mark.parametrize(
    ("name", "fields"),
    [("model", {"model": "org/small"}), ("lora.path", {"lora": {"path": "org/small"}})],
)
def test_models_and_adapters_follow_the_rule_of_datasets(study, name, fields):
    (study / "org" / "small").mkdir(parents=True)
    found = load_config(write(study, **fields)).experiment
    assert (found.lora.path if found.lora else found.model) == "study/org/small"
    gone = {"model": "./gone"} if name == "model" else {"lora": {"path": "./gone"}}
    with pytest.raises(PreFlightError, match=rf"{name}: \./gone: no such folder .*study/gone, then "):
        load_config(write(study, **gone)).require_paths()


def test_a_model_of_the_hub_stays_what_it_is(study):
    assert load_config(write(study, model="org/small")).experiment.model == "org/small"


def test_a_servers_own_name_of_its_model_is_no_path(study):
    (study / "tiny").mkdir()
    assert load_config(write(study, **ATTACHED)).experiment.model == "tiny"
    gone = load_config(write(study, **ATTACHED | {"model": "./gone"}))
    assert (gone.experiment.model, gone.absent) == ("./gone", {})
    named = load_config(write(study, **ATTACHED, openai={"model": "served"})).experiment
    assert named.model == "study/tiny"


def test_a_gguf_file_for_llama_server_is_looked_for_in_both_places(study):
    (study / "q4.gguf").write_bytes(b"GGUF")
    served = {"backend": "openai", "launch": "llamacpp"}
    assert load_config(write(study, **served, model="q4.gguf")).experiment.model == "study/q4.gguf"
    with pytest.raises(PreFlightError, match=r"no such file; llama-server takes a GGUF file .*study/q5\.gguf, then "):
        load_config(write(study, **served, model="q5.gguf")).require_paths()


def test_paths_of_the_user_configuration_are_beside_that(study, tmp_path):
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "config.yaml").write_text("dataset: prompts.jsonl")
    prompts(tmp_path / "user"), prompts(study)
    assert load_config(write(study)).experiment.dataset == "user/prompts.jsonl"
    assert build_config({"model": "random:llama"}).dataset == "user/prompts.jsonl"


def test_a_path_from_the_root_or_from_home_is_one_place_only(study, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    prompts(tmp_path)
    for written in ("~/prompts.jsonl", str(tmp_path / "prompts.jsonl")):
        assert load_config(write(study, dataset=written)).experiment.dataset == written
        assert find_written(written, study) == tmp_path / "prompts.jsonl"
        assert places(written, study) == f"looked for {tmp_path}/prompts.jsonl"


def test_every_way_to_run_a_yaml_says_where_its_dataset_was_looked_for(study, tmp_path):
    yaml = str(write(study, dataset="gone.jsonl"))
    said = f"dataset: gone.jsonl: no such file (looked for {study}/gone.jsonl, then {tmp_path}/gone.jsonl)"
    for command in ([yaml], [yaml, "--dry-run"], [yaml, yaml]):
        ended = CliRunner().invoke(app, ["run", *command])
        assert ended.exit_code > 0
        assert said in ended.output
    with pytest.raises(ConfigError) as refused:
        run_experiment(yaml)
    assert said in str(refused.value)
