"""The bench of a real board: its sensors by the sampler, its load when it is asked for, and nobody else on it."""

import time
from dataclasses import replace

import psutil
import pytest

from llenergymeasure.energy.calibration.gpu_bench import GpuBench, open_bench
from llenergymeasure.energy.foreign_processes import ProcessWatch
from llenergymeasure.energy.samples import Recording, State
from llenergymeasure.energy.sensors.nvml import probe
from llenergymeasure.errors import MeterError, PreFlightError


class Sleeping:
    """A load that keeps nothing busy."""

    def __init__(self, board):
        self.board = board

    def run_until(self, end_s):
        time.sleep(max(end_s - time.monotonic(), 0))


class Interrupted(Sleeping):
    def run_until(self, end_s):
        raise KeyboardInterrupt


def board(gpus, **keys):
    return probe(gpus(gpus.board(seconds=20.0, **keys))).boards[0]


def children():
    return [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]


def test_a_record_has_the_samples_of_power_and_counter_and_the_loads_as_they_were_done(gpus):
    before = children()
    with open_bench(board(gpus), "instant", Sleeping) as bench:
        trace = bench.record(0.5, [(0.1, 0.2), (0.3, 0.35)])
    assert trace.end_s - trace.start_s == pytest.approx(0.5)
    assert {each.power_w for each in trace.samples} == {400.0, None}
    assert any(each.joules is not None for each in trace.samples)
    assert all(trace.start_s <= each.before_s < trace.end_s for each in trace.samples)
    for (begin_s, end_s), (asked_s, until_s) in zip(trace.busy, [(0.1, 0.2), (0.3, 0.35)], strict=True):
        assert begin_s - trace.start_s >= asked_s
        assert end_s - trace.start_s >= until_s
    assert children() == before


def test_a_board_that_another_process_uses_is_refused_with_its_name(gpus):
    used = board(gpus, processes=[[0, 1000, 1]])
    with (
        pytest.raises(PreFlightError, match=r"GPU 0 \(NVIDIA .+\) is used by .*process 1"),
        open_bench(used, "instant", Sleeping),
    ):
        pass


class Found:
    """A sampler that finds another process on the board."""

    def __init__(self, recording):
        self._recording = recording

    def flush(self):
        self._recording.add([], [State("GPU-1", time.monotonic(), pids=(1,))])
        return True


def test_a_process_that_comes_to_a_board_meanwhile_ends_the_calibration(gpus):
    used, recording, watch = board(gpus), Recording(), ProcessWatch()
    watch.see("GPU-1", ())
    bench = GpuBench(used, Sleeping(used), Found(recording), recording, watch)
    with pytest.raises(PreFlightError, match=r"process 1\): a calibration needs it alone"):
        bench.record(0.1)


def test_ctrl_c_leaves_no_sampler(gpus):
    before = children()
    with pytest.raises(KeyboardInterrupt), open_bench(board(gpus), "instant", Interrupted) as bench:
        bench.record(0.1, [(0.0, 0.1)])
    assert children() == before


def test_a_board_that_gives_no_power_any_more_ends_the_calibration(gpus):
    lost = board(gpus)
    with (
        open_bench(replace(lost, power_fields=()), "average", Sleeping) as bench,
        pytest.raises(MeterError, match="0 readings of power"),
    ):
        bench.record(0.2)


def test_a_divided_board_is_refused(gpus):
    divided = replace(board(gpus), mig_enabled=True)
    with pytest.raises(PreFlightError, match="MIG"), open_bench(divided, "instant", Sleeping):
        pass


def test_a_board_that_pytorch_cannot_use_is_refused_with_the_reason(gpus, monkeypatch):
    seen = board(gpus)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with (
        pytest.raises(PreFlightError, match=r"PyTorch cannot use GPU 0 \(NVIDIA .+\): "),
        open_bench(seen, "instant"),
    ):
        pass
