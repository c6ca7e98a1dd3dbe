"""The sampled power of NVIDIA GPUs: for boards without an energy counter."""

from collections.abc import Sequence

import numpy as np

from llenergymeasure.domain.power import PowerSample
from llenergymeasure.energy.meters.base import MeteredDevice
from llenergymeasure.energy.meters.sampled import Feed, SampledMeter, sampled_power
from llenergymeasure.energy.power_rows import gpu_rows
from llenergymeasure.energy.power_sensors import BoardCalibration, Calibrations, sampled_board
from llenergymeasure.energy.sampled_power import UNLIMITED_FACTOR, SampledEnergy, SampledPower, sampled_gain_j
from llenergymeasure.energy.sampler import SamplerProcess
from llenergymeasure.energy.samples import SensorSample
from llenergymeasure.energy.sensor_model import SensorModel
from llenergymeasure.energy.sensors.nvml import Board, poll_s, sensor_spec

PERIODS_BEFORE_WINDOW = 3
PERIODS_AFTER_WINDOW = 2
SHORT_PERIOD_S = 0.020
"""Sensors are known that publish as often as this; one that nobody has measured may too, and is read accordingly."""


class NvmlPower(SampledMeter):
    """The energy of `boards` by the field of power that sees most of the time, read every tenth of its period.

    `gain_share` is the user's bound on its scale; None: that of the board's calibration, else the published one.
    Temperatures are read `sampling_hz` times per second.
    """

    quantity = "power_w"

    def __init__(
        self,
        boards: Sequence[Board],
        sampling_hz: float,
        gain_share: float | None = None,
        feed: Feed | None = None,
        calibrations: Calibrations | None = None,
    ) -> None:
        calibrations = calibrations or {}
        none = BoardCalibration()
        read = [sampled_board(board, calibrations.get(board.uuid, none), scaled=gain_share is None) for board in boards]
        devices = [device for device, _ in read]
        models = [device.sensor for device in devices if device.sensor is not None]
        period_s = min(_least_period_s(model) for model in models)
        fields = {device.name: field for device, field in read}
        feed = feed or SamplerProcess(
            sensor_spec(boards, sampling_hz, counter=False, fields=fields, power_period_s=period_s)
        )
        later_s = max(model.delay_s + PERIODS_AFTER_WINDOW * model.period_s for model in models)
        super().__init__("nvml_power", devices, feed, pace_s=poll_s(period_s), later_s=later_s)
        self._stated_share = gain_share
        self._power = SampledPower([], {}, {})
        self._valued: set[str] = set()

    def _is_ready(self, device: MeteredDevice) -> bool:
        moments_s, _ = self._recording.series(device.name, self.quantity)
        periods_s = PERIODS_BEFORE_WINDOW * (device.sensor.period_s if device.sensor else 0.0)
        return len(moments_s) > 0 and bool(moments_s[-1] - moments_s[0] >= periods_s)

    def _analyse(self) -> None:
        """Find the publications of each device, once for all windows."""
        self._power = sampled_power(self._recording, self._devices)
        self._valued = {device.name for device in self._devices if self._recording.power(device.name)}

    def _joules_between(self, device: MeteredDevice, earlier: SensorSample, later: SensorSample) -> float | None:
        powers_w = (earlier.power_w or 0.0) + (later.power_w or 0.0)
        return powers_w / 2 * (later.before_s - earlier.before_s)

    def _gain_j(self, energy_j: float, window_s: float) -> float:
        if self._stated_share is None:
            return sampled_gain_j(energy_j, window_s)
        return sampled_gain_j(energy_j, window_s, self._stated_share, offset_w=0.0)

    def _window(self, device: MeteredDevice, start_s: float, end_s: float) -> SampledEnergy:
        if not self._has_values(device):
            return SampledEnergy(None, None, None)
        periodic = self._is_periodic(device, self._power.sensor(device.name), start_s, end_s)
        return self._power.window_of(device.name, start_s, end_s, periodic)

    def _model(self, device: MeteredDevice) -> SensorModel | None:
        """Return the expected model, or the one that its values showed in place of it; a period that is merely a little
        different, as on every board, is left out: boards of one kind have one model."""
        expected = device.sensor
        if expected is None or not self._has_values(device):
            return expected
        found = self._power.sensor(device.name)
        return expected if found.source == expected.source != "assumed" else found

    def _moments_s(self, device: MeteredDevice) -> np.ndarray:
        return self._power.published(device.name).moment_s if self._has_values(device) else np.array([])

    def _notes(self, device: MeteredDevice) -> tuple[str, ...]:
        if not self._has_values(device):
            return ()
        most_w = self._power.max_power_w(device.name)
        unlimited = (
            f"{device.name} reports no power limit: its bound takes {UNLIMITED_FACTOR} times the highest power that "
            f"was seen, {most_w:.0f} W."
        )
        return (*self._power.notes(device.name), *([unlimited] if device.limit_w is None else []))

    def _rows(self, start_s: float, end_s: float) -> list[PowerSample]:
        return [
            row
            for device in self._devices
            for row in gpu_rows(self._power.ticks(device.name), self._recording, device, start_s, end_s)
        ]

    def _has_values(self, device: MeteredDevice) -> bool:
        return device.name in self._valued


def _least_period_s(model: SensorModel) -> float:
    return min(model.period_s, SHORT_PERIOD_S) if model.source == "assumed" else model.period_s
