"""Presets: the commands that start well-known servers. They only build the command and its flags.

A user's own flags are a mapping from a flag's long name, as the server has it but without the dashes, to its value:
`max-model-len: 4096` is `--max-model-len 4096`, `true` is the flag alone, a list is the flag with several values.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from pydantic import JsonValue

from labledger.secret_rules import is_secret_name
from labledger.written_keys import WRITTEN_DOWN
from llenergymeasure.config.precision import DTYPES, Precision
from llenergymeasure.errors import ConfigError

FLAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
PYTHON = re.compile(r"python(3(\.\d+)?)?")
LACKS_PACKAGE = 77
HAS_PACKAGE = f"import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None and {LACKS_PACKAGE})"
PROBE_S = 20.0
PLACEHOLDER = re.compile(r"\{(model|host|port)\}")


@dataclass(frozen=True)
class Preset:
    """One server's command line. A flag that is None is one that the server does not have."""

    program: tuple[str, ...]
    model: str | None = None
    """None: the model follows the program without a flag."""
    served_name: str | None = None
    """None: requests name the model as the server was given it; see `request_name`."""
    dtype: str | None = None
    """None: the precision is in the model's files, and cannot be asked for."""
    seed: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Other spellings of the flags above."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """More flags that it sets, unless the user sets them."""
    package: str | None = None
    """The package that the program needs, if Python runs it."""
    install: str = ""
    """The way to get it, in words."""

    def own_flags(self) -> dict[str, str]:
        """Return the flags that the preset sets, each with the field of the configuration to use instead."""
        fields = {
            self.model: "model",
            self.served_name: "openai.model",
            self.dtype: "precision",
            self.seed: "random_seed",
            "host": "openai.base_url",
            "port": "openai.base_url",
        }
        own = {flag: name for flag, name in fields.items() if flag is not None}
        return own | {alias: own[flag] for alias, flag in self.aliases.items()}


def _python() -> str:
    """The Python that has SGLang: this one, or else the user's own."""
    return sys.executable if find_spec("sglang") is not None else "python3"


PRESETS: dict[str, Preset] = {
    "vllm": Preset(
        ("vllm", "serve"),
        None,
        "served-model-name",
        "dtype",
        "seed",
        defaults={"generation-config": "vllm"},  # requests say how tokens are chosen, not the model's own file
        install="pip install vllm",
    ),
    "sglang": Preset(
        (_python(), "-m", "sglang.launch_server"),
        "model-path",
        "served-model-name",
        "dtype",
        "random-seed",
        aliases={"model": "model-path"},
        package="sglang",
        install="pip install sglang",
    ),
    "tensorrt": Preset(("trtllm-serve",), install="pip install tensorrt-llm"),
    "llamacpp": Preset(
        ("llama-server",),
        "model",
        "alias",
        None,
        "seed",
        aliases={"m": "model", "a": "alias"},
        install="it is part of llama.cpp",
    ),
    "transformers": Preset(
        ("transformers", "serve"), None, None, "dtype", "default-seed", install="pip install 'transformers[serving]'"
    ),
}


def preset_command(
    preset: str,
    *,
    model: str,
    host: str,
    port: int,
    served_name: str | None = None,
    precision: Precision | None = None,
    seed: int | None = None,
    flags: Mapping[str, JsonValue] | None = None,
) -> list[str]:
    """Return the command that serves `model`, a hub id or what lies on disk, as `served_name` at `host` and `port`.

    What is None is left to the server.

    Raises:
        ConfigError: every problem of `preset_problems`, a line each.
    """
    flags = flags or {}
    if problems := [*preset_problems(preset, precision=precision, seed=seed, flags=flags)]:
        raise ConfigError("\n".join(problems))
    chosen = PRESETS[preset]
    command = [*chosen.program, *_flag(chosen.model), model]
    given = {_plain(name) for name in flags}
    for name, default in chosen.defaults.items():
        command += [] if name in given else [*_flag(name), default]
    command += ["--host", host, "--port", str(port)]
    if chosen.served_name is not None and served_name is not None:
        command += [*_flag(chosen.served_name), served_name]
    if precision is not None:
        command += [*_flag(chosen.dtype), DTYPES[precision]]
    if seed is not None:
        command += [*_flag(chosen.seed), str(seed)]
    for name, value in flags.items():
        command += [*_flag(name), *_values(value)]
    return command


def preset_problems(
    preset: str,
    *,
    precision: Precision | None = None,
    seed: int | None = None,
    flags: Mapping[str, JsonValue] | None = None,
) -> Iterator[str]:
    """Yield what the server's command line cannot take, a line each; None of `precision` and `seed`: not asked for."""
    chosen = PRESETS[preset]
    if precision is not None and chosen.dtype is None:
        yield f"precision: {preset} takes it from the model's files; leave it out"
    if seed is not None and chosen.seed is None:
        yield f"random_seed: {preset} has no flag for it; leave it out"
    own = chosen.own_flags()
    for name, value in (flags or {}).items():
        plain = _plain(name)
        if not FLAG.fullmatch(name):
            yield f"flags: {name!a} is not a flag: write its long name without dashes, as in max-model-len"
        elif plain in own:
            yield f"flags.{name}: the preset sets it; use {own[plain]}"
        elif is_secret_name(name):
            yield f"flags.{name}: {WRITTEN_DOWN}; give it to the server in its environment"
        elif (why := _value_problem(name, value)) is not None:
            yield f"flags.{name}: {why}"


def request_name(preset: str, *, model: str, served_name: str | None) -> str:
    """Return the name by which requests ask for the model: `served_name` where the server takes one."""
    return model if served_name is None or PRESETS[preset].served_name is None else served_name


def runnable() -> list[str]:
    """Return the presets whose program is here; of one that Python runs, whose package is."""
    return [
        name
        for name, preset in PRESETS.items()
        if (find_program(preset.program[0]) if preset.package is None else find_spec(preset.package)) is not None
    ]


def find_program(name: str) -> str | None:
    """Return the path of a program on the PATH, or beside this Python, whose environment need not be activated."""
    return shutil.which(name) or shutil.which(name, path=os.path.dirname(sys.executable))


def missing_server(command: Sequence[str] | None, preset: str | None) -> str | None:
    """Return the advice on a server, of a command or else a preset, that is not there; None where it is, or may be."""
    if command is None:
        chosen = PRESETS[str(preset)]
        problem = _missing_package(chosen.program) if chosen.package else missing_program(chosen.program[0])
        return problem and f"{problem} ({chosen.install})"
    return missing_program(command[0]) or _missing_package(command)


def _missing_package(command: Sequence[str]) -> str | None:
    """Advise on a module that a Python is to run (`python -m NAME`) and does not have; it is not imported."""
    program, *arguments = command
    if not PYTHON.fullmatch(os.path.basename(program)) or arguments[:1] != ["-m"] or len(arguments) < 2:
        return None
    package = arguments[1].partition(".")[0]
    asked = [find_program(program) or program, "-c", HAS_PACKAGE, package]
    try:
        ended = subprocess.run(asked, capture_output=True, stdin=subprocess.DEVNULL, timeout=PROBE_S, check=False)  # noqa: S603 - a Python that the user names
    except (OSError, subprocess.TimeoutExpired):
        return None  # to start it shows what is wrong
    if ended.returncode != LACKS_PACKAGE:
        return None
    return f"launch: {program} has no package {package}: install it, or name another Python's full path"


def missing_program(name: str) -> str | None:
    """Return what to do about a program that is not there; None where it is."""
    if find_program(name) is not None:
        return None
    where = "is not a program that can be run" if os.path.dirname(name) else "is not on the PATH"
    return f"launch: {name} {where}: install it, or name its full path"


def expand(command: Sequence[str], *, model: str, host: str, port: int) -> list[str]:
    """`command` with what `{model}`, `{host}` and `{port}` stand for; other braces are left as they are."""
    known = {"model": model, "host": host, "port": str(port)}
    return [PLACEHOLDER.sub(lambda found: known[found[1]], part) for part in command]


def _plain(name: str) -> str:
    return name.replace("_", "-").lower()


def _flag(name: str | None) -> list[str]:
    return [] if name is None else [f"--{name}"]


def _values(value: JsonValue) -> list[str]:
    if value is True:
        return []
    if isinstance(value, list):
        return [_text(each) for each in value]
    return [_text(value)]


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _value_problem(name: str, value: JsonValue) -> str | None:
    if value is None or value is False:
        return f"{json.dumps(value)} is not passed on: leave it out, or write no-{name}: true where the server has that"
    if isinstance(value, dict):
        return "a mapping is not a flag's value: write it as JSON in quotes"
    if isinstance(value, list) and (not value or any(isinstance(each, bool | list | dict | None) for each in value)):
        return "a list holds one or more numbers and texts"
    if any("\0" in each for each in _values(value)):
        return "it has a NUL character"
    return None
