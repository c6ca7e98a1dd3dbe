"""A recorded trace, played as if it were happening: for tests, and for trying an analysis without the hardware."""

import time
from pathlib import Path

from llenergymeasure.domain.choices import DeviceKind
from llenergymeasure.energy.meters.base import MeteredDevice
from llenergymeasure.energy.meters.counter import CounterMeter
from llenergymeasure.energy.sampler import Receiver
from llenergymeasure.energy.samples import Recording, read_trace
from llenergymeasure.energy.sensor_model import SensorModel
from llenergymeasure.energy.sensors.nvml import LONGEST_POLL_S, NVML_GAIN_SHARE


class Replay(CounterMeter):
    """Plays the samples of `trace`, a recording or the path of a Parquet trace; its first sample falls on `open`.

    Energy that the trace does not have is unknown, so a run that is longer than it has no energy. `sensor` is the model
    of the sensor whose power the trace has beside the counter; None leaves that power out.

    Raises:
        OSError: the trace cannot be read.
    """

    def __init__(
        self,
        trace: Recording | Path,
        *,
        kind: DeviceKind = "gpu",
        limit_w: float | None = None,
        sensor: SensorModel | None = None,
        gain_share: float = NVML_GAIN_SHARE,
    ) -> None:
        recording = read_trace(trace) if isinstance(trace, Path) else trace
        devices = [
            MeteredDevice(name, kind, index if kind == "gpu" else None, limit_w, sensor)
            for index, name in enumerate(recording.devices())
        ]
        super().__init__("replay", devices, _Player(recording), gain_share, pace_s=LONGEST_POLL_S)


class _Player:
    """The whole trace at once, its times moved to now."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def start(self, receiver: Receiver) -> None:
        recording = self._recording
        samples = [sample for device in recording.devices() for sample in recording.samples(device)]
        states = [state for device in recording.devices() for state in recording.states(device)]
        shift_s = time.monotonic() - min((sample.before_s for sample in samples), default=0.0)
        receiver(
            [each._replace(before_s=each.before_s + shift_s, after_s=each.after_s + shift_s) for each in samples],
            [state._replace(at_s=state.at_s + shift_s) for state in states],
        )

    def flush(self) -> bool:
        return False

    def stop(self) -> None:
        """Do nothing: no process runs."""
