"""Presets of servers: the command line that each gives."""

import subprocess
import sys
from importlib.util import find_spec
from typing import get_args

import pytest

from llenergymeasure.backends.openai.server.presets import (
    PRESETS,
    expand,
    missing_server,
    preset_command,
    preset_problems,
    request_name,
)
from llenergymeasure.config.servers import KEEPS_ITS_OWN_PRECISION, Preset
from llenergymeasure.errors import ConfigError

AT = {"model": "meta-llama/Llama-3.1-8B", "host": "127.0.0.1", "port": 8000}
MODEL = AT["model"]
ADDRESS = ["--host", "127.0.0.1", "--port", "8000"]


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        (
            "vllm",
            [
                *("vllm", "serve", MODEL, "--generation-config", "vllm", *ADDRESS),
                *("--served-model-name", "m", "--dtype", "bfloat16", "--seed", "7"),
            ],
        ),
        (
            "sglang",
            [
                *(
                    sys.executable if find_spec("sglang") else "python3",
                    "-m",
                    "sglang.launch_server",
                    "--model-path",
                    MODEL,
                    *ADDRESS,
                ),
                *("--served-model-name", "m", "--dtype", "bfloat16", "--random-seed", "7"),
            ],
        ),
        ("tensorrt", ["trtllm-serve", MODEL, *ADDRESS]),
        ("llamacpp", ["llama-server", "--model", MODEL, *ADDRESS, "--alias", "m", "--seed", "7"]),
        ("transformers", ["transformers", "serve", MODEL, *ADDRESS, "--dtype", "bfloat16", "--default-seed", "7"]),
    ],
)
def test_a_preset_is_the_command_with_all_flags_that_the_server_takes(preset, expected):
    has = PRESETS[preset]
    command = preset_command(
        preset, **AT, served_name="m", precision="bf16" if has.dtype else None, seed=7 if has.seed else None
    )
    assert command == expected


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_not_given_is_left_to_the_server(preset):
    assert preset_command(preset, **AT)[-4:] == ADDRESS


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "float32"), ("fp16", "float16"), ("bf16", "bfloat16")])
def test_a_precision_has_the_servers_name(precision, dtype):
    assert preset_command("vllm", **AT, precision=precision)[-2:] == ["--dtype", dtype]


@pytest.mark.parametrize("flag", ["generation-config", "generation_config"])
def test_a_flag_that_a_preset_sets_by_itself_is_the_users_where_one_is_given(flag):
    command = preset_command("vllm", **AT, flags={flag: "auto"})
    assert command[-2:] == [f"--{flag}", "auto"]
    assert "vllm" not in command[1:]


def test_flags_that_a_server_does_not_take_are_refused():
    assert list(preset_problems("tensorrt", precision="fp16", seed=1)) == [
        "precision: tensorrt takes it from the model's files; leave it out",
        "random_seed: tensorrt has no flag for it; leave it out",
    ]
    with pytest.raises(ConfigError, match=r"^precision: llamacpp takes it from the model's files; leave it out$"):
        preset_command("llamacpp", **AT, precision="fp16")


def test_flags_are_passed_on_after_the_presets_own():
    flags = {
        "max-model-len": 4096,
        "gpu_memory_utilization": 0.9,
        "enable-prefix-caching": True,
        "lora-modules": ["a=b c", 2],
        "hf-overrides": '{"x": 1}',
        "tag": "",
    }
    command = preset_command("vllm", **AT, flags=flags)
    assert command[command.index("8000") + 1 :] == [
        *("--max-model-len", "4096", "--gpu_memory_utilization", "0.9", "--enable-prefix-caching"),
        *("--lora-modules", "a=b c", "2", "--hf-overrides", '{"x": 1}', "--tag", ""),
    ]


@pytest.mark.parametrize(
    ("preset", "flag", "field"),
    [
        *[(preset, flag, "openai.base_url") for preset in PRESETS for flag in ("host", "port")],
        ("vllm", "served_model_name", "openai.model"),
        ("vllm", "dtype", "precision"),
        ("vllm", "seed", "random_seed"),
        ("sglang", "model-path", "model"),
        ("sglang", "model", "model"),
        ("sglang", "random-seed", "random_seed"),
        ("llamacpp", "model", "model"),
        ("llamacpp", "alias", "openai.model"),
        ("transformers", "default_seed", "random_seed"),
    ],
)
def test_a_flag_that_the_preset_sets_is_refused_with_the_field_to_use(preset, flag, field):
    assert list(preset_problems(preset, flags={flag: "x"})) == [f"flags.{flag}: the preset sets it; use {field}"]


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"x": False}, "flags.x: false is not passed on: leave it out, or write no-x: true where the server has that"),
        ({"x": None}, "flags.x: null is not passed on: leave it out, or write no-x: true where the server has that"),
        ({"x": {"a": 1}}, "flags.x: a mapping is not a flag's value: write it as JSON in quotes"),
        ({"x": []}, "flags.x: a list holds one or more numbers and texts"),
        ({"x": ["a", True]}, "flags.x: a list holds one or more numbers and texts"),
        ({"x": ["a", None]}, "flags.x: a list holds one or more numbers and texts"),
        ({"x": ["a", ["b"]]}, "flags.x: a list holds one or more numbers and texts"),
        ({"x": "a\0b"}, "flags.x: it has a NUL character"),
        ({"--x": 1}, "flags: '--x' is not a flag: write its long name without dashes, as in max-model-len"),
        ({"x y": 1}, "flags: 'x y' is not a flag: write its long name without dashes, as in max-model-len"),
        (
            {"api_key": "sk-1"},
            "flags.api_key: a key that is written down is no secret, and results would keep it; give it to the server "
            "in its environment",
        ),
    ],
)
def test_flags_that_cannot_be_passed_on_are_refused(flags, problem):
    assert list(preset_problems("vllm", flags=flags)) == [problem]


def test_all_problems_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        preset_command("tensorrt", **AT, precision="fp16", flags={"x": None, "port": 1})
    assert len(str(caught.value).splitlines()) == 3


def test_requests_name_the_model_as_the_server_knows_it():
    assert request_name("vllm", model="a/b", served_name="m") == "m"
    assert request_name("vllm", model="a/b", served_name=None) == "a/b"
    assert request_name("transformers", model="a/b", served_name="m") == "a/b"


def test_the_three_placeholders_of_a_users_command_are_replaced_and_nothing_else():
    command = ["serve", "{model}", "--at={host}:{port}", "{}", "{Model}", '{"model": 1}', "{{port}}", "{seed}"]
    assert expand(command, model="{host}", host="h", port=8) == [
        *("serve", "{host}", "--at=h:8", "{}", "{Model}", '{"model": 1}', "{8}", "{seed}"),
    ]


def test_transformers_serve_has_every_flag_of_its_preset():
    code = "import sys; from transformers.cli.transformers import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "serve", "--help"]
    shown = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"COLUMNS": "200", "HF_HUB_OFFLINE": "1"}
    ).stdout
    assert "[FORCE_MODEL]" in shown
    made = preset_command("transformers", **AT, precision="fp32", seed=1)
    for flag in (part for part in made if part.startswith("--")):
        assert f"{flag} " in shown


def test_the_configuration_knows_the_presets_and_which_of_them_take_no_precision():
    assert set(get_args(Preset)) == set(PRESETS)
    assert set(KEEPS_ITS_OWN_PRECISION) == {name for name, preset in PRESETS.items() if preset.dtype is None}


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ([sys.executable, "-m", "json.tool"], None),
        ([sys.executable, "-m", "no_such_server.main"], " has no package no_such_server: install it, or name another "),
        ([sys.executable, "server.py"], None),
        (["no-such-server", "-m", "json"], "launch: no-such-server is not on the PATH: install it"),
    ],
)
def test_a_server_that_a_python_would_run_and_does_not_have_is_reported_beforehand(command, problem):
    found = missing_server(command, None)
    assert found is None if problem is None else problem in found


@pytest.mark.parametrize(
    ("preset", "install"), [("vllm", "(pip install vllm)"), ("llamacpp", "(it is part of llama.cpp)")]
)
def test_a_preset_whose_program_is_absent_names_the_way_to_get_it(monkeypatch, tmp_path, preset, install):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert missing_server(None, preset).endswith(install)
