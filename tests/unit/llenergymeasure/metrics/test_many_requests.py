"""A run of many requests is summed up, saved and read again in memory that grows with them, not with their square."""

import contextlib
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from measurements import OPENED_S, gpu_energy, make_part, merged, process_measurement

from llenergymeasure import ExperimentResult
from llenergymeasure.domain.power import DeviceWatch
from llenergymeasure.domain.requests import Batch, RequestRecord
from llenergymeasure.energy.meters.base import MeteredDevice
from llenergymeasure.energy.meters.counter import CounterMeter
from llenergymeasure.energy.meters.nvml_power import NvmlPower
from llenergymeasure.energy.samples import Recording, SensorSample
from llenergymeasure.energy.sensors.nvml import Board
from llenergymeasure.metrics import latency
from llenergymeasure.metrics.measurement import Slice
from llenergymeasure.metrics.summary import raw_result, summarise
from llenergymeasure.results.aggregation import aggregate_results
from llenergymeasure.results.journal import Begun, Journal
from llenergymeasure.results.journal_recovery import read_journal

MANY = 50_000


def served(count):
    """Requests that overlap, each a batch of its own as those of a server; a token more for every second."""
    batches = []
    for number in range(count):
        start_s = OPENED_S + number / 500
        times_s = tuple(start_s + 0.1 + 0.01 * token for token in range(2 + number % 2))
        request = RequestRecord(
            number, 10, len(times_s), start_s, times_s, "length", counted_by="server", is_audited=True
        )
        batches.append(Batch(start_s, times_s[-1], (request,), 10, times_s, full=False))
    return batches


def resident_mb(name):
    """The kernel's figure of this process: VmRSS now, VmHWM at most since it was set back."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024 / 1e6


@contextlib.contextmanager
def within(megabytes):
    """Fail where more than that is taken at any moment beyond what there was."""
    before_mb = resident_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM back
    yield
    assert resident_mb("VmHWM") - before_mb < megabytes


def test_fifty_thousand_requests_are_summed_up_and_saved_in_a_hundred_and_fifty_megabytes(tmp_path):
    batches = served(MANY)
    slices = [Slice(OPENED_S + second, OPENED_S + second + 1, [gpu_energy(0, 5.0)]) for second in range(100)]
    energy = {"slices": slices, "watches": [DeviceWatch("GPU-0", ticks=99)]}
    one = process_measurement(0, batches=batches, gpu=0, devices=[gpu_energy(0, 500.0, edge_j=1.0)], energy=energy)
    with within(megabytes=150):
        result = summarise(one)
        path = result.save(tmp_path)
        loaded = ExperimentResult.from_json(path)
    assert loaded == result
    assert loaded.confidence_intervals["latency_stats.e2e_ms.mean"].n == MANY


def test_the_journal_of_many_requests_is_read_in_the_memory_that_its_columns_take(tmp_path):
    begun = Begun(
        raw=raw_result(process_measurement(0)).model_copy(update={"requests": None, "per_request_latencies_ms": []}),
        share=3_000,
        on_accelerator=False,
        device_uuids=[],
        source="none",
    )
    journal = Journal(tmp_path / "process_0.jsonl")
    with contextlib.closing(journal):
        journal.open()
        journal.begun(begun)
        journal.opened(process_measurement(0).opened_at, OPENED_S)
        for batch in served(3_000):
            journal.take(batch)
    tracemalloc.start()
    try:
        found = read_journal(journal.path)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (len(found.raw.requests.start_s), found.broken_lines) == (3_000, 0)
    assert taken < 3e6


@pytest.mark.parametrize("error", [MemoryError(), ImportError("x.so: failed to map segment from shared object")])
def test_intervals_that_there_is_no_memory_for_are_unknown_with_the_reason_and_the_result_is_saved(
    tmp_path, monkeypatch, error
):
    def runs_out(*args, **options):
        raise error

    monkeypatch.setattr(latency, "bootstrap_means", runs_out)
    parts = [make_part(index, batches=served(40)) for index in (0, 1)]
    for result in (parts[0], merged(*parts), aggregate_results(parts[0].process_results, "e1", "0123456789abcdef")):
        assert result.confidence_intervals == {}
        assert result.latency_stats.e2e_ms.n in (40, 80)
        assert [each for each in result.measurement_warnings if "not enough memory" in each] != []
        assert ExperimentResult.from_json(result.save(tmp_path)) == result


WITHOUT_MEMORY = """
import resource, sys
from pathlib import Path
from llenergymeasure.domain.experiment import RawProcessResult
from llenergymeasure.results.aggregation import aggregate_results
from llenergymeasure.results.persistence import save_result

raw = RawProcessResult.model_validate_json(Path(sys.argv[1]).read_bytes())
(line,) = (each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmSize"))
most = int(line.split()[1]) * 1024 + 1_000_000
resource.setrlimit(resource.RLIMIT_AS, (most, most))
print(save_result(aggregate_results([raw], "e1", "0123456789abcdef"), Path(sys.argv[2])))
"""


def test_a_process_without_memory_for_the_intervals_ends_and_saves_the_result_without_them(tmp_path):
    kept = tmp_path / "raw.json"
    kept.write_text(make_part(0, batches=served(40)).process_results[0].model_dump_json())
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_MEMORY, kept, tmp_path], capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.stderr == ""
    found = ExperimentResult.from_json(Path(ended.stdout.strip()))
    assert (found.confidence_intervals, found.latency_stats.e2e_ms.n) == ({}, 40)
    assert [each for each in found.measurement_warnings if "not enough memory" in each] != []


@pytest.mark.slow
def test_two_hundred_thousand_requests_of_two_processes_take_five_hundred_megabytes(tmp_path):
    measured = [process_measurement(index, batches=served(100_000)) for index in (0, 1)]
    with within(megabytes=500):
        result = merged(*map(summarise, measured))
        assert ExperimentResult.from_json(result.save(tmp_path)) == result
    assert result.confidence_intervals["latency_stats.e2e_ms.mean"].n == 200_000


class Recorded:
    """A feed that has read everything already: a read every 10 ms, a degree a second."""

    def __init__(self, seconds):
        self._reads = [
            SensorSample(
                "GPU-0", at / 100, at / 100 + 1e-4, 3.0 * (at // 10 * 10), 300.0, 50.0 if at % 100 == 0 else None
            )
            for at in range(100 * seconds)
        ]

    def start(self, heard):
        heard(self._reads, [])

    def flush(self):
        return False

    def stop(self):
        pass


METERS = {
    "counter": lambda feed: CounterMeter(
        "nvml_counter", [MeteredDevice("GPU-0", "gpu", 0, limit_w=700.0)], feed, 0.1, pace_s=0.01
    ),
    "power": lambda feed: NvmlPower([Board("GPU-0", 0, "A GPU", 700.0, False, ("instant",), False)], 100.0, feed=feed),
}


@pytest.mark.parametrize("meter", METERS.values(), ids=METERS)
def test_what_a_sensor_read_is_put_in_order_once_however_many_ticks_and_windows_there_are(meter, monkeypatch):
    sorted_times = []
    series = Recording.series
    monkeypatch.setattr(Recording, "series", lambda self, *which: sorted_times.append(which) or series(self, *which))

    def looks(seconds, windows):
        sorted_times.clear()
        with meter(Recorded(seconds)) as opened:
            rows = opened.samples(1.0, seconds - 1.0)
            energies = [opened.energy(1.0 + each / 100, 2.0 + each / 100)[0].energy_j for each in range(windows)]
        assert len(rows) > 9 * (seconds - 2)
        assert energies == pytest.approx([300.0] * windows, rel=1e-3)
        return len(sorted_times)

    assert looks(seconds=40, windows=80) == looks(seconds=5, windows=2)
