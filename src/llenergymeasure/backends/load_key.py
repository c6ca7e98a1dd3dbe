"""The part of a configuration that the loading of a model, or the start of a server, sees."""

import json
from collections.abc import Collection

from llenergymeasure.config.models import ExperimentConfig


def key_without(config: ExperimentConfig, fields: Collection[str]) -> str:
    """Return the configuration as a text, without these fields, by their dotted paths."""
    found = config.in_effect()
    for path in fields:
        *above, last = path.split(".")
        place = found
        for name in above:
            section = place.get(name)
            place = section if isinstance(section, dict) else {}
        place.pop(last, None)
    return json.dumps(found, sort_keys=True)
