"""Measure the cost of metering: the sampler's processor time, and the throughput of a CPU-bound generation beside it.

    python benchmarks/meter_overhead.py [--source rapl|nvml] [--pairs 50] [--seconds 20]

Without a GPU `nvml` reads the tests' stand-in for NVIDIA's library: its own Python is then in the figure, the driver's
time is not. Without RAPL `rapl` reads two counters of sysfs that cost the same to read. Pairs are interleaved and their
order alternates. Wanted: under 0.5 % of a core for rapl and estimate, under 2 % for one GPU counter; an interval of
throughput with the meter on over off that reaches 0.99.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from _report import machine, pressure, ratio_interval, spread

from llenergymeasure.backends.pytorch.backend import PytorchBackend
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.energy.meters.estimate import CpuTimeEstimate
from llenergymeasure.energy.sampler import SamplerProcess
from llenergymeasure.energy.sensors import nvml, rapl
from llenergymeasure.workload.prompts import build_requests, builtin_text

STANDIN = Path(__file__).resolve().parent.parent / "tests" / "standins" / "nvml"
TICK_S = 0.1
SYSFS_COUNTERS = [f"/sys/class/net/lo/statistics/{name}_bytes" for name in ("rx", "tx")]
MARKS = 2000


def rapl_spec() -> tuple[dict, str]:
    """Return the sampler's spec for `rapl`, and the name of what it reads."""
    domains = rapl.probe().domains
    if domains:
        return rapl.sensor_spec(domains), "RAPL of this machine"
    counters = [["package-0", SYSFS_COUNTERS[0]], ["dram-0", SYSFS_COUNTERS[1]]]
    return {"sensor": "rapl", "options": {"domains": counters}}, "two sysfs counters"


def nvml_spec(folder: Path) -> tuple[dict, str]:
    """Return the same for one GPU counter, every tenth of a 100 ms tick, power as often, and temperature at 10 Hz."""
    import pynvml

    boards = nvml.probe(pynvml).boards
    if boards:
        name = boards[0].name
        fields: dict[str, nvml.PowerQuantity] = {boards[0].uuid: "instant"}
        spec = nvml.sensor_spec(boards[:1], 10.0, counter=True, fields=fields, power_period_s=TICK_S)
        return spec, f"the counter of {name}"
    rows = [[tick / 10, tick * 40.0, 400.0, 45.0] for tick in range(36000)]
    file = folder / "board.json"
    board = {"uuid": "GPU-1", "name": "stand-in", "limit_w": 700.0, "rows": rows}
    file.write_text(json.dumps({"began_s": time.monotonic(), "boards": [board]}))
    os.environ |= {"NVML_STANDIN": str(file), "PYTHONPATH": str(STANDIN)}
    options = {"fields": {"GPU-1": "instant"}, "counter": True, "sampling_hz": 10.0, "power_every_s": TICK_S / 10}
    return {"sensor": "nvml", "options": options, "repeat_s": TICK_S / 2}, "a stand-in counter of 100 ms ticks"


def sampler_share(spec: dict, seconds: float) -> tuple[float, int]:
    """Return the sampler's CPU seconds per second once it has settled, and the rows that it passed on per second."""
    rows: list[object] = []
    sampler = SamplerProcess(spec)
    sampler.start(lambda samples, states: rows.extend(samples))
    try:
        time.sleep(3)
        began_s, before, first_s = time.monotonic(), len(rows), cpu_seconds(sampler.pid)
        time.sleep(seconds)
        spent_s, took_s = cpu_seconds(sampler.pid) - first_s, time.monotonic() - began_s
    finally:
        sampler.stop()
    return spent_s / took_s, round((len(rows) - before) / took_s)


def cpu_seconds(pid: int | None) -> float:
    """Return the CPU time of a process of one thread, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def mark_cost_us() -> float:
    """Return the CPU seconds of one mark of the estimate in this process."""
    with CpuTimeEstimate(None) as meter:
        began_s = time.process_time()
        for _ in range(MARKS):
            meter.mark()
        return (time.process_time() - began_s) / MARKS * 1e6


def generation_pairs(spec: dict, pairs: int, output_len: int) -> list[float]:
    """Tokens/s of one batch with the sampler beside it, over the same without."""
    config = ExperimentConfig.model_validate(
        {
            "model": "random:llama",
            "precision": "fp32",
            "device": "cpu",
            "dataset": {"synthetic": {"input_len": 64, "output_len": output_len}},
            "num_prompts": 4,
            "batch_size": 4,
        }
    )
    backend = PytorchBackend(config, builtin_text)
    backend.prepare(build_requests(config, [], backend.load().prompt_tokens))

    def rate(metered: bool) -> float:
        sampler = SamplerProcess(spec) if metered else None
        if sampler:
            sampler.start(lambda reads, states: None)
        began_s = time.monotonic()
        for _ in backend.run():
            pass
        took_s = time.monotonic() - began_s
        if sampler:
            sampler.stop()
        return 4 * output_len / took_s

    rate(True), rate(False)  # warm
    ratios, off = [], []
    for number in range(pairs):
        order = (True, False) if number % 2 else (False, True)
        rates = {metered: rate(metered) for metered in order}
        ratios.append(rates[True] / rates[False])
        off.append(rates[False])
    print(f"throughput without the sampler: {spread(off)} output tokens/s")
    return ratios


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", choices=["rapl", "nvml"], default="nvml")
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--output-len", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        spec, what = rapl_spec() if options.source == "rapl" else nvml_spec(Path(folder))
        print(f"{machine()}\npressure before: {pressure()}")
        share, rows = sampler_share(spec, options.seconds)
        print(f"sampler of {what}: {share:.2%} of a core, {rows} rows a second")
        print(f"estimate: no sampler; a mark costs {mark_cost_us():.0f} us, and there is one a batch")
        if options.pairs:
            ratios = generation_pairs(spec, options.pairs, options.output_len)
            middle, low, high = ratio_interval(ratios)
            print(f"on / off, {options.pairs} pairs: median {middle:.4f}, 95 % interval {low:.4f} to {high:.4f}")
        print(f"pressure after: {pressure()}")


if __name__ == "__main__":
    main()
