"""The flags of `llem run` that make a study, or set any field: `--sweep` and `--set`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import JsonValue


class Given(NamedTuple):
    """The values that `--set` gives, and the axes of `--sweep`, each by the dotted paths of fields."""

    settings: dict[str, JsonValue]
    axes: dict[str, list[JsonValue]]


def study_wanted(configs: Sequence[Path], sweep: Sequence[str], settings: Mapping[str, JsonValue]) -> bool:
    """Return True if a command line asks for a study: by an axis, by its one file, or by a load search.

    Raises:
        ConfigError: a file cannot be read, a study is named beside other files, or torchrun has started this process.
    """
    from labledger.yaml_files import read_yaml
    from llenergymeasure.config.fields import nested
    from llenergymeasure.config.loading import has_search, is_study
    from llenergymeasure.config.ranks import this_rank
    from llenergymeasure.errors import ConfigError

    files = {path: read_yaml(path) for path in configs}
    studies = [path for path, file in files.items() if is_study(file) or has_search(file.data)]
    flag = "--sweep" if sweep else "--set load.search" if has_search(nested(settings)) else ""
    if not studies and not flag:
        return False
    if len(configs) > 1:
        what = f"{studies[0]}: is a study" if studies else f"{flag}: with {len(configs)} files"
        way = "; name one file, and write what else is to run below its `experiments:`"
        raise ConfigError(f"{what}, which runs by itself{way}" if studies else f"{what}: a study is made of one{way}")
    if this_rank() is not None:
        what = str(studies[0]) if studies else flag
        raise ConfigError(
            f"{what}: torchrun starts processes for one run; start the study with llem alone, which can start several "
            "(pytorch.data_parallel)"
        )
    return True


def refuse_without_study(settings: Mapping[str, JsonValue], **flags: bool) -> None:
    """Refuse flags that only a study heeds, and settings of one.

    Raises:
        ConfigError: one is given.
    """
    from llenergymeasure.config.study.sections import is_study_path
    from llenergymeasure.errors import ConfigError

    given = [f"--{name.replace('_', '-')}" for name, is_given in flags.items() if is_given]
    if given := [*given, *(f"--set {path}" for path in settings if is_study_path(path))]:
        raise ConfigError(
            f"{' and '.join(given)}: for a study alone: a file with study:, sweep: or experiments:, or --sweep; leave "
            "out what is given"
        )


def read_flags(
    settings: Sequence[str], sweep: Sequence[str], flags: Mapping[str, Any], repeats: int | None = None
) -> Given:
    """Return what `--set` and `--sweep` say; `flags` are the fields that have a flag of their own and were given.

    `repeats` is what `--repeat` gives.

    Raises:
        ConfigError: one has no value, no such field or no YAML, or a field is named twice; a line each.
    """
    from llenergymeasure.errors import ConfigError

    problems: list[str] = []
    values = dict(_pairs("--set", settings, problems))
    axes = dict(_pairs("--sweep", sweep, problems))
    problems += _twice(values, flags)
    if repeats is not None and "study.repeats" in values:
        problems.append("--set study.repeats: --repeat gives it as well; name it once")
    if problems:
        raise ConfigError("\n".join(problems))
    return Given(values, axes)


def _pairs(flag: str, texts: Sequence[str], problems: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield each field that a flag names with its value, of `--sweep` a list of values."""
    from labledger.errors import ConfigError
    from llenergymeasure.config.fields import shown_path

    seen = set[str]()
    for text in texts:
        path, sign, value = (part.strip() for part in text.partition("="))
        named = f"{flag} {shown_path(path)}"
        if not sign or not value:
            if not sign and _problem(flag, path):
                named = flag  # no field: what stands there may be a value
            problems.append(f"{named}: no value; write {flag} {'FIELD=1,8' if flag == '--sweep' else 'FIELD=VALUE'}")
        elif path in seen:
            problems.append(f"{named}: given twice; name it once")
        elif found := list(filter(None, (_problem(flag, part) for part in _parts(flag, path)))):
            problems.append(f"{named}: {'; '.join(found)}")
        else:
            try:
                yield path, _values(value) if flag == "--sweep" else _value(value)
            except ConfigError as error:
                problems.append(f"{named}: {error}")
        seen.add(path)


def _problem(flag: str, path: str) -> str:
    """Return why a flag can name no such field; "" where it can."""
    from llenergymeasure.config.fields import path_problem
    from llenergymeasure.config.study.sections import is_study_path, study_path_problem

    return study_path_problem(path) if flag == "--set" and is_study_path(path) else path_problem(path)


def _parts(flag: str, path: str) -> list[str]:
    """Return the fields that a flag names: those of an axis may be several, that move together."""
    from llenergymeasure.config.study.axes import TOGETHER

    return [part.strip() for part in path.split(TOGETHER)] if flag == "--sweep" else [path]


def _twice(values: Mapping[str, JsonValue], flags: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each field that `--set` gives twice, or beside a flag of its own."""
    from itertools import combinations

    from llenergymeasure.config.fields import overlap

    for name in flags:
        yield from (
            f"--set {path}: --{name.replace('_', '-')} gives it as well; name it once"
            for path in values
            if overlap(name, path)
        )
    for one, other in combinations(values, 2):
        if overlap(one, other):
            yield f"--set {other}: --set {one} gives it as well; name it once"


def _value(text: str) -> JsonValue:
    from labledger.yaml_files import yaml_value

    value: JsonValue = yaml_value(text)
    return value


def _values(text: str) -> list[JsonValue]:
    """Return the values of an axis: `1,8`, or a YAML list of them, as values that have commas need it."""
    found = _value(f"[{text}]")
    if isinstance(found, list) and len(found) == 1 and isinstance(found[0], list):
        return found[0]
    return found if isinstance(found, list) else [found]
