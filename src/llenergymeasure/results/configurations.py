"""The grouping of results by their configuration itself, whichever version of the tool has saved them."""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime

from pydantic import JsonValue, ValidationError

from labledger.comparison import diff
from labledger.written_keys import WrittenKeyError
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results.complete_runs import UNKNOWN_HASH


def configuration_key(result: ExperimentResult) -> str:
    """Return a text that results of one configuration have in common, and no others.

    It is of the configuration as it ran (`effective_config`), a key that is absent there being its default: unlike
    `measurement_config_hash` it does not change when a version of the tool adds a key. A configuration that this
    version cannot read, of a newer version or another tool, is compared as it is written; without one the hash counts,
    and where that is not known either, the result stands alone.
    """
    config_hash, effective = result.measurement_config_hash, result.effective_config
    if config_hash == UNKNOWN_HASH or not (effective or config_hash):
        return f"result {result.experiment_id}"
    if not effective:
        return str(config_hash)
    canonical = json.dumps(with_defaults(effective) or effective, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def by_configuration(results: Iterable[ExperimentResult]) -> dict[str, list[ExperimentResult]]:
    """Return the results of each configuration by its key, all in the order in which they began."""
    groups: dict[str, list[ExperimentResult]] = {}
    for result in sorted(results, key=_began):
        groups.setdefault(configuration_key(result), []).append(result)
    return groups


def differences(first: ExperimentResult, second: ExperimentResult) -> dict[str, tuple[JsonValue, JsonValue]]:
    """Return where two results' configurations differ: by the path of each value, the two values.

    As in `configuration_key` an absent key is its default. Where one of the two cannot be read, both are compared as
    they are written.
    """
    one, other = first.effective_config, second.effective_config
    if one == other:
        return {}
    filled = with_defaults(one), with_defaults(other)
    return diff(one, other) if None in filled else diff(*filled)


def _began(result: ExperimentResult) -> tuple[bool, datetime]:
    """Return a key that sorts by the start, those without one last; a time without a zone is taken for UTC."""
    moment = result.start_time or datetime.max
    return result.start_time is None, moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def with_defaults(effective: dict[str, JsonValue]) -> dict[str, JsonValue] | None:
    """Return the configuration with its defaults filled in; None where it cannot be read."""
    # The device is the one that was taken, and may be none that can be asked for: a server's may be remote.
    asked = {name: value for name, value in effective.items() if name != "device"}
    try:
        read = ExperimentConfig.model_validate(asked).in_effect()
    except (ValidationError, WrittenKeyError):
        return None
    return {**read, "device": effective.get("device", read["device"])}
