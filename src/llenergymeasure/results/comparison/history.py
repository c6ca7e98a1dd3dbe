"""The history that a gate compares with: the last results of the same configuration before the new ones."""

import math
from collections.abc import Sequence

from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.comparison.runs import in_time
from llenergymeasure.results.configurations import by_configuration, configuration_key


def history(
    new: Sequence[ExperimentResult], results: Sequence[ExperimentResult], last: int | None = None
) -> list[ExperimentResult]:
    """Return the `last` of `results` (None: all) that began before `new` did, oldest first, of its configuration.

    Where none of them is of its configuration, and all are of one, that one is compared with.

    Raises:
        ConfigError: there is none, or it cannot be told of which configuration.
    """
    known = {result.experiment_id for result in new}
    others = [result for result in results if result.experiment_id is None or result.experiment_id not in known]
    ordered = in_time(others, new)
    runs = sorted([*ordered.placed, *ordered.left_out], key=lambda run: run.start_s)
    began_s = min((run.start_s for run in runs if run.side == 1 and run.result.start_time), default=math.inf)
    before = [run.result for run in runs if run.side == 0 and run.start_s < began_s]
    if not before:
        raise ConfigError("no history: no other result in there began before the new one")
    groups = by_configuration(before)
    mine = {configuration_key(result) for result in new}
    alike = [key for key in groups if key in mine] or list(groups)
    if len(alike) > 1:
        raise ConfigError(
            f"{len(alike)} configurations are in there, and none is the new one's: name a directory with results of "
            "that one, or of one other alone"
        )
    members = {id(result) for result in groups[alike[0]]}
    found = [result for result in before if id(result) in members]  # in the order of `before`
    return found if last is None else found[-last:]
