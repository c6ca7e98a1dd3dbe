"""The cumulative energy counter of NVIDIA GPUs (Volta and later), in millijoules."""

from collections.abc import Sequence

import numpy as np

from llenergymeasure.domain.power import DeviceWatch, PowerSample
from llenergymeasure.energy.meters.base import MeteredDevice
from llenergymeasure.energy.meters.counter import CounterMeter
from llenergymeasure.energy.meters.sampled import POWER_MARGIN, UNLIMITED_FACTOR, Feed, SampledMeter, gaps
from llenergymeasure.energy.power_integral import integrate, longest_hold_s
from llenergymeasure.energy.sampler_process import SamplerProcess
from llenergymeasure.energy.samples import SensorSample
from llenergymeasure.energy.sensors.nvml import LONGEST_POLL_S, Board
from llenergymeasure.energy.ticklog import WindowEnergy

NVML_GAIN_SHARE = 0.13
"""Published board tests found NVML's gain off by -7.9 to +12.7 %; 5 % is only the maker's figure."""


class NvmlCounter(CounterMeter):
    """Reads the counters of `boards`, and beside them instantaneous power and temperature `sampling_hz` times a second.

    The counter's lag behind the truth is taken as 0: no board's has been measured for this project yet.
    """

    def __init__(self, boards: Sequence[Board], sampling_hz: float, gain_share: float = NVML_GAIN_SHARE) -> None:
        uuids = [board.uuid for board in boards]
        feed = SamplerProcess({"nvml": {"uuids": uuids, "counter": True, "sampling_hz": sampling_hz}})
        super().__init__("nvml_counter", gpu_devices(boards), feed, gain_share, poll_s=LONGEST_POLL_S)


def gpu_devices(boards: Sequence[Board]) -> list[MeteredDevice]:
    """The boards as devices."""
    return [MeteredDevice(board.uuid, "gpu", board.index, board.limit_w) for board in boards]


AVERAGING_S = 1.0
SOURCE = "nvml_power"


class NvmlPower(SampledMeter):
    """Integrates the power of `boards`, sampled `sampling_hz` times a second.

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
        uuids = [board.uuid for board in boards]
        spec = {"nvml": {"uuids": uuids, "counter": False, "sampling_hz": sampling_hz}}
        super().__init__(SOURCE, gpu_devices(boards), feed or SamplerProcess(spec), gain_share)
        self._averages = any(board.power_field == "average" for board in boards)
        self._period_s = 1 / sampling_hz
        self._series: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._most_w: dict[str, float] = {}
        self._gap_s: dict[str, float] = {}

    def _is_ready(self, device: MeteredDevice) -> bool:
        return self._recording.last_change_s(device.name, self.quantity) > -np.inf

    def _settle(self, until_s: float) -> None:
        """Also hear the samples that tell how an average moves across the window's end."""
        super()._settle(until_s + (AVERAGING_S if self._averages else 0.0))

    def _analyse(self) -> None:
        """Put each device's samples in order, once for all windows."""
        for device in self._devices:
            moments_s, powers_w = self._recording.series(device.name, self.quantity)
            self._series[device.name] = moments_s, powers_w
            self._most_w[device.name] = self._max_power_w(device, powers_w)
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

    def _watch(self, device: MeteredDevice, start_s: float, end_s: float) -> DeviceWatch:
        moments_s, _ = self._series[device.name]
        period_s, longest_s, limit_s = gaps(moments_s, start_s, end_s, self._period_s)
        field = "the average of its last second" if self._averages else "instantaneous"
        return DeviceWatch(
            device=device.name,
            index=device.index,
            tick_s=period_s,
            ticks=int(((moments_s >= start_s) & (moments_s <= end_s)).sum()),
            longest_gap_s=longest_s,
            gap_limit_s=limit_s,
            limit_w=device.limit_w,
            foreign_processes=self._foreign(device, start_s, end_s),
            throttled=self._throttled(device, start_s, end_s),
            temperatures_c=self._temperatures(device, start_s, end_s),
            notes=(f"The power of {device.name} is sampled, and each sample is {field}.",),
        )

    def _rows(self, start_s: float, end_s: float) -> list[PowerSample]:
        rows = []
        for device in self._devices:
            moments_s, powers_w = self._series[device.name]
            inside = (moments_s >= start_s) & (moments_s <= end_s)
            own_s = moments_s[inside].tolist()
            columns = (own_s, powers_w[inside].tolist(), self._temperatures_at(device, own_s))
            rows += [
                PowerSample(moment_s - start_s, power_w, temperature_c, device.index)
                for moment_s, power_w, temperature_c in zip(*columns, strict=True)
            ]
        return rows

    def _max_power_w(self, device: MeteredDevice, powers_w: np.ndarray) -> float:
        if device.limit_w is not None:
            return POWER_MARGIN * device.limit_w
        return UNLIMITED_FACTOR * float(powers_w.max(initial=0.0))
