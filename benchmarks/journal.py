"""The cost of a measurement's journal: processor time in microseconds per line, bytes, and seconds to read it.

    python benchmarks/journal.py [--requests 100000]

A served request is a line, and so is a static batch of eight; each request has 256 tokens. Beside it, as a ratio in the
same run, a plain `os.write` of as many bytes.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from _report import machine, pressure

from llenergymeasure.domain.experiment import RawProcessResult
from llenergymeasure.domain.figures import ComputeMetrics, EnergyMetrics, Timestamps
from llenergymeasure.domain.power import EnergySoFar
from llenergymeasure.domain.requests import Batch, RequestRecord
from llenergymeasure.metrics.process_metrics import inference_metrics
from llenergymeasure.results.journal import Begun, Journal, open_journal
from llenergymeasure.results.journal_recovery import read_journal

NOW = datetime(2026, 11, 21, tzinfo=UTC)
OPENED_S, TOKENS, LINES = 1000.0, 256, 5000


def journal(folder: Path) -> Journal:
    """A journal that has begun."""
    nothing = RawProcessResult(
        experiment_id="20261121-000000-00000000",
        process_index=0,
        gpu_id=0,
        config_name=None,
        model_name="a-model",
        timestamps=Timestamps.from_times(NOW, NOW),
        inference_metrics=inference_metrics(0, 0, 0.0, []),
        energy_metrics=EnergyMetrics(total_energy_j=None, duration_sec=0.0),
        compute_metrics=ComputeMetrics(flops_total=None),
    )
    begun = Begun(raw=nothing, share=1, on_accelerator=True, device_uuids=["GPU-a"], source="nvml_counter")
    opened = open_journal(folder, begun)
    opened.opened(NOW, OPENED_S)
    return opened


def batch(number: int, rows: int) -> Batch:
    """A batch of so many requests."""
    start_s = OPENED_S + number / 7
    times_s = tuple(start_s + 0.1 + token / 70 for token in range(TOKENS))
    records = tuple(RequestRecord(number + row, 100, TOKENS, start_s, times_s, "length") for row in range(rows))
    return Batch(start_s, times_s[-1], records, 100, times_s, True)


def micros(act: Callable[[], object]) -> float:
    """The median processor time of one call, in microseconds."""
    took_s = []
    for _ in range(LINES):
        began_s = time.thread_time()
        act()
        took_s.append(time.thread_time() - began_s)
    return statistics.median(took_s) * 1e6


def cost(line: Callable[[Journal], object]) -> str:
    """The cost of a line, and of writing as many bytes, as text."""
    with tempfile.TemporaryDirectory() as folder:
        to, plain = journal(Path(folder)), Path(folder) / "plain"
        file = Path(str(to.path))
        before = file.stat().st_size
        ours = micros(lambda: line(to))
        size = (file.stat().st_size - before) // LINES
        to.close()
        with plain.open("wb", buffering=0) as written:
            theirs = micros(lambda: written.write(bytes(size)))
    return f"{ours:.1f} us, {size} bytes; {ours / theirs:.1f} times a plain write of them"


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    options = parser.parse_args()
    print(f"{machine()}\npressure: {pressure()}\n")
    one, eight = batch(0, 1), batch(0, 8)
    joules = [EnergySoFar("GPU-a", "gpu", "nvml_counter", OPENED_S, 1e6)]
    print(f"a request: {cost(lambda to: to.take(one))}")
    print(f"a batch of eight: {cost(lambda to: to.take(eight))}")
    print(f"joules of a GPU: {cost(lambda to: to.energy(joules))}")
    with tempfile.TemporaryDirectory() as folder:
        to = journal(Path(folder))
        for number in range(options.requests):
            to.take(batch(number, 1))
        to.close()
        began_s = time.monotonic()
        read_journal(Path(str(to.path)))
        print(f"reading {options.requests} requests: {time.monotonic() - began_s:.1f} s")
    print(f"\npressure: {pressure()}")


if __name__ == "__main__":
    main()
