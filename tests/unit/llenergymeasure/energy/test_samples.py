"""Sensor samples: kept in columns, written to a trace, read and played back."""

import math
import re
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recorded import counter_trace

from llenergymeasure.energy.meters.counter import POWER_MARGIN
from llenergymeasure.energy.meters.replay import Replay
from llenergymeasure.energy.samples import Recording, SensorSample, State, read_trace, write_trace
from llenergymeasure.energy.ticklog import TickLog

LIMIT_W = 400.0
READS = [
    SensorSample("GPU-a", 1.0, 1.1, joules=5.0),
    SensorSample("GPU-b", 1.05, 1.15, joules=0.0, power_w=0.0, temperature_c=0.0),
    SensorSample("GPU-a", 1.2, 1.3, power_w=300.0, temperature_c=45.0),
    SensorSample("GPU-a", 1.4, 1.5, joules=6.0),
]


def own(device, reads=READS):
    return [read for read in reads if read.device == device]


@pytest.fixture
def trace(tmp_path):
    return write_trace(Recording(READS), tmp_path / "trace.parquet")


def test_samples_of_each_device_stay_as_they_came_and_what_was_not_read_is_none():
    recording = Recording(READS[:1])
    recording.add(READS[1:3])
    recording.add(READS[3:])
    assert recording.devices() == ["GPU-a", "GPU-b"]
    assert [recording.samples(device) for device in ("GPU-a", "GPU-b")] == [own("GPU-a"), own("GPU-b")]


def test_a_device_without_a_read_has_nothing():
    recording = Recording(READS)
    assert (recording.samples("GPU-c"), recording.counter("GPU-c"), recording.states("GPU-c")) == ([], [], [])
    assert [len(column) for column in recording.series("GPU-c", "power_w")] == [0, 0]
    assert (recording.changes("GPU-c"), recording.last_change_s("GPU-c")) == (0, -math.inf)


def test_states_are_those_of_their_device():
    states = [State("GPU-a", 1.0, ("hw_thermal",)), State("GPU-b", 1.0, pids=()), State("GPU-a", 2.0, pids=(7, 9))]
    recording = Recording()
    recording.add([], states)
    assert recording.states("GPU-a") == [states[0], states[2]]
    assert recording.states("GPU-b") == [states[1]]


def test_the_counter_is_the_reads_that_have_energy():
    assert Recording(READS).counter("GPU-a") == [("GPU-a", 1.0, 1.1, 5.0), ("GPU-a", 1.4, 1.5, 6.0)]


def test_a_series_is_in_order_of_time_whatever_came_first():
    late, early = SensorSample("GPU-a", 3.0, 3.2, power_w=30.0), SensorSample("GPU-a", 1.0, 1.2, power_w=10.0)
    moments_s, powers_w = Recording([late, SensorSample("GPU-a", 2.0, 2.2, joules=1.0), early]).series(
        "GPU-a", "power_w"
    )
    assert (moments_s.tolist(), powers_w.tolist()) == ([1.1, 3.1], [10.0, 30.0])


def test_a_change_is_a_new_energy_and_not_a_repeated_one():
    values_j = (5.0, 5.0, 6.0, 6.0, 7.0, 7.0)
    recording = Recording(SensorSample("GPU-a", at_s, at_s, joules=joules) for at_s, joules in enumerate(values_j))
    assert (recording.changes("GPU-a"), recording.last_change_s("GPU-a")) == (2, 2)  # of the last but one


def test_samples_from_before_a_moment_are_forgotten():
    recording = Recording(READS)
    recording.add([], [State("GPU-a", 1.1), State("GPU-a", 1.3)])
    recording.forget(1.2)
    assert (recording.samples("GPU-a"), recording.samples("GPU-b")) == (own("GPU-a")[1:], [])
    assert recording.states("GPU-a") == [State("GPU-a", 1.3)]


def test_reads_that_threads_add_at_once_are_all_kept_and_whole():
    recording = Recording()

    def add(name):
        for number in range(500):
            recording.add([SensorSample(name, number, number, number, number, number)])

    threads = [threading.Thread(target=add, args=(name,)) for name in ("a", "b", "a", "b")]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        recording.series("a", "power_w")
    for name in ("a", "b"):
        reads = recording.samples(name)
        assert len(reads) == 1000
        assert all(set(read[1:]) == {read.before_s} for read in reads)


def test_a_trace_holds_a_row_per_sample_with_null_for_what_was_not_read(trace):
    table = pq.read_table(trace)
    assert [(field.name, field.type) for field in table.schema] == [
        ("device", pa.string()),
        *((name, pa.float64()) for name in ("before_s", "after_s", "joules", "power_w", "temperature_c")),
    ]
    assert table.to_pylist() == [read._asdict() for read in (*own("GPU-a"), *own("GPU-b"))]
    assert [table[name].null_count for name in ("joules", "power_w", "temperature_c")] == [1, 2, 2]


@pytest.mark.parametrize("reads", [READS, []], ids=["reads", "none"])
def test_a_trace_that_was_written_is_read_back_as_it_was(tmp_path, reads):
    found = read_trace(write_trace(Recording(reads), tmp_path / "trace.parquet"))
    assert {device: found.samples(device) for device in found.devices()} == {
        read.device: own(read.device, reads) for read in reads
    }


def without_a_column(trace):
    pq.write_table(pq.read_table(trace).drop_columns(["joules"]), trace)


def with_text_for_a_number(trace):
    table = pq.read_table(trace)
    pq.write_table(table.set_column(3, "joules", pa.array(["5"] * len(table))), trace)


def damaged(trace):
    data = bytearray(trace.read_bytes())
    data[40] ^= 0xFF  # in the first page
    trace.write_bytes(data)


def cut_short(trace):
    trace.write_bytes(trace.read_bytes()[:300])


@pytest.mark.parametrize(
    "spoil",
    [
        without_a_column,
        with_text_for_a_number,
        damaged,
        cut_short,
        lambda trace: trace.write_text("device,before_s\n"),
        lambda trace: trace.write_bytes(b""),
        lambda trace: trace.unlink(),
    ],
    ids=["no column", "text for a number", "damaged", "cut short", "text", "empty", "not there"],
)
def test_a_file_that_is_no_trace_is_an_error_that_names_it(trace, spoil):
    spoil(trace)
    with pytest.raises(OSError, match=re.escape(str(trace))):
        read_trace(trace)


def test_a_trace_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(OSError, match="no_such_folder"):
        write_trace(Recording(READS), tmp_path / "no_such_folder" / "trace.parquet")


@pytest.fixture
def recording():
    """Two boards with 50 ms ticks: one steady, one that steps."""
    steady = counter_trace(200.0, seconds=3.0, tick_s=0.05, device="GPU-a")
    stepping = counter_trace(lambda at_s: 50.0 if at_s < 1.5 else 350.0, seconds=3.0, tick_s=0.05, device="GPU-b")
    return Recording([*steady.samples("GPU-a"), *stepping.samples("GPU-b")])


def played(recording, trace, start_s, end_s):
    """Return the energy of a replay for a window of the recording's own time."""
    with Replay(trace, limit_w=LIMIT_W) as meter:
        first_s, played_s = (reads.samples("GPU-a")[0].before_s for reads in (recording, meter.recording))
        shift_s = played_s - first_s
        return {device.device: device for device in meter.energy(start_s + shift_s, end_s + shift_s)}


@pytest.mark.parametrize("window", [(0.5, 2.5), (0.123, 0.321), (1.49, 1.51), (1.0, 1.0)], ids=str)
def test_a_replayed_trace_gives_the_energy_of_the_recordings_tick_log(recording, tmp_path, window):
    path = write_trace(recording, tmp_path / "trace.parquet")
    readings = [reading for device in recording.devices() for reading in recording.counter(device)]
    expected = TickLog(readings, POWER_MARGIN * LIMIT_W).window(*window)
    for trace in (path, recording):
        found = played(recording, trace, *window)
        for device, (energy_j, edge_j) in expected.items():
            assert found[device].energy_j == pytest.approx(energy_j, abs=1e-6)
            assert found[device].edge_j == pytest.approx(edge_j, abs=1e-6)


@pytest.mark.parametrize("window", [(1.0, 3.5), (-1.0, 1.0), (4.0, 5.0)], ids=str)
def test_beyond_a_traces_ends_energy_is_unknown(recording, window):
    found = played(recording, recording, *window)
    assert [(device.energy_j, device.edge_j) for device in found.values()] == [(None, None)] * 2
