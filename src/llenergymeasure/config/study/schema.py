"""The JSON Schema of a file that `llem run` takes: an experiment, or a study."""

from typing import Any

from pydantic import JsonValue

from llenergymeasure.config.fields import field_paths
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.config.section import STUDY_MARKS
from llenergymeasure.config.study.sections import StudyFields

ABOUT = "An experiment or, with `study`, `sweep` or `experiments`, a study of many: docs/studies.md."
BASE = "File of an experiment, relative to this one, whose keys hold for all cells; the keys here override it."
SWEEP = (
    "Axes, each a field by its dotted path with a list of values; the cells are their product. Fields that move "
    "together: a+b: [[1, 32], [8, 256]]."
)
EXPERIMENTS = "Further cells: the fields, nested or by dotted paths, in which each differs from the base."


def file_schema() -> dict[str, Any]:
    """Return the JSON Schema of an experiment's file, with the keys that make a study of it."""
    schema, study = ExperimentConfig.model_json_schema(), StudyFields.model_json_schema()
    axes: dict[str, JsonValue] = {
        path: {"type": "array", "minItems": 1, **({"description": about} if about else {})}
        for path, about in field_paths().items()
    }
    schema["$defs"] |= study["$defs"]
    schema["properties"] |= study["properties"] | {
        "base": {"type": "string", "description": BASE},
        "sweep": {
            "type": "object",
            "description": SWEEP,
            "minProperties": 1,
            "properties": axes,
            "additionalProperties": {"type": "array", "minItems": 1},
        },
        "experiments": {
            "type": "array",
            "description": EXPERIMENTS,
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": schema["properties"] | {path: {} for path in axes if "." in path},
            },
        },
    }
    schema["description"] = ABOUT
    del schema["required"]
    return schema | {"anyOf": [{"required": [key]} for key in ("model", *STUDY_MARKS)]}
