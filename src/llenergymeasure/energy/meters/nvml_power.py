"""The sampled power of NVIDIA GPUs, integrated: for boards without an energy counter."""

from collections.abc import Sequence

import numpy as np

from llenergymeasure.domain.power import PowerSample
from llenergymeasure.energy.device_conditions import temperatures_at
from llenergymeasure.energy.meters.base import MeteredDevice
from llenergymeasure.energy.meters.counter import POWER_MARGIN, UNLIMITED_FACTOR, Feed, SampledMeter
from llenergymeasure.energy.power_integral import integrate, longest_hold_s
from llenergymeasure.energy.sampler import SamplerProcess
from llenergymeasure.energy.samples import SensorSample
from llenergymeasure.energy.sensors.nvml import NVML_GAIN_SHARE, Board, sensor_spec
from llenergymeasure.energy.ticklog import WindowEnergy

AVERAGING_S = 1.0


class NvmlPower(SampledMeter):
    """Integrates the power of `boards`, sampled `sampling_hz` times per second.

    It is the instantaneous field where every board has it; else the plain one, which most boards average over 1 s.
    """

    quantity = "power_w"

    def __init__(
        self,
        boards: Sequence[Board],
        sampling_hz: float,
        gain_share: float = NVML_GAIN_SHARE,
        feed: Feed | None = None,
    ) -> None:
        devices = [MeteredDevice(board.uuid, "gpu", board.index, board.limit_w) for board in boards]
        feed = feed or SamplerProcess(sensor_spec(boards, sampling_hz, counter=False))
        super().__init__("nvml_power", devices, feed, gain_share, pace_s=1 / sampling_hz)
        self._averages = any(board.power_field == "average" for board in boards)
        self._series: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._most_w: dict[str, float] = {}
        self._gap_s: dict[str, float] = {}

    def _is_ready(self, device: MeteredDevice) -> bool:
        return self._recording.last_change_s(device.name, self.quantity) > -np.inf

    def _settle(self, until_s: float) -> None:
        """Also receive the samples that show how an average moves across the window's end."""
        super()._settle(until_s + (AVERAGING_S if self._averages else 0.0))

    def _analyse(self) -> None:
        """Put each device's samples in order, once for all windows."""
        for device in self._devices:
            moments_s, powers_w = self._recording.series(device.name, self.quantity)
            self._series[device.name] = moments_s, powers_w
            self._most_w[device.name] = _max_power_w(device, powers_w)
            self._gap_s[device.name] = longest_hold_s(moments_s)

    def _joules_between(self, device: MeteredDevice, earlier: SensorSample, later: SensorSample) -> float | None:
        powers_w = (earlier.power_w or 0.0) + (later.power_w or 0.0)
        return powers_w / 2 * (later.before_s - earlier.before_s)

    def _window(self, device: MeteredDevice, start_s: float, end_s: float) -> WindowEnergy:
        return integrate(
            *self._series[device.name],
            start_s,
            end_s,
            max_power_w=self._most_w[device.name],
            gap_s=self._gap_s[device.name],
            averaging_s=AVERAGING_S if self._averages else 0.0,
        )

    def _moments_s(self, device: MeteredDevice) -> np.ndarray:
        return self._series[device.name][0]

    def _notes(self, device: MeteredDevice) -> tuple[str, ...]:
        field = "the average of its last second" if self._averages else "instantaneous"
        return (f"The power of {device.name} is sampled, and each sample is {field}.",)

    def _rows(self, start_s: float, end_s: float) -> list[PowerSample]:
        rows = []
        for device in self._devices:
            moments_s, powers_w = self._series[device.name]
            inside = (moments_s >= start_s) & (moments_s <= end_s)
            own_s = moments_s[inside].tolist()
            columns = (own_s, powers_w[inside].tolist(), temperatures_at(self._recording, device.name, own_s))
            rows += [
                PowerSample(moment_s - start_s, power_w, temperature_c, device.index)
                for moment_s, power_w, temperature_c in zip(*columns, strict=True)
            ]
        return rows


def _max_power_w(device: MeteredDevice, powers_w: np.ndarray) -> float:
    if device.limit_w is not None:
        return POWER_MARGIN * device.limit_w
    return UNLIMITED_FACTOR * float(powers_w.max(initial=0.0))
