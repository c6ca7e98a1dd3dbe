"""Conditions that no configuration names: what the machines of the two sides were, and how they were set."""

from collections.abc import Callable, Mapping, Sequence

from llenergymeasure.domain.environment import GpuInfo
from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.results.comparison.runs import devices_of, gpus_of

OF_GPUS: Mapping[str, Callable[[GpuInfo], object]] = {
    "GPU": lambda gpu: gpu.name,
    "power_limit_w": lambda gpu: gpu.power_limit_w,
    "mig_enabled": lambda gpu: gpu.mig_enabled,
    "ecc_enabled": lambda gpu: gpu.ecc_enabled,
}


def condition_remarks(first: Sequence[ExperimentResult], second: Sequence[ExperimentResult]) -> list[str]:
    """Return a sentence for each condition of which the values of both sides are known and differ.

    And one where the devices of some runs of one side are not known, and those of the other side's are.
    """
    sides = (first, second)
    found = [
        f"{name}: the first {values[0]}, the second {values[1]}: a difference may be due to that"
        for name, of in OF_GPUS.items()
        if (values := _apart([[of(gpu) for result in side for gpu in gpus_of(result)] for side in sides]))
    ]
    governors = [
        [result.environment_snapshot.cpu_governor for result in side if result.environment_snapshot] for side in sides
    ]
    if values := _apart(governors):
        found.append(f"cpu_governor: the first {values[0]}, the second {values[1]}: a difference may be due to that")
    unknown = [sum(not devices_of(result) for result in side) for side in sides]
    if (unknown[0] == 0) != (unknown[1] == 0):
        side = 0 if unknown[0] else 1
        name = ("first", "second")[side]
        found.append(f"the device of {unknown[side]} of {len(sides[side])} runs of the {name} is not known")
    return found


def _apart(sides: Sequence[Sequence[object]]) -> tuple[str, str] | None:
    """Return the known values of both sides as texts; None where they are the same, or one side has none."""
    one, other = (sorted({str(value) for value in side if value is not None}) for side in sides)
    return (", ".join(one), ", ".join(other)) if one and other and one != other else None
