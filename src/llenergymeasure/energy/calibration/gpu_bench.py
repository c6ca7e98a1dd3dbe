"""A real board as a bench: matrix products by PyTorch keep it busy, and the product's own sampler polls its sensors."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from labledger.extras import require
from labledger.nvml import load_nvml
from labledger.untrusted_text import reason_of
from llenergymeasure.energy.calibration.bench import LoadTrace
from llenergymeasure.energy.foreign_processes import ProcessWatch
from llenergymeasure.energy.sampler import SamplerProcess
from llenergymeasure.energy.samples import Recording
from llenergymeasure.energy.sensors.nvml import SHORTEST_POLL_S, Board, board_use, sensor_spec
from llenergymeasure.energy.sensors.nvml_models import PowerQuantity
from llenergymeasure.errors import MeterError, PreFlightError

SIZE = 4096
PIECE_S = 0.0005
SPIN_S = 0.002
"""Before a piece of load begins, the time that is not slept: a sleep may end so much late."""
LEAST_SAMPLES_PER_S = 20.0


class Load(Protocol):
    """Work for a board."""

    def run_until(self, end_s: float) -> None:
        """Keep the board busy until then on CLOCK_MONOTONIC, and return when it is idle."""


class GpuBench:
    """A board with a load and a sampler; use `open_bench`."""

    def __init__(self, board: Board, load: Load, sampler: SamplerProcess, recording: Recording, watch: ProcessWatch):
        self._board, self._load, self._sampler = board, load, sampler
        self._recording, self._watch = recording, watch

    @property
    def uuid(self) -> str:
        """The board's UUID."""
        return self._board.uuid

    @property
    def limit_w(self) -> float | None:
        """The power limit in force; None where it is not known."""
        return self._board.limit_w

    def record(self, seconds: float, busy: Sequence[tuple[float, float]] = ()) -> LoadTrace:
        """Poll the sensors for `seconds`, with the board busy in the intervals `busy` and idle otherwise.

        Raises:
            MeterError: the sampler has ended, gives too few samples, or another process is on the board.
        """
        self._recording.forget(time.monotonic())
        start_s = time.monotonic()
        done = [self._work(start_s + begin_s, start_s + end_s) for begin_s, end_s in busy]
        end_s = start_s + seconds
        _wait_until(end_s)
        if not self._sampler.flush():
            raise MeterError(f"the sampler of {self.uuid} has ended: the driver, or something else, stopped it")
        self._refuse_others()
        samples = [each for each in self._recording.samples(self.uuid) if start_s <= each.before_s < end_s]
        powers = sum(each.power_w is not None for each in samples)
        if powers < LEAST_SAMPLES_PER_S * seconds:
            raise MeterError(f"{self.uuid}: {powers} readings of power in {seconds:.0f} s: the driver is too slow")
        samples.sort(key=lambda each: each.before_s)
        return LoadTrace(start_s, end_s, tuple(done), tuple(samples))

    def _work(self, begin_s: float, end_s: float) -> tuple[float, float]:
        _wait_until(begin_s)
        began_s = time.monotonic()
        self._load.run_until(end_s)
        return began_s, time.monotonic()

    def _refuse_others(self) -> None:
        for state in self._recording.states(self.uuid):
            if state.pids is not None:
                self._watch.see(self.uuid, state.pids)
                _refuse(self._board, self._watch.foreign(state.pids))


@contextlib.contextmanager
def open_bench(board: Board, field: PowerQuantity, load: Callable[[Board], Load] | None = None) -> Iterator[GpuBench]:
    """Yield the bench of `board`, its power read from `field`; `load` makes its work (None: matrix products).

    Raises:
        PreFlightError: another process is on the board, it is divided, or PyTorch cannot use it.
        ConfigError: PyTorch is not installed.
        MeterError: its sensors cannot be read.
    """
    if board.mig_enabled:
        raise PreFlightError(f"GPU {board.index} is divided (MIG): its power is that of all parts; switch MIG off")
    watch = ProcessWatch()
    pids = tuple(use.pids) if (use := board_use(load_nvml(), [board]).get(board.uuid)) else ()
    watch.see(board.uuid, pids)
    _refuse(board, watch.foreign(pids))
    work = (load or _MatrixProducts)(board)
    recording = Recording()
    sampler = SamplerProcess(
        sensor_spec([board], 1 / SHORTEST_POLL_S, counter=board.has_counter, fields={board.uuid: field})
    )
    try:
        sampler.start(recording.add)
        yield GpuBench(board, work, sampler, recording, watch)
    finally:
        sampler.stop()


def _refuse(board: Board, others: list[str]) -> None:
    if others:
        raise PreFlightError(
            f"GPU {board.index} ({board.name}) is used by {', '.join(others)}: a calibration needs it alone; end that, "
            f"or choose another with --gpu"
        )


class _MatrixProducts:
    """Products of two matrices, half a millisecond of them at a time, so that the load ends when it should."""

    def __init__(self, board: Board) -> None:
        require("llem calibrate", "torch")
        os.environ["CUDA_VISIBLE_DEVICES"] = board.uuid
        import torch

        self._torch: Any = torch
        try:
            half = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
            self._a = torch.randn(SIZE, SIZE, device="cuda", dtype=half)
            self._out = torch.empty_like(self._a)
            self._count = self._pieces()
        except Exception as error:  # whatever it is that CUDA cannot do here
            raise PreFlightError(f"PyTorch cannot use GPU {board.index} ({board.name}): {reason_of(error)}") from error

    def run_until(self, end_s: float) -> None:
        """Keep the board busy until then; the next piece is always handed over before the last one ends."""
        last = self._hand_over()
        while time.monotonic() < end_s:
            following = self._hand_over()
            last.synchronize()
            last = following
        last.synchronize()

    def _hand_over(self) -> Any:
        for _ in range(self._count):
            self._torch.matmul(self._a, self._a, out=self._out)
        done = self._torch.cuda.Event()
        done.record()
        return done

    def _pieces(self) -> int:
        """Return how many products take PIECE_S."""
        self._count = 50
        self._hand_over().synchronize()  # the first ones load the library
        began_s = time.monotonic()
        self._hand_over().synchronize()
        return max(round(self._count * PIECE_S / (time.monotonic() - began_s)), 1)


def _wait_until(moment_s: float) -> None:
    while (left_s := moment_s - time.monotonic()) > 0:
        if left_s > SPIN_S:
            time.sleep(left_s - SPIN_S)
