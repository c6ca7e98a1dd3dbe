"""The layers of a configuration: what files and flags say, the weakest first, and where each value was written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from labledger.yaml_files import Location, YamlFile, has
from llenergymeasure.config.fields import nested, written_at
from llenergymeasure.config.servers import launch_in_full


@dataclass(frozen=True)
class Layer:
    """A part of a configuration: its keys, where each was written, and the folder of the file that it was read from."""

    data: dict[str, Any]
    place: Callable[[Location], str]
    folder: Path | None = None


def file_layer(file: YamlFile) -> Layer:
    """Return the layer that a YAML file is."""
    return Layer(file.data, file.place, file.path.parent)


def flags_layer(fields: Mapping[str, Any], field_prefix: str = "--") -> Layer:
    """Return the layer that flags are, or with an empty `field_prefix` keywords of a Python call."""
    return Layer(dict(fields), lambda location: flag_of(location, field_prefix))


def settings_layer(values: Mapping[str, JsonValue], flag: str = "--set") -> Layer:
    """Return the layer that values by dotted paths are, which a flag has given."""
    return dotted_layer(values, lambda path, _: f"{flag} {path}")


def dotted_layer(
    values: Mapping[str, JsonValue],
    place: Callable[[str, Location], str],
    elsewhere: str = "",
    folder: Path | None = None,
) -> Layer:
    """Return the layer that values by dotted paths are, none of which lies within another.

    `place` tells where a location within the value of a path was written; of a section that is where the first of its
    fields was. Any other location was written `elsewhere`.
    """
    paths = list(values)

    def placed(location: Location) -> str:
        if (found := written_at(paths, location)) is not None:
            return place(*found)
        inside = (path for path in paths if location and tuple(path.split("."))[: len(location)] == location)
        first = next(inside, None)
        return elsewhere if first is None else place(first, ())

    return Layer(nested(values), placed, folder)


def flag_of(location: Location, prefix: str) -> str:
    """Return the flag, or with an empty `prefix` nothing, that a location was given by."""
    return prefix + str(location[0]).replace("_", "-") if location and prefix else ""


def merge(weak: dict[str, Any], strong: dict[str, Any]) -> dict[str, Any]:
    """Return `weak` overridden by `strong`, sections key by key; any other value is replaced as a whole."""
    merged = dict(weak)
    for key, value in strong.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def merged(layers: Sequence[Layer]) -> dict[str, Any]:
    """Return what the layers say together, the weakest first."""
    return reduce(_overridden, (layer.data for layer in layers), {})


def _overridden(weak: dict[str, Any], strong: dict[str, Any]) -> dict[str, Any]:
    """Return `weak` overridden by `strong`; a section's keys reach a launch that is a preset's name or a command."""
    if isinstance(strong.get("launch"), dict) and "launch" in weak:
        weak = {**weak, "launch": launch_in_full(weak["launch"])}
    return merge(weak, strong)


def place_of(layers: Sequence[Layer], location: Location) -> str:
    """Return where the value at `location` was written."""
    best = layer_of(layers, location)
    return best.place(location) if best else ""


def layer_of(layers: Sequence[Layer], location: Location) -> Layer | None:
    """Return the strongest layer that has the most of `location`."""
    strongest_first = [layer for layer in reversed(layers) if layer.data]
    return max(strongest_first, key=lambda layer: _depth(layer.data, location), default=None)


def _depth(data: Any, location: Location) -> int:
    for depth, part in enumerate(location):
        if not has(data, part):
            return depth
        data = data[part]
    return len(location)
