"""The history that a gate compares with: the last nights of the new results' configuration on their devices."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.errors import ConfigError
from llenergymeasure.results.comparison.runs import Run, devices_of, in_time
from llenergymeasure.results.comparison.stretches import sessions
from llenergymeasure.results.comparison.table import OTHER_DEVICES, LeftOut, first_of_each
from llenergymeasure.results.configurations import by_configuration, configuration_key


class History(NamedTuple):
    """Earlier results, oldest first, and those of the same place that do not count, with the reason."""

    results: list[ExperimentResult]
    left_out: list[LeftOut]


def history(new: Sequence[ExperimentResult], results: Sequence[ExperimentResult], last: int | None = None) -> History:
    """Return those of `results` that began before `new` did, of its configuration and on its devices.

    Of these, the `last` stretches (nights: runs without an hour's pause between them); None: all. A result that is
    given twice counts once. Where none of them is of its configuration, and all are of one, that one is taken.

    Raises:
        ConfigError: there is none, or it cannot be told of which configuration.
    """
    known = {result.experiment_id for result in new if result.experiment_id is not None}
    once = first_of_each(result for result in results if result.experiment_id not in known)
    ordered = in_time(once, new)
    runs = sorted([*ordered.placed, *ordered.left_out], key=lambda run: run.start_s)
    began_s = min((run.start_s for run in runs if run.side == 1 and run.result.start_time), default=math.inf)
    left_out: list[LeftOut] = []

    def kept(candidates: Sequence[Run], reason: str, is_kept: Callable[[Run], bool]) -> list[Run]:
        left_out.extend(LeftOut(run.result.experiment_id, reason) for run in candidates if not is_kept(run))
        return [run for run in candidates if is_kept(run)]

    earlier = [run for run in runs if run.side == 0]
    before = kept(earlier, "it did not begin before the new one", lambda run: run.start_s < began_s)
    if not before:
        raise ConfigError("no history: no other result in there began before the new one")
    alike = _of_one_configuration(new, before)
    found = kept(before, "it is of another configuration", lambda run: id(run) in alike)
    devices = {devices_of(result) for result in new}
    if all(devices):
        count = len(found)
        found = kept(found, OTHER_DEVICES, lambda run: run.devices in devices)
        if not found:
            raise ConfigError(_nothing_on(devices, count))
    if last is not None:
        recent = {id(run) for session in sessions(found)[-last:] for run in session}
        found = kept(found, f"it is older than the last {last} stretches", lambda run: id(run) in recent)
    return History([run.result for run in found], left_out)


def _of_one_configuration(new: Sequence[ExperimentResult], before: Sequence[Run]) -> set[int]:
    """Return the ids of the runs of the configuration that `new` is compared with."""
    groups = by_configuration(run.result for run in before)
    mine = {configuration_key(result) for result in new}
    alike = [key for key in groups if key in mine] or list(groups)
    if len(alike) > 1:
        raise ConfigError(
            f"{len(alike)} configurations are in there, and none is the new one's: name a directory with results of "
            "that one, or of one other alone"
        )
    members = {id(result) for result in groups[alike[0]]}
    return {id(run) for run in before if id(run.result) in members}


def _nothing_on(devices: set[frozenset[str]], count: int) -> str:
    names = ", ".join(sorted({name for each in devices for name in each}))
    return (
        f"no history on the devices of the new one ({names}): all {count} earlier results of its configuration are of "
        "other devices, or of unknown ones"
    )
