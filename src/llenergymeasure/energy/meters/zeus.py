"""The energy of the same GPUs by the Zeus library: a cross-check by other people's code."""

import contextlib
import time
import warnings
from collections.abc import Sequence
from typing import Any

from labledger.extras import install_command
from llenergymeasure.domain.figures import DeviceEnergy
from llenergymeasure.domain.power import EnergySoFar
from llenergymeasure.energy.meters.base import Meter
from llenergymeasure.energy.sensors.nvml import NVML_GAIN_SHARE, Board
from llenergymeasure.errors import MeterError
from llenergymeasure.metrics.arithmetic import product
from llenergymeasure.metrics.interpolation import Marks

WINDOW = "between two marks"


class Zeus(Meter):
    """Measures from mark to mark with `ZeusMonitor`, and between marks takes power as even. It gives no edge bound."""

    source = "zeus"
    measured_kinds = frozenset({"gpu"})

    def __init__(self, boards: Sequence[Board], gain_share: float = NVML_GAIN_SHARE) -> None:
        self._boards = boards
        self._gain_share = gain_share
        self._marks = {board.uuid: Marks() for board in boards}
        self._total_j = dict.fromkeys(self._marks, 0.0)
        self._monitor: Any = None

    def open(self) -> None:
        """Import the library, which takes seconds, and begin.

        Raises:
            MeterError: it is not installed, or finds no GPU.
        """
        try:
            from zeus.monitor import ZeusMonitor

            with contextlib.redirect_stdout(None):
                self._monitor = ZeusMonitor(cpu_indices=[], approx_instant_energy=False)
        except ImportError as error:
            raise MeterError(f"zeus: {error}; run {install_command('zeus')}") from error
        except Exception as error:  # whatever another library finds wrong
            raise MeterError(f"zeus: {type(error).__name__}: {error}") from error
        if len(self._monitor.gpu_indices) != len(self._boards):
            raise MeterError(f"zeus sees {len(self._monitor.gpu_indices)} GPUs, and NVML {len(self._boards)}")
        self._begin()

    def mark(self, *, is_edge: bool = False) -> None:
        """End Zeus's window, and begin the next."""
        if self._monitor is None:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a short window is 0: the windows are added up
            found = self._monitor.end_window(WINDOW, sync_execution=False).gpu_energy
        for position, board in zip(self._monitor.gpu_indices, self._boards, strict=True):
            self._total_j[board.uuid] += found[position]
        self._begin()
        self._publish()

    def _so_far(self) -> list[EnergySoFar]:
        return [EnergySoFar(uuid, "gpu", self.source, *marks.last) for uuid, marks in self._marks.items()]

    def energy(self, start_s: float, end_s: float) -> list[DeviceEnergy]:
        """Return each GPU's energy by Zeus."""
        found = [(uuid, marks.grown(start_s, end_s)) for uuid, marks in self._marks.items()]
        return [
            DeviceEnergy(
                device=uuid,
                kind="gpu",
                source=self.source,
                energy_j=energy_j,
                gain_j=product(self._gain_share, abs(energy_j)),
            )
            for uuid, energy_j in found
        ]

    def close(self) -> None:
        """Take the last sample."""
        self.mark()
        self._monitor = None

    def _begin(self) -> None:
        self._monitor.begin_window(WINDOW, sync_execution=False)
        now_s = time.monotonic()
        for uuid, marks in self._marks.items():
            marks.add(now_s, self._total_j[uuid])
