"""The settings in which runs differ, by their keys: the columns that tell one run of a sweep from another."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from labledger.json_text import dump_json
from payment_simulator.experiments.config import with_defaults
from payment_simulator.experiments.settings import SCENARIO, SCENARIO_SETTINGS

SEED = "master_seed"
LEFT_OUT = ("name", "description", "output")
MAX_KEYS = 1_000


def settings_of(config: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a stored configuration by dotted key, those of the scenario as `scenario.KEY`; no names."""
    whole = {key: value for key, value in with_defaults(config).items() if key not in LEFT_OUT}
    changed = whole.pop(SCENARIO_SETTINGS, None)
    found = dict(_flat(whole, ""))
    if isinstance(changed, dict):
        found |= {f"{SCENARIO}{key}": value for key, value in changed.items()}
    return found


def _flat(section: Mapping[str, Any], before: str) -> Iterable[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


class Differences:
    """The keys whose values are not the same in all configurations that were `seen`."""

    def __init__(self) -> None:
        self._first: dict[str, str | None] = {}
        self._number = 0
        self._differing: dict[str, None] = {}

    @classmethod
    def of(cls, configs: Iterable[dict[str, Any]]) -> "Differences":
        """Return the differences of stored configurations."""
        found = cls()
        for each in configs:
            found.see(settings_of(each))
        return found

    def see(self, settings: Mapping[str, Any]) -> None:
        """Take note of the settings of one more run."""
        for key in dict.fromkeys([*self._first, *settings]):
            text = dump_json(settings[key], indent=None) if key in settings else None
            before = self._first.setdefault(key, text if self._number == 0 else None)
            if before != text and len(self._differing) < MAX_KEYS:
                self._differing[key] = None
        self._number += 1

    @property
    def keys(self) -> list[str]:
        """Those of the scenario first, the seed last."""
        return sorted(self._differing, key=lambda key: (key == SEED, not key.startswith(SCENARIO)))

    def of_run(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return a run's values of these keys; None of a key that it does not have."""
        return {key: settings.get(key) for key in self.keys}


def without_seed(keys: Sequence[str]) -> list[str]:
    """Return the keys of which each has an effect that is looked for: all but the seed, unless it is alone."""
    return [key for key in keys if key != SEED] or list(keys)
