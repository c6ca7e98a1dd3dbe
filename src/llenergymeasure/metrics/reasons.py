"""The reasons why figures of a run are None."""

from llenergymeasure.domain.experiment import ExperimentResult
from llenergymeasure.metrics.measurement import Measurement, energy_of


def not_known(measurement: Measurement) -> dict[str, str]:
    """Return the reason why a figure is None, by its field, of figures that have nowhere else to say so."""
    reasons = {
        "cpu_seconds": measurement.cpu.unknown,
        "zeus_energy_j": why_no_zeus(measurement),
        "quality": measurement.judged.unknown if measurement.judged else None,
        **{name: why for name, why in measurement.model.not_known.items() if name in ExperimentResult.model_fields},
        **measurement.not_known,
    }
    return {name: reason for name, reason in reasons.items() if reason is not None}


def zeus_energy_j(measurement: Measurement) -> float | None:
    """Return the joules of the run's total by Zeus; None where it was not asked for, or has none."""
    check = measurement.energy.check
    return energy_of(measurement, check).total_j if check else None


def why_no_zeus(measurement: Measurement) -> str | None:
    """Return why Zeus, which was asked for, has no energy; None where it has, or another process asks it."""
    is_asked = measurement.config.energy.cross_check is not None and measurement.metered_by is None
    if not is_asked or zeus_energy_j(measurement) is not None:
        return None
    if (why := measurement.energy.not_used.get("zeus")) is not None:
        return why
    if not measurement.model.on_accelerator:
        return "Zeus reads GPUs, and the model ran on the CPU"
    return "Zeus did not read every GPU of the run throughout"
