"""From files and flags to a configuration: defaults < user configuration < YAML < flags."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import platformdirs
from pydantic import BaseModel, ValidationError

from labledger.untrusted_text import SHOWN, clean
from labledger.written_keys import WrittenKeyError
from labledger.yaml_files import Location, YamlFile, describe_errors, did_you_mean, has, read_yaml
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.errors import ConfigError

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class LoadedConfig:
    """A resolved configuration, and the files it came from, the weakest first."""

    experiment: ExperimentConfig
    user: UserConfig
    files: tuple[Path, ...]


@dataclass(frozen=True)
class _Layer:
    data: dict[str, Any]
    place: Callable[[Location], str]


def user_config_path() -> Path:
    """Return the path of the user's own configuration."""
    return platformdirs.user_config_path("llenergymeasure") / "config.yaml"


def load_config(
    path: Path | None, fields: Mapping[str, Any] | None = None, *, field_prefix: str = "--"
) -> LoadedConfig:
    """Resolve an experiment from the user configuration, the YAML at `path`, and `fields`, which override both.

    An error in `fields` names them as flags, that is with `field_prefix`, or by their own names without one.

    Raises:
        ConfigError: a file cannot be read, or a value is wrong: `file:line: field: problem`, a line each.
    """
    user_file = _user_file()
    layers = [_experiment_layer(user_file)]
    if path is not None:
        file = read_yaml(path)
        layers.append(_Layer(file.data, file.place))
    layers.append(_Layer(dict(fields or {}), lambda location: _argument(location, field_prefix)))
    user = load_user_config(user_file)
    merged = reduce(merge, (layer.data for layer in layers))
    if "model" not in merged:
        where = str(path) if path is not None else "no configuration given"
        raise ConfigError(f"{where}: model: required, and missing; name one with `model:` in the YAML or --model")
    experiment = _validated(ExperimentConfig, merged, lambda location: _place(layers, location))
    files = [user_file.path if user_file else None, path]
    return LoadedConfig(experiment, user, tuple(each for each in files if each is not None))


def build_config(fields: Mapping[str, Any]) -> ExperimentConfig:
    """Return an experiment from Python: `fields` override the user configuration.

    Raises:
        ConfigError: the user configuration cannot be read, or a key is written down.
        pydantic.ValidationError: a value is wrong.
    """
    return ExperimentConfig.model_validate(merge(_experiment_layer(_user_file()).data, dict(fields)))


def load_user_config(file: YamlFile | None = None) -> UserConfig:
    """Return the machine's part of the user configuration.

    Raises:
        ConfigError: it cannot be read, or a value is wrong.
    """
    file = file or _user_file()
    if file is None:
        return UserConfig()
    own = {key: value for key, value in file.data.items() if key in UserConfig.model_fields}
    return _validated(UserConfig, own, file.place)


def _user_file() -> YamlFile | None:
    """Return the user's file, whose keys are the machine's or an experiment's."""
    path = user_config_path()
    if not path.exists():
        return None
    file = read_yaml(path)
    known = [*UserConfig.model_fields, *ExperimentConfig.model_fields]
    unknown = [key for key in file.data if key not in known]
    if unknown:
        raise ConfigError(
            "\n".join(
                f"{file.place((key,))}: {clean(key, SHOWN)}: unknown key{did_you_mean(key, known)}" for key in unknown
            )
        )
    return file


def _experiment_layer(file: YamlFile | None) -> _Layer:
    """Return the user file's experiment keys."""
    if file is None:
        return _Layer({}, lambda location: "")
    return _Layer({k: v for k, v in file.data.items() if k not in UserConfig.model_fields}, file.place)


def _argument(location: Location, prefix: str) -> str:
    return prefix + str(location[0]).replace("_", "-") if location and prefix else ""


def merge(weak: dict[str, Any], strong: dict[str, Any]) -> dict[str, Any]:
    """Return `weak` overridden by `strong`, sections key by key; any other value is replaced as a whole."""
    merged = dict(weak)
    for key, value in strong.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _place(layers: list[_Layer], location: Location) -> str:
    """Return where the value at `location` was written: in the strongest layer that has the most of it."""
    strongest_first = [layer for layer in reversed(layers) if layer.data]
    best = max(strongest_first, key=lambda layer: _depth(layer.data, location), default=None)
    return best.place(location) if best else ""


def _depth(data: Any, location: Location) -> int:
    for depth, part in enumerate(location):
        if not has(data, part):
            return depth
        data = data[part]
    return len(location)


def _validated(model: type[M], data: dict[str, Any], place: Callable[[Location], str]) -> M:
    try:
        return model.model_validate(data)
    except WrittenKeyError as error:
        raise error.placed(place) from None
    except ValidationError as error:
        raise ConfigError("\n".join(describe_errors(error, model, data, place))) from error
