"""From the joules of each device to the energy of a run, with its bound."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from llenergymeasure.config.energy_sources import basis_of
from llenergymeasure.domain.figures import (
    DeviceEnergy,
    EnergyUncertainty,
    MultiGPUMetrics,
    PowerSensor,
    UsedCalibration,
)
from llenergymeasure.domain.power import DeviceWatch
from llenergymeasure.metrics.arithmetic import sum_of_known

J_PER_KWH = 3.6e6

T = TypeVar("T")


@dataclass(frozen=True)
class ReportedDevices:
    """The devices that the total is of: the accelerators with `uuids` (none: all that are metered), or the CPU."""

    on_accelerator: bool
    uuids: tuple[str, ...] = ()

    def covers(self, device: DeviceEnergy) -> bool:
        """Return True if a device is part of the total."""
        if not self.on_accelerator:
            return device.kind in ("cpu", "dram")
        # The joules of a MIG slice are known only together with those of the rest of its board.
        every = not self.uuids or any(uuid.startswith("MIG-") for uuid in self.uuids)
        return device.kind == "gpu" and (every or device.device in self.uuids)


@dataclass(frozen=True)
class RunEnergy:
    """The energy of the `devices` that are reported, from `source`; None is unknown, with the reason in
    `unknown`. `watches` show how well they were watched."""

    total_j: float | None
    scope: str | None
    uncertainty: EnergyUncertainty | None
    source: str
    devices: tuple[DeviceEnergy, ...] = ()
    watches: tuple[DeviceWatch, ...] = ()
    unknown: str | None = None

    @property
    def bound_j(self) -> float | None:
        """The linear sum of the parts of the bound that apply; None when the energy is unknown."""
        if self.total_j is None or self.uncertainty is None:
            return None
        return self.uncertainty.sum_j

    @property
    def sensor(self) -> PowerSensor | None:
        """The power sensor of every device; None where they have none, or different ones."""
        return common([device.sensor for device in self.devices])

    @property
    def calibration(self) -> UsedCalibration | None:
        """The calibration of every device; None where they have none, or different ones."""
        return common([device.calibration for device in self.devices])

    @property
    def is_measured(self) -> bool:
        """True if a sensor of these devices was read, with or without success."""
        return bool(self.devices) and basis_of(self.source) == "sensor"


def run_energy(
    devices: Sequence[DeviceEnergy], reported: ReportedDevices, source: str, watches: Sequence[DeviceWatch] = ()
) -> RunEnergy:
    """The sum over the devices that are reported; one unknown summand makes it unknown.

    `source` is that of a total without any device.
    """
    parts = tuple(device for device in devices if reported.covers(device))
    if not parts:
        return RunEnergy(None, None, None, source, unknown=_nothing(devices, reported))
    names = {device.device for device in parts}
    seen = tuple(watch for watch in watches if watch.device in names)
    source = parts[0].source or source
    if unread := [str(device.device) for device in parts if device.energy_j is None]:
        return RunEnergy(None, None, None, source, parts, seen, f"{', '.join(unread)} could not be read throughout")
    present = {device.kind for device in parts}
    scope = "gpu" if reported.on_accelerator else "cpu+dram" if "dram" in present else "cpu"
    uncertainty = EnergyUncertainty(
        edge_j=sum_of_known([device.edge_j for device in parts]),
        coverage_j=sum_of_known([device.coverage_j for device in parts]),
        disagreement_j=_disagreement_j(parts, seen),
        gain_j=sum_of_known([device.gain_j for device in parts]),
    )
    return RunEnergy(sum_of_known([device.energy_j for device in parts]), scope, uncertainty, source, parts, seen)


def common(values: Sequence[T | None]) -> T | None:
    """The value that all have; None where they differ."""
    return values[0] if values and all(value == values[0] for value in values) else None


def difference_warnings(**columns: Sequence[object]) -> Iterator[str]:
    """A line for each field of which devices have different values, so that a result has none; `columns` are the values
    of each field."""
    for name, values in columns.items():
        if any(value != values[0] for value in values):
            yield f"The devices of the total differ in their {name}, so the result has none; see device_energy."


def emissions_kg_co2(energy_j: float | None, grid_g_per_kwh: float | None, pue: float) -> float | None:
    """Kilograms of CO2 equivalent of `energy_j` times the overhead `pue`, at so many grams per kWh of the grid.

    None where the energy or the grid's intensity is unknown.
    """
    if energy_j is None or grid_g_per_kwh is None:
        return None
    return energy_j / J_PER_KWH * pue * grid_g_per_kwh / 1e3


def multi_gpu_metrics(
    devices: Sequence[DeviceEnergy], total_j: float | None, per_output_token_j: float | None
) -> MultiGPUMetrics | None:
    """The figures of the GPUs among `devices`, which a run was on; None unless there are several."""
    gpus = [device for device in devices if device.kind == "gpu"]
    energies_j, uuids = [device.energy_j for device in gpus], [str(device.device) for device in gpus]
    return gpus_by_energy(energies_j, uuids, total_j, per_output_token_j)


def gpus_by_energy(
    energies_j: Sequence[float | None], uuids: list[str] | None, total_j: float | None, per_output_token_j: float | None
) -> MultiGPUMetrics | None:
    """Figures of GPUs with these joules and, where they are known, these UUIDs; None unless there are several."""
    if len(energies_j) < 2:
        return None
    return MultiGPUMetrics(
        num_gpus=len(energies_j),
        energy_per_gpu_j=list(energies_j),
        gpu_uuids=uuids,
        energy_total_j=total_j,
        energy_per_output_token_j=per_output_token_j,
    )


def _nothing(devices: Sequence[DeviceEnergy], reported: ReportedDevices) -> str:
    if not reported.on_accelerator:
        return "no source reads the CPU"
    if any(device.kind == "gpu" for device in devices):
        return f"the GPU that ran ({', '.join(reported.uuids)}) is not among those that are metered"
    return "no source reads the GPU"


def _disagreement_j(devices: Sequence[DeviceEnergy], watches: Sequence[DeviceWatch]) -> float | None:
    integrals = {watch.device: watch.power_integral_j for watch in watches}
    return sum_of_known(
        [
            None if (integral_j := integrals.get(str(device.device))) is None or device.energy_j is None
            else abs(device.energy_j - integral_j)
            for device in devices
        ]
    )  # fmt: skip
