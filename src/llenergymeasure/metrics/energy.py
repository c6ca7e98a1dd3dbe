"""From the joules of each device to the energy of a run, with its bound."""

from collections.abc import Sequence
from dataclasses import dataclass

from llenergymeasure.domain.choices import Verdict
from llenergymeasure.domain.metrics import DeviceEnergy, EnergyUncertainty


@dataclass(frozen=True)
class RunEnergy:
    """What `total_j` covers is named by `scope`; None is unknown, with the reason in `unknown`."""

    total_j: float | None
    scope: str | None
    uncertainty: EnergyUncertainty | None
    unknown: str | None = None

    @property
    def bound_j(self) -> float | None:
        """The linear sum of the parts of the bound that apply; None when the energy is unknown."""
        if self.total_j is None or self.uncertainty is None:
            return None
        parts = (self.uncertainty.edge_j, self.uncertainty.disagreement_j, self.uncertainty.gain_j)
        return sum(part for part in parts if part is not None)


def run_energy(devices: Sequence[DeviceEnergy], on_accelerator: bool) -> RunEnergy:
    """The sum over the accelerators used; on a CPU, over package and memory. One unknown summand makes it unknown."""
    kinds = {"gpu"} if on_accelerator else {"cpu", "dram"}
    parts = [device for device in devices if device.kind in kinds]
    if not parts:
        what = "no source reads the GPU" if on_accelerator else "no source reads the CPU"
        return RunEnergy(None, None, None, unknown=what)
    if unread := [str(device.device) for device in parts if device.energy_j is None]:
        return RunEnergy(None, None, None, unknown=f"{', '.join(unread)} could not be read")
    present = {device.kind for device in parts}
    scope = "gpu" if on_accelerator else "cpu+dram" if "dram" in present else "cpu"
    uncertainty = EnergyUncertainty(
        edge_j=_sum_of_known([device.edge_j for device in parts]),
        gain_j=_sum_of_known([device.gain_j for device in parts]),
    )
    return RunEnergy(_sum_of_known([device.energy_j for device in parts]), scope, uncertainty)


def verdict(source: str, is_measurement: bool, energy: RunEnergy) -> tuple[Verdict, list[str]]:
    """Whether to believe the energy, with reasons: an estimate, or none at all, is `not_measured`."""
    if energy.total_j is None:
        return "invalid" if is_measurement else "not_measured", [f"energy is unknown: {energy.unknown}"]
    if not is_measurement:
        return "not_measured", [f"energy is an estimate (source: {source})"]
    return "valid", []


def _sum_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
