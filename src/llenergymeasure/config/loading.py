"""From files and flags to a configuration: defaults < user configuration < YAML < flags."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import platformdirs
from pydantic import BaseModel, ValidationError

from labledger.untrusted_text import SHOWN, clean
from labledger.written_keys import WrittenKeyError
from labledger.written_paths import find_written, places
from labledger.yaml_files import Location, YamlFile, describe_errors, did_you_mean, has, read_yaml
from llenergymeasure.config.models import RANDOM_LLAMA, EnergyConfig, ExperimentConfig, UserConfig
from llenergymeasure.config.paths import from_here, written_paths
from llenergymeasure.config.section import WithoutEffectError
from llenergymeasure.errors import ConfigError, PreFlightError

OTHER_COMMANDS = {"agents": "payment-sim run", "scenario": "payment-sim experiment run"}
"""The commands that a file with these keys is for."""

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class LoadedConfig:
    """A resolved configuration and the files it came from, the weakest first.

    `absent` has, by its field, a line for each path in these files that leads nowhere; `not_used` a line for each
    default of the user configuration that has no effect on this experiment.
    """

    experiment: ExperimentConfig
    user: UserConfig
    files: tuple[Path, ...]
    absent: Mapping[str, str] = field(default_factory=dict)
    not_used: Sequence[str] = ()

    def require_paths(self) -> None:
        """Make sure that every path in its files leads somewhere.

        Raises:
            PreFlightError: one does not; a line each, with the places that were looked at.
            ConfigError: the dataset does not, and that is the only one.
        """
        if self.absent:
            kind = ConfigError if set(self.absent) == {"dataset"} else PreFlightError
            raise kind("\n".join(self.absent.values()))


@dataclass(frozen=True)
class _Layer:
    data: dict[str, Any]
    place: Callable[[Location], str]
    folder: Path | None = None
    """The folder of the file that it was read from."""


def user_config_path() -> Path:
    """Return the path of the user's own configuration."""
    return platformdirs.user_config_path("llenergymeasure") / "config.yaml"


def load_config(
    path: Path | None, fields: Mapping[str, Any] | None = None, *, field_prefix: str = "--"
) -> LoadedConfig:
    """Resolve an experiment from the user configuration, the YAML at `path`, and `fields`, which override both.

    An error in `fields` names them as flags, that is with `field_prefix`, or by their own names without one. A path
    that a file names is looked for beside that file, then in the working directory; one in `fields` only there. A
    default of the user configuration that has no effect on the experiment, as a batch size on a server, is left out.

    Raises:
        ConfigError: a file cannot be read, or a value is wrong: `file:line: field: problem`, a line each.
    """
    user_file = _user_file()
    layers: list[_Layer] = []
    if path is not None:
        file = read_yaml(path)
        layers.append(_Layer(file.data, file.place, path.parent))
    layers.append(_Layer(dict(fields or {}), lambda location: _argument(location, field_prefix)))
    user = load_user_config(user_file)
    defaults, not_used = _with_effect(_experiment_layer(user_file), _merged(layers))
    layers.insert(0, defaults)
    merged = _merged(layers)
    if "model" not in merged:
        where = str(path) if path is not None else "no configuration given"
        missing = f"{where}: model: required, and missing; name one with `model:` in the YAML or --model"
        raise ConfigError("\n".join([missing, *(_of_another_tool(path, merged) or _beside_a_missing_model(layers))]))
    merged, absent = _with_paths_found(merged, layers)
    experiment = _validated(ExperimentConfig, merged, lambda location: _place(layers, location))
    files = [user_file.path if user_file else None, path]
    return LoadedConfig(experiment, user, tuple(each for each in files if each is not None), absent, not_used)


def build_config(fields: Mapping[str, Any]) -> ExperimentConfig:
    """Return an experiment from Python: `fields` override the user configuration, as in `load_config`.

    Raises:
        ConfigError: the user configuration cannot be read or names a file that is not there, a key is written down, or
            a value is wrong.
    """
    defaults, _ = _with_effect(_experiment_layer(_user_file()), dict(fields))
    layers = [defaults, _Layer(dict(fields), lambda location: "")]
    merged, absent = _with_paths_found(_merged(layers), layers)
    experiment = _validated(ExperimentConfig, merged, lambda location: _place(layers, location))
    LoadedConfig(experiment, UserConfig(), (), absent).require_paths()
    return experiment


def with_fields(config: ExperimentConfig, fields: Mapping[str, Any]) -> ExperimentConfig:
    """Return the configuration with other values of `fields`, a section's keys one by one.

    Raises:
        ConfigError: it would be no valid one.
    """
    merged = merge(config.model_dump(exclude_unset=True), dict(fields))
    return _validated(ExperimentConfig, merged, lambda _: "")


def energy_config(fields: Mapping[str, Any], *, field_prefix: str = "") -> EnergyConfig:
    """Return the `energy` section that keywords are, or with a `field_prefix` flags.

    Raises:
        ConfigError: a value is wrong.
    """
    return _validated(EnergyConfig, dict(fields), lambda location: _argument(location, field_prefix))


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


def user_config_problems() -> list[str]:
    """Return a line for each problem of the user configuration, for which every run would refuse it."""
    try:
        file = _user_file()
        load_user_config(file)
    except ConfigError as error:
        return str(error).splitlines()
    layer = _experiment_layer(file)
    try:
        ExperimentConfig.model_validate({"model": RANDOM_LLAMA, **layer.data})
    except WrittenKeyError as error:
        return str(error.placed(layer.place)).splitlines()
    except ValidationError as error:
        own = [each for each in error.errors() if each["loc"] and each["loc"][0] in layer.data]  # others need a YAML
        return describe_errors(error, ExperimentConfig, layer.data, layer.place) if own else []
    return []


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
    return _Layer(
        {k: v for k, v in file.data.items() if k not in UserConfig.model_fields}, file.place, file.path.parent
    )


def _with_effect(defaults: _Layer, given: dict[str, Any]) -> tuple[_Layer, list[str]]:
    """Return the user's defaults without those that have no effect on the experiment `given`, and a line for each."""
    not_used = []
    while (
        error := _without_effect(merge(defaults.data, given))
    ) and error.field in defaults.data.keys() - given.keys():
        not_used.append(f"{defaults.place((error.field,))}: {error}")
        defaults = replace(defaults, data={name: value for name, value in defaults.data.items() if name != error.field})
    return defaults, not_used


def _without_effect(data: dict[str, Any]) -> WithoutEffectError | None:
    """Return the error of the first field of an experiment that has no effect; None where there is another one."""
    try:
        ExperimentConfig.model_validate({"model": "m", **data})
    except ValidationError as error:
        raised = [each.get("ctx", {}).get("error") for each in error.errors() if not each["loc"]]
        return next((each for each in raised if isinstance(each, WithoutEffectError)), None)
    except WrittenKeyError:
        pass
    return None


def _beside_a_missing_model(layers: list[_Layer]) -> list[str]:
    """Return a line for each other problem of what was written, as that `model` is misspelt."""
    data = _merged(layers)
    try:
        ExperimentConfig.model_validate({"model": "m", **data})
    except WrittenKeyError as error:
        return [str(error.placed(lambda location: _place(layers, location)))]
    except ValidationError as error:
        return describe_errors(error, ExperimentConfig, data, lambda location: _place(layers, location))
    return []


def _of_another_tool(path: Path | None, data: Mapping[str, Any]) -> list[str]:
    """Return a line with the command that the file is for, where it is another tool's."""
    command = next((command for key, command in OTHER_COMMANDS.items() if key in data), None)
    return [f"  it looks like a file of another tool: {command} {path}"] if command and path else []


def _argument(location: Location, prefix: str) -> str:
    return prefix + str(location[0]).replace("_", "-") if location and prefix else ""


def merge(weak: dict[str, Any], strong: dict[str, Any]) -> dict[str, Any]:
    """Return `weak` overridden by `strong`, sections key by key; any other value is replaced as a whole."""
    merged = dict(weak)
    for key, value in strong.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _merged(layers: Sequence[_Layer]) -> dict[str, Any]:
    return reduce(merge, (layer.data for layer in layers), {})


def _with_paths_found(data: dict[str, Any], layers: list[_Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return `data` with each path that a file names as it is from the working directory; and by its field a line for
    each that leads nowhere."""
    absent = {}
    for path in written_paths(data):
        layer = _layer_of(layers, path.location)
        if layer is None or layer.folder is None:
            continue
        found = find_written(path.written, layer.folder)
        if found.exists():
            data = merge(data, path.changed_to(from_here(found, path.written)))
        elif path.must_exist:
            field, looked = ".".join(path.location), places(path.written, layer.folder)
            where = f"{layer.place(path.location)}: {field}: {clean(path.written, SHOWN)}"
            absent[field] = f"{where}: no such {path.kind} ({looked})"
    return data, absent


def _place(layers: list[_Layer], location: Location) -> str:
    """Return where the value at `location` was written."""
    best = _layer_of(layers, location)
    return best.place(location) if best else ""


def _layer_of(layers: list[_Layer], location: Location) -> _Layer | None:
    """Return the strongest layer that has the most of `location`."""
    strongest_first = [layer for layer in reversed(layers) if layer.data]
    return max(strongest_first, key=lambda layer: _depth(layer.data, location), default=None)


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
