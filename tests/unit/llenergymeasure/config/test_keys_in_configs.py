"""A configuration that has a key in it is refused before anything is printed, started or kept."""

import sys

import pytest
from pydantic import ValidationError

from labledger.commands import run_program
from llenergymeasure import run_experiment
from llenergymeasure.cli.main import app
from llenergymeasure.config.loading import load_config
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.errors import ConfigError, PreFlightError

KEY = "tPq8Zx7Lm2-W4"

WRITTEN = {
    "launch.3": f"launch: [vllm, serve, m, --api_key={KEY}]",
    "launch.command.1": f"launch: {{command: [env, 'HF_TOKEN={KEY}', vllm, serve, m]}}",
    "launch.2": f"launch: [sh, -c, 'vllm serve m --api-key {KEY}']",
    "launch.flags.hf-token": f"launch: {{preset: vllm, flags: {{hf-token: {KEY}}}}}",
    "launch.flags.extra": f"launch: {{preset: vllm, flags: {{extra: '-H Authorization:{KEY}'}}}}",
    "passthrough_kwargs.api_key": f"passthrough_kwargs: {{api_key: {KEY}}}",
    "passthrough_kwargs.headers.Authorization": f"passthrough_kwargs: {{headers: {{Authorization: 'Bearer {KEY}'}}}}",
    "passthrough_kwargs.extra_body": f"passthrough_kwargs: {{extra_body: 'https://host/v1?api_key={KEY}'}}",
    "openai.base_url": f"openai: {{base_url: 'http://me:{KEY}@127.0.0.1/v1'}}",
    "openai.api_key": f"openai: {{api_key: {KEY}}}",
    "api_key": f"api_key: {KEY}",
}
SHAPED = "sk-a1B2c3D4e5F6a1B2c3D4"


@pytest.mark.parametrize(("field", "line"), WRITTEN.items(), ids=WRITTEN)
def test_a_key_in_a_file_is_refused_with_its_line_and_not_repeated(tmp_path, field, line):
    path = tmp_path / "x.yaml"
    path.write_text(f"model: m\nbackend: openai\n{line}\nnum_prompts: nonsense\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}:3: {field}: holds ")
    assert "openai.api_key_env" in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"model": f"/models/{SHAPED}"},
        {"dataset": f"/data/{SHAPED}.jsonl"},
        {"openai": {"base_url": f"http://127.0.0.1:1/{SHAPED}/v1"}},
        {"openai": {"model": SHAPED}},
        {"openai": {"api_key_env": SHAPED}},
        {"passthrough_kwargs": {"user": SHAPED}},
        {"passthrough_kwargs": {SHAPED: 1}},
        {"launch": ["serve", f"/{SHAPED}"]},
    ],
    ids=str,
)
def test_what_has_the_shape_of_a_key_is_refused_wherever_it_stands(fields):
    with pytest.raises(ConfigError, match="an API key") as caught:
        run_experiment(**{"model": "m", "backend": "openai", **fields})
    assert "a1B2" not in str(caught.value)


def test_a_model_made_in_python_is_searched_too():
    launched = ExperimentConfig(model="m", backend="openai", launch=["serve"]).launch
    with pytest.raises(ConfigError, match=r"launch\.command\.1: holds a value of --token") as caught:
        ExperimentConfig(model="m", backend="openai", launch=launched.model_copy(update={"command": ["--token", KEY]}))
    assert KEY not in str(caught.value)


def test_a_value_that_a_variable_keeps_secret_is_refused_wherever_it_stands(monkeypatch, tmp_path):
    monkeypatch.setenv("MY_TOKEN", KEY)
    monkeypatch.setenv("THE_KEY", "not-of-any-shape")
    openai = {"base_url": "http://127.0.0.1:1/v1", "api_key_env": "THE_KEY"}
    fields = {"backend": "openai", "openai": openai, "passthrough_kwargs": {"user": f"I-{KEY}"}}
    with pytest.raises(PreFlightError) as caught:
        run_experiment(model="not-of-any-shape", **fields, output_dir=tmp_path / "results")
    assert "model: holds the value of THE_KEY" in str(caught.value)
    assert "passthrough_kwargs: holds the value of MY_TOKEN" in str(caught.value)
    assert not any(key in str(caught.value) for key in (KEY, "not-of-any-shape"))
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "line",
    [
        "launch: [vllm, serve, m, --max-tokens, '128', --tokenizer, x, --token-limit, '5', --api-key-file, /run/key]",
        "launch: [sh, -c, 'vllm serve m --api-key $VLLM_API_KEY']",
        "launch: {preset: vllm, flags: {tokenizer: sk-learn-model, max-num-batched-tokens: 5}}",
        "openai: {api_key_env: OPENAI_API_KEY, model: sk-learn-model}",
        "passthrough_kwargs: {stop_token: x, user: 'api_key: is a word, Bearer too', logprobs: true}",
    ],
)
def test_what_only_resembles_a_key_is_taken(tmp_path, line):
    path = tmp_path / "x.yaml"
    path.write_text(f"model: m\nbackend: openai\n{line}\n")
    assert load_config(path).experiment.model == "m"


def test_a_configuration_that_is_shown_is_printable_and_reads_back_the_same(tmp_path, monkeypatch, capsys):
    path, again = tmp_path / "x.yaml", tmp_path / "again.yaml"
    path.write_text('model: "a\\e]0;x\\a\\u202e\\x9b2J\\x7f 模型"\n')
    monkeypatch.setattr(sys, "argv", ["llem", "config", "show", str(path)])
    with pytest.raises(SystemExit):
        run_program(app)
    shown = capsys.readouterr().out
    assert shown.replace("\n", "").isprintable()
    again.write_text(shown)
    assert load_config(again).experiment == load_config(path).experiment


@pytest.mark.parametrize(
    "line", ['"ev\\e]0;x\\ail": 1', '"load": {"\\u202eevil": 1}', '"dataset": "a\\e[2Jb"', f"{'k' * 5000}: 1"]
)
def test_an_unknown_key_or_value_is_reported_in_one_printable_line(tmp_path, monkeypatch, capsys, line):
    (tmp_path / "x.yaml").write_text(f"model: m\n{line}\n")
    monkeypatch.setattr(sys, "argv", ["llem", "run", str(tmp_path / "x.yaml"), "--dry-run", "-o", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        run_program(app)
    out, err = capsys.readouterr()
    assert ended.value.code in (1, 2)
    assert (out + err).replace("\n", "").isprintable()
    assert err.count("error: ") == 1
    assert len(err) < 1000


def test_a_dummy_that_servers_without_keys_are_given_may_be_a_word_of_the_configuration(monkeypatch, tmp_path):
    monkeypatch.setenv("MY_KEY", "ollama")
    monkeypatch.setenv("MASTER_KEY", "random:llama-key")
    openai = {"base_url": "http://ollama.invalid:11434/v1", "api_key_env": "MY_KEY"}
    with pytest.raises(PreFlightError) as caught:  # nobody listens there
        run_experiment(model="ollama", backend="openai", openai=openai, output_dir=tmp_path / "results")
    assert "holds the value" not in str(caught.value)


def test_a_configuration_that_is_json_may_write_an_emoji_as_a_pair_of_surrogates(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text('{"model": "m \\ud83d\\ude00"}')
    assert load_config(path).experiment.model == "m \U0001f600"
    path.write_text('{"model": "m \\ud83d"}')
    with pytest.raises(ConfigError, match="half a surrogate pair"):
        load_config(path)


@pytest.mark.parametrize(
    "lines",
    [
        f"openai: {{base_url: http://h/v1, api_key_env: {KEY.replace('-', '_')}}}",
        f"openai: {{base_url: http://h/v1, timeout_s: {KEY}}}",
        f"launch: [srv, --port, [{KEY}]]",
        f"num_prompts: {KEY}",
    ],
)
def test_a_key_where_no_key_belongs_is_refused_and_not_repeated(tmp_path, lines):
    path = tmp_path / "x.yaml"
    path.write_text(f"model: m\nbackend: openai\n{lines}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert not any(part in str(caught.value) for part in (KEY, KEY.replace("-", "_"), KEY[:10]))


def test_an_error_of_python_does_not_repeat_what_was_given():
    with pytest.raises((ConfigError, ValidationError)) as caught:
        ExperimentConfig(model="m", backend="openai", openai={"timeout_s": KEY})
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *("htp:/user:{}@h/v1", "user:{}@host:8000/v1", "//user:{}@h/v1", "http:\\\\user:{}@h", "https://h:8000:{}/v1"),
        *("user:{}@host", "{}@host"),
    ],
)
@pytest.mark.parametrize("password", ["S3cr3tP4ssw0rdXyz", "hunter", "swordfish"])
def test_a_url_that_is_wrong_is_refused_without_what_may_be_its_password(tmp_path, url, password):
    path = tmp_path / "x.yaml"
    path.write_text(f"model: m\nbackend: openai\nopenai: {{base_url: '{url.format(password)}'}}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert password not in str(caught.value)


def test_a_url_that_is_wrong_and_has_no_user_is_repeated(tmp_path):
    with pytest.raises(ValidationError, match="'localhost:8000/v1' is not the URL of a server"):
        ExperimentConfig(model="m", backend="openai", openai={"base_url": "localhost:8000/v1"})


def test_a_value_that_a_variable_keeps_secret_is_not_shown_either(tmp_path, monkeypatch, capsys):
    path = tmp_path / "x.yaml"
    path.write_text("model: Zk3mQp9xT7vLw2Rb\n")
    monkeypatch.setenv("WANDB_API_KEY", "Zk3mQp9xT7vLw2Rb")
    monkeypatch.setattr(sys, "argv", ["llem", "config", "show", str(path)])
    with pytest.raises(SystemExit) as ended:
        run_program(app)
    out, err = capsys.readouterr()
    assert ended.value.code != 0
    assert "model: holds the value of WANDB_API_KEY" in err
    assert "Zk3m" not in out + err
