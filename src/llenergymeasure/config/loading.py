"""From files and flags to a configuration: defaults < user configuration < YAML < flags."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import platformdirs
from pydantic import BaseModel, JsonValue, ValidationError

from labledger.untrusted_text import SHOWN, clean
from labledger.written_keys import WrittenKeyError
from labledger.written_paths import find_written, places
from labledger.yaml_files import Location, YamlFile, describe_errors, did_you_mean, has, read_yaml
from llenergymeasure.config.boards import listed_settings
from llenergymeasure.config.fields import sweep_advice
from llenergymeasure.config.layers import (
    Layer,
    file_layer,
    flag_of,
    flags_layer,
    layer_of,
    merge,
    merged,
    place_of,
    settings_layer,
)
from llenergymeasure.config.models import RANDOM_LLAMA, EnergyConfig, ExperimentConfig, UserConfig
from llenergymeasure.config.paths import WORK_FILES, from_here, written_paths
from llenergymeasure.config.section import STUDY_KEYS, STUDY_MARKS, WithoutEffectError
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
            ConfigError: none but the dataset's, or one of `quality`, does not.
        """
        if self.absent:
            kind = ConfigError if set(self.absent) <= {*WORK_FILES} else PreFlightError
            raise kind("\n".join(self.absent.values()))


@dataclass(frozen=True)
class UserSettings:
    """The user configuration: the machine's part, and defaults of experiments; `path` is None where there is none."""

    path: Path | None
    user: UserConfig
    defaults: Layer


def user_config_path() -> Path:
    """Return the path of the user's own configuration."""
    return platformdirs.user_config_path("llenergymeasure") / "config.yaml"


def load_config(
    path: Path | None,
    fields: Mapping[str, Any] | None = None,
    *,
    settings: Mapping[str, JsonValue] | None = None,
    field_prefix: str = "--",
) -> LoadedConfig:
    """Resolve an experiment from the user configuration, the YAML at `path`, and `fields`, which override both.

    `settings` override them all: values by the dotted paths of fields, as `--set` has them.

    An error in `fields` names them as flags, that is with `field_prefix`, or by their own names without one. A path
    that a file names is looked for beside that file, then in the working directory; one in `fields` only there. A
    default of the user configuration that has no effect on the experiment, as a batch size on a server, is left out.

    Raises:
        ConfigError: a file cannot be read or is a study, or a value is wrong: `file:line: field: problem`, a line each.
    """
    layers: list[Layer] = []
    if path is not None:
        file = read_yaml(path)
        refuse_study_keys(file)
        layers.append(file_layer(file))
    layers += [flags_layer(fields or {}, field_prefix), settings_layer(settings or {})]
    return resolve(layers, [path] if path else [])


def is_study(file: YamlFile) -> bool:
    """Return True if a file is a study, and not one experiment."""
    return any(key in file.data for key in STUDY_MARKS) or bool(listed_settings(file.data))


def has_search(fields: Mapping[str, Any]) -> bool:
    """Return True if an experiment's fields have a load search, which makes several runs: it is run as a study."""
    load: Any = fields.get("load")
    return has(load, "search") and load["search"] is not None


def refuse_study_keys(file: YamlFile) -> None:
    """Refuse a file that is to be one experiment, and has keys of a study.

    Raises:
        ConfigError: it is a study, or has keys that only a study's file has.
    """
    if is_study(file):
        key = next((key for key in file.data if key in STUDY_MARKS), "gpu")
        raise ConfigError(f"{file.place((key,))}: {key}: the file is a study, which `llem run` runs by itself")
    if not any(key in file.data for key in STUDY_KEYS):
        return
    fields, lines = ExperimentConfig.model_fields, []
    for key in (key for key in file.data if key not in fields):
        known = key in STUDY_KEYS
        marks = " or ".join(f"{mark}:" for mark in STUDY_MARKS)
        why = (
            f"is for studies alone, and nothing makes one of this file; add {marks}"
            if known
            else _unknown(key, [*fields, *STUDY_KEYS])
        )
        lines.append(f"{file.place((key,))}: {clean(key, SHOWN)}: {why}")
    raise ConfigError("\n".join(lines))


def read_user_settings() -> UserSettings:
    """Return the user configuration.

    Raises:
        ConfigError: it cannot be read, or a value of the machine's part is wrong.
    """
    file = _user_file()
    return UserSettings(file.path if file else None, load_user_config(file), _experiment_layer(file))


def resolve(layers: Sequence[Layer], files: Sequence[Path], own: UserSettings | None = None) -> LoadedConfig:
    """Resolve an experiment from the user configuration and `layers`, which override it, the weakest first.

    `files` are those that the layers were read from; `own` is the user configuration where it was read before. Raises
    as `load_config`.
    """
    own = own or read_user_settings()
    defaults, not_used = _with_effect(own.defaults, merged(layers))
    layers = [defaults, *layers]
    given = merged(layers)
    if "model" not in given:
        path = next(iter(files), None)
        where = str(path) if path is not None else "no configuration given"
        missing = f"{where}: model: required, and missing; name one: `model:` in the YAML, --model or model="
        raise ConfigError("\n".join([missing, *(_of_another_tool(path, given) or _beside_a_missing_model(layers))]))
    given, absent = _with_paths_found(given, layers)
    experiment = _validated(ExperimentConfig, given, lambda location: place_of(layers, location))
    known = [*([own.path] if own.path else []), *files]
    return LoadedConfig(experiment, own.user, tuple(known), absent, not_used)


def build_config(fields: Mapping[str, Any]) -> ExperimentConfig:
    """Return an experiment from Python: `fields` override the user configuration, as in `load_config`.

    Raises:
        ConfigError: the user configuration cannot be read or names a file that is not there, a key is written down, or
            a value is wrong.
    """
    defaults, _ = _with_effect(_experiment_layer(_user_file()), dict(fields))
    layers = [defaults, Layer(dict(fields), lambda location: "")]
    given, absent = _with_paths_found(merged(layers), layers)
    experiment = _validated(ExperimentConfig, given, lambda location: place_of(layers, location))
    LoadedConfig(experiment, UserConfig(), (), absent).require_paths()
    return experiment


def with_fields(config: ExperimentConfig, fields: Mapping[str, Any]) -> ExperimentConfig:
    """Return the configuration with other values of `fields`, a section's keys one by one.

    Raises:
        ConfigError: it would be no valid one.
    """
    given = merge(config.model_dump(exclude_unset=True), dict(fields))
    return _validated(ExperimentConfig, given, lambda _: "")


def energy_config(fields: Mapping[str, Any], *, field_prefix: str = "") -> EnergyConfig:
    """Return the `energy` section that keywords are, or with a `field_prefix` flags.

    Raises:
        ConfigError: a value is wrong.
    """
    return _validated(EnergyConfig, dict(fields), lambda location: flag_of(location, field_prefix))


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


def _unknown(key: str, known: list[str]) -> str:
    return f"unknown key{did_you_mean(key, known)}"


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
            "\n".join(f"{file.place((key,))}: {clean(key, SHOWN)}: {_unknown(key, known)}" for key in unknown)
        )
    return file


def _experiment_layer(file: YamlFile | None) -> Layer:
    """Return the user file's experiment keys."""
    if file is None:
        return Layer({}, lambda location: "")
    return Layer({k: v for k, v in file.data.items() if k not in UserConfig.model_fields}, file.place, file.path.parent)


def _with_effect(defaults: Layer, given: dict[str, Any]) -> tuple[Layer, list[str]]:
    """Return the user's defaults without those that have no effect on the experiment `given`, and a line for each."""
    not_used: list[str] = []
    if not defaults.data:
        return defaults, not_used
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


def _beside_a_missing_model(layers: Sequence[Layer]) -> list[str]:
    """Return a line for each other problem of what was written, as that `model` is misspelt."""
    data = merged(layers)
    try:
        ExperimentConfig.model_validate({"model": "m", **data})
    except WrittenKeyError as error:
        return [str(error.placed(lambda location: place_of(layers, location)))]
    except ValidationError as error:
        return _described(error, ExperimentConfig, data, lambda location: place_of(layers, location))
    return []


def _of_another_tool(path: Path | None, data: Mapping[str, Any]) -> list[str]:
    """Return a line with the command that the file is for, where it is another tool's."""
    command = next((command for key, command in OTHER_COMMANDS.items() if key in data), None)
    return [f"  it looks like a file of another tool: {command} {path}"] if command and path else []


def _with_paths_found(data: dict[str, Any], layers: Sequence[Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return `data` with each path that a file names as it is from the working directory; and by its field a line for
    each that leads nowhere."""
    absent = {}
    for path in written_paths(data):
        layer = layer_of(layers, path.location)
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


def _validated(model: type[M], data: dict[str, Any], place: Callable[[Location], str]) -> M:
    try:
        return model.model_validate(data)
    except WrittenKeyError as error:
        raise error.placed(place) from None
    except ValidationError as error:
        raise ConfigError("\n".join(_described(error, model, data, place))) from error


def _described(
    error: ValidationError, model: type[BaseModel], data: dict[str, Any], place: Callable[[Location], str]
) -> list[str]:
    """Return a line for each problem; where an experiment's field has a list of values, with the sweep it would be."""

    def advice(location: Location) -> str:
        return sweep_advice(data, location, place(location)) if model is ExperimentConfig else ""

    return describe_errors(error, model, data, place, advice=advice)
