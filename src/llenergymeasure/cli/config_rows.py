"""The fields of configurations in tables for people: those that differ, and those that are not default."""

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from llenergymeasure.results.config_columns import PREFIX, as_text, config_values, differing_columns

if TYPE_CHECKING:
    from llenergymeasure.domain.experiment import ExperimentResult
    from llenergymeasure.results.flat import Row

MAX_DIFFERING = 6
MAX_NAMED = 10
LISTED_ANYWAY = {
    f"{PREFIX}{name}" for name in ("model", "backend", "batch_size", "load.concurrency", "load.request_rate")
}
SHOWN_ANYWAY = LISTED_ANYWAY | {f"{PREFIX}{name}" for name in ("precision", "device")}


def differing(rows: "Sequence[Row]") -> tuple[list[str], str]:
    """Return the columns in which the rows' configurations differ, as many as a table has room for; and the others.

    The others are in words. Those that stand in the list anyway, as the model, are in neither.
    """
    names = [name for name in differing_columns([row.config for row in rows]) if name not in LISTED_ANYWAY]
    others = [name.removeprefix(PREFIX) for name in names[MAX_DIFFERING:]]
    more = [f"{len(others) - MAX_NAMED} more"] if len(others) > MAX_NAMED else []
    return names[:MAX_DIFFERING], ", ".join([*islice(others, MAX_NAMED), *more])


def settings(result: "ExperimentResult") -> list[tuple[str, str]]:
    """Return the row of what is not default in a result's configuration, but what is shown anyway; none of nothing."""
    changes = config_values(result.effective_config).changes
    words = [
        f"{name.removeprefix(PREFIX)} {as_text(value)}" for name, value in changes.items() if name not in SHOWN_ANYWAY
    ]
    return [("settings", ", ".join(words))] if words else []
