"""Check the meter on a real GPU, in one command.

    python benchmarks/gpu_meter.py [--out build/gpu_meter] [--small | --sensors]

It prints: the counter's tick and lag; counter beside integrated instantaneous power at idle, at load and under a 100 ms
square wave; idle power bare, with a CUDA context and with a model loaded; J/token at batch 1, 8, 64 and 256 for a bf16
model of the shape of Llama-3.1-8B with random weights; and Zeus's joules for the same windows where Zeus is installed.
The samples of each part are kept in `--out` as traces. `--small` takes a small model, to try the script; `--sensors`
leaves the models out.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from _llama import LLAMA_8B
from _report import machine, pressure

from llenergymeasure import run_experiment
from llenergymeasure.energy.meters.counter import CounterMeter
from llenergymeasure.energy.samples import write_trace
from llenergymeasure.energy.sensors import nvml
from llenergymeasure.energy.sources import nvml_counter
from llenergymeasure.energy.ticklog import TickLog, Ticks

SAMPLING_HZ = 50.0
STEPS = 12
STEP_S, SETTLED_S = 2.0, 0.6
BATCHES = (1, 8, 64, 256)


class Load:
    """Matrix products that keep the whole GPU busy."""

    def __init__(self) -> None:
        import torch

        self._torch = torch
        self._a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
        self._out = torch.empty_like(self._a)

    def run_for(self, seconds: float) -> None:
        """Be busy, and return when the GPU is idle again."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            for _ in range(4):
                self._torch.matmul(self._a, self._a, out=self._out)
            self._torch.cuda.synchronize()

    def square(self, seconds: float, half_s: float = 0.05) -> None:
        """Busy and idle in turns."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self.run_for(half_s)
            time.sleep(half_s)


def recorded(board: nvml.Board, work: Callable[[], Any], out: Path, name: str) -> tuple[CounterMeter, float, float]:
    """Return the meter after `work`, and when that began and ended; its samples are kept."""
    meter = nvml_counter([board], SAMPLING_HZ)
    with meter:
        time.sleep(0.5)
        start_s = time.monotonic()
        work()
        end_s = time.monotonic()
        time.sleep(0.5)
    write_trace(meter.recording, out / f"{name}.parquet")
    return meter, start_s, end_s


def line(name: str, meter: CounterMeter, start_s: float, end_s: float) -> None:
    """Print counter and integrated power of a window."""
    (device,), (watch,) = meter.energy(start_s, end_s), meter.watch(start_s, end_s)
    if device.energy_j is None:
        print(f"{name:22} unknown")
        return
    power = "power not compared: its sensor sees a part of the time"
    if watch.power_integral_j is not None:
        difference = (watch.power_integral_j - device.energy_j) / device.energy_j
        power = f"power {watch.power_integral_j:10.1f} J ({difference:+.2%})"
    print(
        f"{name:22} counter {device.energy_j:10.1f} ± {device.edge_j:5.1f} J   {power}   "
        f"mean {device.energy_j / (end_s - start_s):6.1f} W   tick {1e3 * (watch.tick_s or 0):.1f} ms"
    )


def lag_s(ticks: Ticks, step_s: float) -> float | None:
    """Return how late the counter shows a step of power at `step_s`: where the lines before and after it meet.

    The lines are fitted to the ticks from 0.6 s on, on either side.
    """
    import numpy as np

    moments_s = ticks.moment_s - step_s
    before = (moments_s > -STEP_S + SETTLED_S) & (moments_s < -0.05)
    after = (moments_s > SETTLED_S) & (moments_s < STEP_S - 0.1)
    if before.sum() < 3 or after.sum() < 3:
        return None
    idle_w, idle_j = np.polyfit(moments_s[before], ticks.energy_j[before], 1)
    busy_w, busy_j = np.polyfit(moments_s[after], ticks.energy_j[after], 1)
    return float((idle_j - busy_j) / (busy_w - idle_w))


def find_lag(board: nvml.Board, load: Load, out: Path) -> None:
    """Steps from idle to busy and back; the lag at each way up."""
    steps_s = []

    def work() -> None:
        for _ in range(STEPS):
            time.sleep(STEP_S)
            steps_s.append(time.monotonic())
            load.run_for(STEP_S)

    meter, _, _ = recorded(board, work, out, "steps")
    (ticks,) = TickLog(meter.recording.counter(board.uuid), 1e3).ticks(board.uuid)
    found = [lag for step_s in steps_s if (lag := lag_s(ticks, step_s)) is not None]
    if found:
        print(
            f"lag over {len(found)} steps: median {1e3 * statistics.median(found):.1f} ms, "
            f"{1e3 * min(found):.1f} to {1e3 * max(found):.1f} ms (the power's own rise is in it)"
        )


def tokens(board: nvml.Board, batch: int, small: bool) -> None:
    """One run of the experiment that users run."""
    result = run_experiment(
        model="random:llama",
        random_model={} if small else LLAMA_8B,
        precision="bf16",
        device="cuda",
        dataset={"synthetic": {"input_len": 128, "output_len": 128}},
        num_prompts=max(batch * 4, 16),
        batch_size=batch,
        warmup={"iterations": 1},
        baseline={"duration_seconds": 5.0},
        energy={"source": "nvml_counter", "cross_check": "zeus" if find_spec("zeus") else None},
    )
    bound = "unknown"
    if result.energy_uncertainty_j is not None and result.output_tokens:
        bound = f"{result.energy_uncertainty_j / result.output_tokens:.4f}"
    zeus = "not installed" if result.zeus_energy_j is None else f"{result.zeus_energy_j:.1f} J"
    print(
        f"batch {batch:4}: {result.energy_per_output_token_j:.4f} ± {bound} J/token, {result.total_energy_j:.1f} J "
        f"(Zeus {zeus}), {result.output_tokens_per_second:.0f} tokens/s, {result.mean_power_w:.0f} W mean, "
        f"prefill {result.energy_prefill_j}, decode {result.energy_decode_j} J; idle bare {result.idle_power_w:.1f} W, "
        f"loaded {result.baseline_power_w:.1f} W; {result.verdict} {'; '.join(result.verdict_reasons)}"
    )


def main() -> None:
    """All parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/gpu_meter"))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--sensors", action="store_true")
    options = parser.parse_args()
    import pynvml

    probe = nvml.probe(pynvml)
    if not probe.boards:
        raise SystemExit(f"no GPU to measure: {probe.unavailable}")
    board = probe.boards[0]
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"{machine()}\npressure: {pressure()}\n")
    sensors(board, options.out)
    print()
    for batch in () if options.sensors else BATCHES:
        tokens(board, batch, options.small)


def sensors(board: nvml.Board, out: Path) -> None:
    """Counter and power at each level, and the counter's lag."""
    line("idle, bare", *recorded(board, lambda: time.sleep(10), out, "idle_bare"))
    load = Load()
    line("idle, CUDA context", *recorded(board, lambda: time.sleep(10), out, "idle_context"))
    line("load", *recorded(board, lambda: load.run_for(10), out, "load"))
    line("square wave, 100 ms", *recorded(board, lambda: load.square(10), out, "square_100ms"))
    find_lag(board, load, out)


if __name__ == "__main__":
    main()
