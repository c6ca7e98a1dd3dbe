"""The fields of an experiment by their dotted paths, as `decoder.top_p` or `launch.flags.max-num-seqs`."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel, JsonValue

from labledger.json_text import dump_json
from labledger.secret_rules import is_random
from labledger.sections import models_in
from labledger.untrusted_text import clean
from labledger.yaml_files import KEY_LIKE, MAX_SHOWN_KEY, Location, did_you_mean
from llenergymeasure.config.datasets import SyntheticDataset
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.config.section import STUDY_KEYS

MAX_SHOWN_LIST = 60


@cache
def field_paths() -> Mapping[str, str]:
    """Return the path of every field and section, each with its description."""
    return dict(_paths([ExperimentConfig], ""))


def sweep_advice(data: Mapping[str, Any], location: Location, place: str) -> str:
    """Return how to have one run of each value where a list stands for a field that takes one; "" where none does.

    `place` is where it was written: a file, a flag, or "" of a Python call.
    """
    path, values = ".".join(map(str, location)), value_at(data, ".".join(map(str, location)))
    if not isinstance(values, list) or not values or not _takes_one_value(path):
        return ""
    if place.startswith("--"):
        return f"; for one run of each write --sweep '{path}={shown_list(values)}'"
    if place:
        return f"; for one run of each write sweep: {{{path}: {shown_list(values)}}}"
    return f'; for one run of each: run_study(..., sweep={{"{path}": {shown_list(values)}}})'


def shown_list(values: Sequence[JsonValue]) -> str:
    """Return a list as YAML has it on one line, and as a message may hold it: cut, and with nothing like a key."""
    text = dump_json(values, indent=None) if not is_random(repr(values)) else "[...]"
    return text if len(text) <= MAX_SHOWN_LIST else "[...]"


def path_problem(path: str) -> str:
    """Return why a dotted path is no field of an experiment, with the nearest that is; "" where it is one."""
    models: list[type[BaseModel]] = [ExperimentConfig]
    parts = path.split(".")
    if parts[0] in STUDY_KEYS:
        return "no field of an experiment: a key of studies, which stands in the file by itself"
    if not all(parts):
        return f"no field: write its name, as batch_size or decoder.top_p{_meant(path)}"
    above: list[str] = []
    for part in parts:
        if not models:
            return f"no field: {'.'.join(above)} has no fields of its own{_meant(path)}"
        annotations = [owner.model_fields[part].annotation for owner in models if part in owner.model_fields]
        if not annotations:
            names = [".".join([*above, name]) for owner in models for name in owner.model_fields]
            return f"no field{_meant(path) or did_you_mean('.'.join([*above, part]), list(dict.fromkeys(names)))}"
        if any(map(_takes_any_key, annotations)):
            return ""
        models = [model for annotation in annotations for model in models_in(annotation)]
        above.append(part)
    return ""


def shown_path(path: str) -> str:
    """Return a path as a message may hold it: on one line, and not where it looks like a key."""
    return KEY_LIKE if is_random(path) and path_problem(path) else clean(path, MAX_SHOWN_KEY) or "''"


def overlap(one: str, other: str) -> bool:
    """Return True if two paths are the same field, or one lies within the other."""
    first, second = one.split("."), other.split(".")
    return all(a == b for a, b in zip(first, second, strict=False))


def nested(values: Mapping[str, JsonValue]) -> dict[str, Any]:
    """Return values by dotted paths as the sections that they are part of; no path lies within another."""
    found: dict[str, Any] = {}
    for path, value in values.items():
        *above, last = path.split(".")
        place = found
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    return found


def flattened(data: Mapping[str, Any], above: Sequence[str] = ()) -> Iterator[tuple[str, JsonValue]]:
    """Yield each value of nested sections with its dotted path; an empty section is a value."""
    for key, value in data.items():
        path = [*above, key]
        if isinstance(value, Mapping) and value:
            yield from flattened(value, path)
        else:
            yield ".".join(path), value


def value_at(fields: Mapping[str, JsonValue], path: str) -> JsonValue:
    """Return the value of a dotted path in a configuration's fields; None where there is none."""
    value: JsonValue = dict(fields)
    for part in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def written_at(paths: Sequence[str], location: Location) -> tuple[str, Location] | None:
    """Return the path by which a location was written, and the rest of the location; None where none leads to it."""
    for path in paths:
        parts = tuple(path.split("."))
        if location[: len(parts)] == parts:
            return path, location[len(parts) :]
    return None


def takes_all_prompts(config: ExperimentConfig) -> bool:
    """Return True if `num_prompts` is not given, and is to be that of the dataset's prompts, up to its default."""
    is_open = "num_prompts" not in config.model_fields_set and not config.goes_round
    return is_open and not isinstance(config.dataset, SyntheticDataset)


def _paths(models: Sequence[type[BaseModel]], above: str) -> Iterator[tuple[str, str]]:
    for owner in models:
        for name, field in owner.model_fields.items():
            inside = models_in(field.annotation)
            about = field.description or next(((each.__doc__ or "").split("\n\n")[0] for each in inside), "")
            yield above + name, " ".join(about.split())
            yield from _paths(inside, f"{above}{name}.")


def _meant(path: str) -> str:
    """Return the field of another section that has the last name of a path, as a question; "" where none has."""
    last = path.rpartition(".")[2]
    found = [each for each in field_paths() if each.rpartition(".")[2] == last]
    return f" (did you mean {' or '.join(found[:3])}?)" if last and found else ""


def _takes_one_value(path: str) -> bool:
    """Return True of the path of a field of which no value is a list or a section."""
    models: list[type[BaseModel]] = [ExperimentConfig]
    annotations: list[Any] = []
    for part in path.split("."):
        annotations = [owner.model_fields[part].annotation for owner in models if part in owner.model_fields]
        models = [model for annotation in annotations for model in models_in(annotation)]
    return bool(annotations) and not models and not any(map(_is_many, annotations))


def _is_many(annotation: Any) -> bool:
    return get_origin(annotation) in (list, tuple, dict) or any(map(_is_many, get_args(annotation)))


def _takes_any_key(annotation: Any) -> bool:
    return get_origin(annotation) is dict or any(_takes_any_key(part) for part in get_args(annotation))
