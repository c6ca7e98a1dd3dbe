"""The user configuration: begun by `llem config init`, judged by `llem doctor`."""

import re

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from llenergymeasure.cli.main import app
from llenergymeasure.config.loading import build_config
from llenergymeasure.config.models import UserConfig


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The path of the user's configuration, which is not there yet; the working directory has a bare experiment."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare.yaml").write_text("model: random:llama\n")
    return tmp_path / "config" / "llenergymeasure" / "config.yaml"


def llem(*arguments):
    ended = CliRunner().invoke(app, arguments, env={"COLUMNS": "400"})
    return ended.exit_code, ended.stdout, ended.stderr


def doctor(file, text):
    """What `llem doctor` says of the user's files where the configuration has this text."""
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    code, shown, stderr = llem("doctor")
    assert (code, stderr) == (0, "")
    assert " pytorch " in shown
    return shown[shown.index("files") :]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cpu_wats_per_core: 4\n", ":1: cpu_wats_per_core: unknown key (did you mean cpu_watts_per_core?)"),
        ("record_hostname: true\nbatch_size: many\n", ":2: batch_size: should be a valid integer, found 'many'"),
        ("- a\n", ":1: expected `key: value` lines, found a list"),
        ("batch_size: 2\nenergy: {sensor_gain: 0.1}\n", ":2: energy.sensor_gain: has no effect with"),
        ("openai: {api_key_env: sk-aBcD1234efgh5678ijkl9012mnop}\n", ":1: openai.api_key_env: holds what looks like"),
    ],
    ids=["a key", "a value", "no mapping", "without effect", "a secret"],
)
def test_doctor_finds_a_users_configuration_that_runs_refuse_and_shows_all_else(file, text, problem):
    shown = doctor(file, text)
    assert f"{file} (not used: runs refuse it until it is mended)" in shown
    assert f"{file}{problem}" in shown
    assert "sk-aB" not in shown


def test_doctor_does_not_take_what_only_a_yaml_can_complete_for_a_problem(file):
    assert f"{file} (read)" in doctor(file, "backend: openai\nlora: {path: adapters/mine}\n")


def test_config_init_writes_every_key_commented_out_and_leaves_a_file_that_is_there(file):
    assert llem("config", "init") == (0, f"written: {file}; remove the # before a key to set it\n", "")
    text = file.read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line and not line.startswith("#")] == []
    assert [key for key in UserConfig.model_fields if f"\n# {key}: " not in text] == []
    code, _, stderr = llem("config", "init")
    assert code == 2
    assert f"{file}: is there already, and stays as it is" in stderr
    assert file.read_text(encoding="utf-8") == text


def test_what_config_init_writes_holds_the_defaults_once_every_key_is_set(file):
    def shown():
        return YAML(typ="safe").load(llem("config", "show", "bare.yaml")[1])

    before = shown()
    llem("config", "init")
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r"^# ", "", text, flags=re.MULTILINE), encoding="utf-8")
    assert shown() == before


def test_a_default_that_has_no_effect_on_an_experiment_is_left_out_and_named(file, tmp_path):
    file.parent.mkdir(parents=True)
    file.write_text("precision: fp32\nbatch_size: 4\nmax_output_tokens: 7\n")
    (tmp_path / "served.yaml").write_text("model: m\nbackend: openai\n")
    code, shown, stderr = llem("config", "show", "served.yaml")
    assert (code, stderr) == (0, "")
    assert f"# not used: {file}:2: batch_size: has no effect with backend: openai" in shown
    assert f"# not used: {file}:1: precision: has no effect on a server that runs already" in shown
    assert YAML(typ="safe").load(shown)["max_output_tokens"] == 7
    assert YAML(typ="safe").load(llem("config", "show", "bare.yaml")[1])["batch_size"] == 4
    assert build_config({"model": "m", "backend": "openai"}).max_output_tokens == 7


def test_what_an_experiment_writes_without_effect_is_refused_whatever_the_user_configuration_has(file, tmp_path):
    file.parent.mkdir(parents=True)
    file.write_text("batch_size: 4\n")
    (tmp_path / "served.yaml").write_text("model: m\nbackend: openai\nbatch_size: 2\n")
    code, _, stderr = llem("config", "show", "served.yaml")
    assert code == 2
    assert "served.yaml:3: batch_size: has no effect with backend: openai" in stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("modle: m\nbackend: openai\n", "it.yaml:1: modle: unknown key (did you mean model?)"),
        ("agents: []\nsimulation: {}\n", "it looks like a file of another tool: payment-sim run it.yaml"),
        ("name: x\nscenario: s.yaml\n", "it looks like a file of another tool: payment-sim experiment run it.yaml"),
    ],
)
def test_a_file_without_a_model_is_refused_with_all_that_is_wrong_in_it(text, told, file, tmp_path):
    (tmp_path / "it.yaml").write_text(text)
    code, _, stderr = llem("config", "show", "it.yaml")
    assert code == 2
    assert "it.yaml: model: required, and missing; name one" in stderr
    assert told in stderr
