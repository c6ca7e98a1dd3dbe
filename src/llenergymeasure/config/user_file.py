"""The user configuration that `llem config init` writes: every key a comment, with its meaning and its default."""

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, JsonValue

from labledger.files import write_durably
from labledger.json_text import dump_json
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.errors import ConfigError

WIDTH = 100
FROM_AN_EXPERIMENT = (
    "device",
    "precision",
    "max_output_tokens",
    "batch_size",
    "random_seed",
    "warmup",
    "baseline",
    "energy",
)
"""The keys of an experiment that a machine has defaults of its own for."""
EXAMPLES: dict[str, JsonValue] = {"cpu_watts_per_core": 12.0, "grid_carbon_intensity": 380.0, "datacenter_pue": 1.2}
HEAD = """\
User configuration of llem: what holds for this machine, and defaults for its experiments. Remove the # before a key to
set it; lines with ## explain. An experiment's YAML overrides what stands here, and flags override both; a default that
has no effect on an experiment, as a batch size on a server, is left out of it. `llem config show FILE.yaml` prints what
comes of it. docs/measurement.md describes every key.
"""


def user_file_text() -> str:
    """Return the text of a user configuration in which every key is a comment."""
    plain = ExperimentConfig(model="m").in_effect()
    lines = [
        *_sentences(HEAD),
        "",
        "## This machine: no part of an experiment. The numbers are examples; without the key nothing is assumed.",
    ]
    for name in UserConfig.model_fields:
        lines += ["", *_key(UserConfig, name, EXAMPLES.get(name, getattr(UserConfig(), name)))]
    lines += [
        "",
        "## Defaults of experiments, as they are without this file. Any other key of a YAML may stand here too.",
    ]
    for name in FROM_AN_EXPERIMENT:
        lines += ["", *_key(ExperimentConfig, name, plain[name])]
    return "\n".join(lines) + "\n"


def write_user_file(path: Path) -> None:
    """Write the commented user configuration to `path`, where there is none yet.

    Raises:
        ConfigError: there is something at `path`: it stays as it is.
        OSError: it cannot be written.
    """
    if os.path.lexists(path):
        raise ConfigError(f"{path}: is there already, and stays as it is; move it away for a new one")
    write_durably(path, user_file_text().encode())


def _key(model: type[BaseModel], name: str, value: JsonValue, indent: str = "") -> Iterator[str]:
    """Yield a key as a comment, after its meaning; a section's keys below it."""
    field = model.model_fields[name]
    section = field.annotation if isinstance(value, dict) else None
    if not isinstance(section, type) or not issubclass(section, BaseModel) or not isinstance(value, dict):
        yield from _sentences(field.description or "", indent)
        yield f"# {indent}{name}: {dump_json(value, indent=None)}"
        return
    yield from _sentences((section.__doc__ or "").split("\n\n")[0], indent)
    yield f"# {indent}{name}:"
    for key, inside in value.items():
        yield from _key(section, key, inside, indent + "  ")


def _sentences(text: str, indent: str = "") -> list[str]:
    return [f"## {indent}{line}" for line in textwrap.wrap(" ".join(text.split()), WIDTH - 3 - len(indent))]
