"""The sampler as the process that it is: started, heard, killed, and what it leaves out."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from itertools import pairwise

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llenergymeasure.energy.sampler import Outbox, SamplerProcess
from llenergymeasure.energy.samples import SensorSample, State
from llenergymeasure.energy.sensors.nvml import LONGEST_POLL_S, SHORTEST_POLL_S, NvmlSensor, probe
from llenergymeasure.energy.sensors.rapl import RaplSensor
from llenergymeasure.energy.sources import nvml_counter
from llenergymeasure.energy.ticklog import TickLog
from llenergymeasure.errors import MeterError
from properties import examples
from warm import without_interpreter

PATIENCE_S = 10.0
HEAVY = {"numpy", "pydantic", "torch", "scipy", "pyarrow", "psutil", "pandas"}


def eventually(holds):
    """Return True if it comes to hold before the timeout."""
    until_s = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.01)
    return True


def nvml(*uuids, counter=True):
    return {
        "sensor": "nvml",
        "options": {"fields": dict.fromkeys(uuids, "instant"), "counter": counter, "sampling_hz": 10},
    }


@pytest.fixture
def package(tmp_path):
    """The counter of a package that was never written again."""
    counter = tmp_path / "energy_uj"
    counter.write_text("2500000\n")
    return counter


@pytest.fixture(params=["rapl", "nvml"])
def spec(request, gpus, package):
    """The specification of a sampler: one device, called GPU-1."""
    gpus(gpus.board())
    rapl = {"sensor": "rapl", "options": {"domains": [["GPU-1", str(package)]]}}
    return nvml("GPU-1") if request.param == "nvml" else rapl


def command(spec):
    return [sys.executable, "-P", "-m", "llenergymeasure.energy.sampler", json.dumps(spec)]


@contextmanager
def sampler(spec):
    """The child itself, once it has said its first word."""
    child = subprocess.Popen(command(spec), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        child.first = json.loads(child.stdout.readline())
        yield child
    finally:
        child.kill()
        child.communicate()


def ask(child):
    """One byte, and the answer to it."""
    child.stdin.write(b"f")
    child.stdin.flush()
    while "flush" not in (message := json.loads(child.stdout.readline())) or not message["flush"]:
        pass
    return message


def test_it_writes_that_it_is_ready_and_then_its_samples(spec):
    with sampler(spec) as child:
        message = json.loads(child.stdout.readline())
        reads = [SensorSample(*row) for row in message["samples"]]
        assert child.first == {"ready": True}
        assert {read.device for read in reads} == {"GPU-1"}
        assert all(read.before_s <= read.after_s <= time.monotonic() for read in reads)
        assert [read for read in reads if read.joules is not None]


def test_it_answers_each_byte_at_once_with_the_number_of_bytes_so_far(spec):
    with sampler(spec) as child:
        assert [ask(child)["flush"] for _ in range(3)] == [1, 2, 3]


def test_an_interrupt_does_not_end_it(spec):
    with sampler(spec) as child:
        child.send_signal(signal.SIGINT)
        assert ask(child)["flush"] == 1


def test_it_ends_when_its_standard_input_closes(spec):
    with sampler(spec) as child:
        child.stdin.close()
        child.stdin = None
        assert child.wait(PATIENCE_S) == 0


def test_it_ends_when_its_standard_output_closes(spec):
    with sampler(spec) as child:
        child.stdout.close()
        child.stdout = None
        assert child.wait(PATIENCE_S) == 0


PARENT = """
import os, sys, time, json
from llenergymeasure.energy.sampler import SamplerProcess

sampler = SamplerProcess(json.loads(sys.argv[1]))
sampler.start(lambda reads, states: None)
sibling = 0
if sys.argv[2] == "forked" and (sibling := os.fork()) == 0:
    time.sleep(60)
    os._exit(0)
print(sampler.pid, sibling, flush=True)
time.sleep(60)
"""


def has_ended(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("further_child", ["none", "forked"])
def test_it_ends_when_its_parent_is_killed_even_if_another_child_holds_its_standard_input(spec, further_child):
    arguments = [sys.executable, "-c", PARENT, json.dumps(spec), further_child]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as parent:
        child, sibling = map(int, parent.stdout.readline().split())
        assert not has_ended(child)
        parent.kill()
    try:
        assert eventually(lambda: has_ended(child))
    finally:
        if sibling:
            os.kill(sibling, signal.SIGKILL)


def test_it_imports_nothing_heavy(spec):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command(spec)[1:]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "llenergymeasure" in imported
    assert imported & HEAVY == set()


@contextmanager
def heard(spec):
    """The parent's side, and the reads and states that it hears."""
    reads, states = [], []
    process = SamplerProcess(spec)
    process.start(lambda more, further: (reads.extend(more), states.extend(further)))
    try:
        yield process, reads, states
    finally:
        process.stop()


def test_the_samples_of_a_sampler_are_received_on_a_flush(spec):
    with heard(spec) as (process, reads, _):
        moment_s = time.monotonic()
        assert eventually(lambda: process.flush() and reads and reads[-1].before_s > moment_s)


def test_clocks_temperature_and_processes_of_a_gpu_are_received_beside_its_counter(gpus):
    gpus(gpus.board(300.0, temperature_c=51.0, throttle=[[0.0, 1e9, 0x20 | 0x40]], processes=[[0.0, 1e9, 77]]))
    with heard(nvml("GPU-1")) as (process, reads, states):
        assert eventually(lambda: process.flush() and reads and states)
    assert {(read.power_w, read.temperature_c) for read in reads if read.joules is None} == {(300.0, 51.0)}
    assert {(state.throttle, state.pids) for state in states} == {(("sw_thermal", "hw_thermal"), None), ((), (77,))}


def test_a_sampler_that_was_stopped_is_gone_and_answers_no_more(spec):
    with heard(spec) as (process, _, _):
        pid = process.pid
        process.stop()
        assert has_ended(pid)
        assert not process.flush()
        process.stop()


def test_a_gpu_that_is_not_there_is_an_error_with_the_reason(gpus):
    gpus(gpus.board())
    with pytest.raises(MeterError, match=r"the energy sampler did not start: \w+"), heard(nvml("GPU-9")):
        pass


def test_a_library_that_is_not_there_is_an_error_with_the_reason(gpus, monkeypatch):
    gpus(gpus.board())
    monkeypatch.delenv("NVML_STANDIN")
    with pytest.raises(MeterError, match="NVML Shared Library Not Found"), heard(nvml("GPU-1")):
        pass


@pytest.mark.parametrize("executable", ["/no/such/python", "/bin/false"])
def test_a_sampler_that_cannot_start_is_an_error(monkeypatch, spec, executable):
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(MeterError, match=r"the energy sampler (cannot be started|did not start)"), heard(spec):
        pass


def test_a_sampler_that_is_killed_leaves_the_window_unknown_and_what_was_before_it_known(gpus):
    library = gpus(gpus.board(400.0))
    with nvml_counter(probe(library, {}).boards, 10) as meter:
        start_s = time.monotonic()
        time.sleep(0.3)
        middle_s = time.monotonic()
        (before,) = meter.energy(start_s, middle_s)
        (child,) = without_interpreter(psutil.Process().children())
        child.kill()
        assert eventually(lambda: has_ended(child.pid))
        (whole,) = meter.energy(start_s, time.monotonic())
        assert (whole.energy_j, whole.edge_j, whole.gain_j) == (None, None, None)
        assert before.energy_j == pytest.approx(400.0 * (middle_s - start_s), abs=before.edge_j)
        assert meter.energy(start_s, middle_s) == [before]
    assert meter.energy(start_s, middle_s) == [before]


def test_a_sampler_that_died_unnoticed_can_be_asked_and_stopped(spec):
    hears, go_on = threading.Event(), threading.Event()

    def slow(reads, states):
        hears.set()
        go_on.wait()

    process = SamplerProcess(spec)
    process.start(slow)
    hears.wait()
    pid = process.pid
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: has_ended(pid))
    assert not process.flush()
    go_on.set()
    process.stop()


def read_of(value_j, at_s, device="GPU-1"):
    return SensorSample(device, at_s, at_s + 0.001, joules=value_j)


def test_of_repeated_values_only_the_first_and_the_last_are_passed_on():
    outbox = Outbox()
    values_j = (1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 3.0, 3.0)
    reads = [read_of(value_j, at_s) for at_s, value_j in enumerate(values_j)]
    outbox.put(reads)
    assert outbox.take() == {"samples": [reads[i] for i in (0, 3, 4, 5, 7)], "states": []}
    assert outbox.take() == {"samples": [], "states": []}


def test_a_value_that_is_repeated_after_it_was_passed_on_is_passed_on_again():
    outbox, passed = Outbox(), []
    for at_s in range(3):
        outbox.put([read_of(1.0, at_s)])
        passed += outbox.take()["samples"]
    assert [read.before_s for read in passed] == [0, 1, 2]


def test_of_repeated_powers_the_first_the_last_and_some_between_are_passed_on():
    outbox = Outbox(repeat_s=0.05)
    powers_w = [5.0] * 13 + [6.0] * 3
    reads = [SensorSample("GPU-1", place / 100, place / 100, power_w=power_w) for place, power_w in enumerate(powers_w)]
    outbox.put(reads)
    assert outbox.take()["samples"] == [reads[place] for place in (0, 5, 10, 12, 13, 15)]


def test_a_time_in_which_an_unchanged_power_was_not_read_is_seen_in_what_is_passed_on():
    outbox = Outbox(repeat_s=0.05)
    moments_s = [place / 100 for place in range(20) if not 6 <= place < 14]
    outbox.put([SensorSample("GPU-1", at_s, at_s, power_w=5.0) for at_s in moments_s])
    passed_s = [sample.before_s for sample in outbox.take()["samples"]]
    assert max(after_s - before_s for before_s, after_s in pairwise(passed_s)) >= 0.09


def test_power_states_and_other_devices_are_all_passed_on():
    rows = [
        SensorSample("GPU-1", 0.0, 0.1, power_w=5.0),
        read_of(1.0, 0.2),
        read_of(1.0, 0.2, "GPU-2"),
        State("GPU-1", 0.3, pids=(1,)),
        SensorSample("GPU-1", 0.4, 0.5, power_w=5.0),
        State("GPU-1", 0.6, pids=(1,)),
    ]
    outbox = Outbox()
    outbox.put(rows)
    taken = outbox.take()
    assert (taken["samples"], taken["states"]) == ([rows[i] for i in (0, 1, 2, 4)], [rows[3], rows[5]])


polls = st.tuples(
    st.sampled_from(["GPU-1", "GPU-2"]),
    st.floats(0.001, 0.05),
    st.sampled_from([0.0, 0.0, 0.0, 0.0, 1.0, 7.5, 40.0, -1000.0]),  # a tick now and then, and a reset
    st.sampled_from(["read", "read", "read", "lost", "take"]),
)
shares = st.floats(0.0, 1.0)


@examples(200)
@given(
    st.lists(polls, min_size=2, max_size=80),
    st.lists(st.tuples(shares, shares), max_size=8),
    st.sampled_from([None, 0.002]),
    st.sampled_from([0.0, 0.01]),
)
def test_a_tick_log_of_the_samples_passed_on_gives_the_windows_of_all_samples(polled, pairs, max_tick_s, lag_s):
    outbox, every, passed = Outbox(), [], []
    now_s, energies_j = 0.0, {"GPU-1": 5000.0, "GPU-2": 7000.0}
    for device, pause_s, risen_j, what in polled:
        now_s += pause_s
        energies_j[device] = max(energies_j[device] + risen_j, 0.0)
        if what == "take":
            passed += outbox.take()["samples"]
        elif what == "read":
            every.append(read_of(energies_j[device], now_s, device))
            outbox.put(every[-1:])
    passed += outbox.take()["samples"]
    whole, part = (
        TickLog([row[:4] for row in rows], 770.0, lag_s=lag_s, max_tick_s=max_tick_s) for rows in (every, passed)
    )
    for pair in pairs:
        window = [share * now_s for share in sorted(pair)]
        assert part.window(*window) == whole.window(*window)


def tasks(sensor):
    return list(sensor.tasks())


def rows_of(sensor):
    return [row for task in tasks(sensor) for row in task.read()]


@pytest.mark.parametrize(("tick_s", "poll_s"), [(0.02, SHORTEST_POLL_S), (0.1, 0.010), (0.3, LONGEST_POLL_S)])
def test_a_counter_comes_to_be_polled_ten_times_a_tick_within_5_and_20_ms(gpus, monkeypatch, tick_s, poll_s):
    sensor = NvmlSensor(gpus(gpus.board(tick_s=tick_s)), {"GPU-1": "instant"}, counter=True, sampling_hz=10)
    counter, now_s = tasks(sensor)[0], time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    end_s = now_s + 25 * tick_s
    assert counter.every_s() == SHORTEST_POLL_S
    while now_s < end_s:
        list(counter.read())
        now_s += counter.every_s()
    assert counter.every_s() == pytest.approx(poll_s, rel=0.05)


def test_power_is_sampled_as_often_as_is_asked_for(gpus):
    sensor = NvmlSensor(gpus(gpus.board()), {"GPU-1": "instant"}, counter=False, sampling_hz=25)
    power, _ = tasks(sensor)
    assert power.every_s() == pytest.approx(0.04)


def test_power_that_is_the_source_has_a_pace_of_its_own_beside_temperature_and_clocks(gpus):
    library = gpus(gpus.board(powers={"average": [[0.0, 250.0]], "draw": [[0.0, 90.0]]}))
    sensor = NvmlSensor(library, {"GPU-1": "average"}, counter=False, sampling_hz=10, power_every_s=0.01)
    power, conditions, _ = tasks(sensor)
    assert (power.every_s(), conditions.every_s()) == (pytest.approx(0.01), pytest.approx(0.1))
    (read,), (degrees, _) = list(power.read()), list(conditions.read())
    assert (read.power_w, read.temperature_c) == (250.0, None)
    assert (degrees.power_w, degrees.temperature_c) == (None, 45.0)


def test_a_board_names_every_field_of_power_that_it_answers_and_its_driver(gpus):
    library = gpus(
        gpus.board(uuid="GPU-a"),
        gpus.board(uuid="GPU-b", no_instant=True),
        gpus.board(uuid="GPU-c", powers={"average": [[0.0, 250.0]]}),
        driver="535.54.03",
    )
    boards = probe(library, {}).boards
    assert [board.power_fields for board in boards] == [("instant", "draw"), ("draw",), ("average",)]
    assert {board.driver for board in boards} == {"535.54.03"}


def test_a_counter_that_cannot_be_read_gives_no_row_while_the_other_gpu_does(gpus):
    library = gpus(gpus.board(uuid="GPU-a", lost=[[0.0, 1e9]]), gpus.board(uuid="GPU-b"))
    rows = rows_of(NvmlSensor(library, {"GPU-a": "instant", "GPU-b": "instant"}, counter=True, sampling_hz=10))
    assert {row.device for row in rows if isinstance(row, SensorSample) and row.joules is not None} == {"GPU-b"}


def test_a_gpu_that_cannot_be_read_gives_no_reads(gpus):
    sensor = NvmlSensor(gpus(gpus.board(gone=[[0.0, 1e9]])), {"GPU-1": "instant"}, counter=True, sampling_hz=10)
    assert [row for row in rows_of(sensor) if isinstance(row, SensorSample)] == []


@pytest.mark.parametrize("spoil", [lambda counter: counter.unlink(), lambda counter: counter.write_text("")])
def test_a_package_that_cannot_be_read_gives_no_row_until_it_can_be_again(tmp_path, package, spoil):
    other = tmp_path / "other"
    other.write_text("7000000")
    sensor = RaplSensor([("package-0", package), ("package-1", other)])
    found = [rows_of(sensor)]
    spoil(package)
    found.append(rows_of(sensor))
    package.write_text("3000000")
    found.append(rows_of(sensor))
    assert [[(row.device, row.joules) for row in rows] for rows in found] == [
        [("package-0", 2.5), ("package-1", 7.0)],
        [("package-1", 7.0)],
        [("package-0", 3.0), ("package-1", 7.0)],
    ]


def test_the_sampler_is_found_in_the_package_and_not_in_the_folder_that_it_is_started_in(spec, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    with heard(spec) as (process, _, _):
        assert process.flush()
