"""CPU seconds of a run: measured over its window, kept, added up, recovered, shown and compared."""

import itertools
import json
import os
import subprocess
import sys
import time

import psutil
import pytest
from compared_runs import made, one_run
from hostile_folders import llem
from hypothesis import given, settings
from hypothesis import strategies as st
from measurements import make_part, merged
from tiny import tiny_config
from unfinished_runs import OPENED_S, answer, begun, leave_journal, writing

from labledger.console import Silent
from llenergymeasure.api import run_experiment
from llenergymeasure.backends.openai.server.server import Server
from llenergymeasure.cli.presentation import number, print_result
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.energy.cpu_time import CLOCK_TICK_S, GONE, CpuTime, OtherProcesses, Reading, ThisProcess
from llenergymeasure.energy.sources import find_sources
from llenergymeasure.metrics.measurement import CpuUse
from llenergymeasure.process_tree import CpuSpent
from llenergymeasure.results.comparison import Group, compare
from llenergymeasure.results.flat import flat_row
from llenergymeasure.results.journal_recovery import read_journal
from llenergymeasure.run import harness
from llenergymeasure.run.measurement_window import MeasurementWindow
from llenergymeasure.run.server_placement import ServerPlacement
from standins.streaming_server import StreamingServer

pytestmark = pytest.mark.usefixtures("small_heap")

BURNS = "import time\nwhile time.process_time() < 0.2: pass\n"
THEN_WAITS = BURNS + "print('burnt', flush=True); input()"


@pytest.fixture(scope="module")
def result():
    """A run on the CPU, its energy an estimate of 10 W per CPU second, and what this process has spent at the most."""
    config = tiny_config(energy={"source": "estimate"})
    before_s = time.process_time()
    found = harness.run(config, UserConfig(cpu_watts_per_core=10.0), Silent()).result
    return found, time.process_time() - before_s


# Measured


def test_cpu_seconds_are_those_of_the_window_and_the_estimate_of_joules_is_of_the_same(result):
    found, most_s = result
    assert 0 < found.cpu_seconds < most_s
    assert found.total_energy_j == pytest.approx(10.0 * found.cpu_seconds)
    assert found.cpu_seconds_per_output_token == found.cpu_seconds / found.output_tokens
    raw = found.process_results[0].compute_metrics
    assert (raw.cpu_seconds, raw.cpu_seconds_resolution_s) == (found.cpu_seconds, found.cpu_seconds_resolution_s)
    assert "cpu_seconds" not in found.not_known


@pytest.fixture
def child():
    with subprocess.Popen([sys.executable, "-S", "-c", THEN_WAITS], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout.readline() == "burnt\n"
        yield process
        if process.poll() is None:
            process.communicate("\n")


def test_what_a_process_has_started_counts_while_it_runs_and_once_it_has_ended():
    cpu = CpuTime(ThisProcess())
    cpu.mark(is_edge=True)
    start_s = cpu.last[0]
    subprocess.run([sys.executable, "-S", "-c", BURNS], check=True)
    with subprocess.Popen([sys.executable, "-S", "-c", THEN_WAITS], stdin=-1, stdout=-1, text=True) as running:
        running.stdout.readline()
        cpu.mark(is_edge=True)
        running.communicate("\n")
    spent_s = cpu.grown(start_s, cpu.last[0])
    assert 0.4 - cpu.resolution_s <= spent_s < 2.0
    assert 2 * CLOCK_TICK_S <= cpu.resolution_s <= 4 * CLOCK_TICK_S  # ticks of user and of system time


def test_the_process_that_reads_the_sensors_does_not_count(child):
    own = ThisProcess()
    with_it = own(is_edge=True)
    own.without = lambda: {child.pid}
    without = own(is_edge=True)
    assert with_it.spent.seconds - without.spent.seconds > 0.1


def test_the_sampler_of_a_gpu_is_named_by_its_meter(gpus):
    gpus(gpus.board())
    with find_sources() and harness.choose_meter(tiny_config().energy, UserConfig(), find_sources()).meter as meter:
        (pid,) = meter.pids()
        assert psutil.Process(pid).ppid() == os.getpid()


class Told:
    """Gives readings of two processes that are told in ticks."""

    pace_s = 0.0

    def __init__(self, readings):
        self._readings = readings

    def __call__(self, *, is_edge):
        at_s, spent_s = next(self._readings)
        return Reading(at_s, CpuSpent(spent_s, 2))


@given(st.lists(st.tuples(st.floats(0.01, 5.0), st.floats(0.0, 9.0)), min_size=1, max_size=9), st.data())
@settings(max_examples=30)
def test_the_parts_of_a_window_add_up_to_it(steps, data):
    moments = [*itertools.accumulate((step for step, _ in steps), initial=0.0)]
    spent = [*itertools.accumulate((cpu_s for _, cpu_s in steps), initial=3.0)]
    readings = iter(zip(moments, spent, strict=True))
    cpu = CpuTime(Told(readings))
    for _ in moments:
        cpu.mark(is_edge=True)
    window = MeasurementWindow(cpu=cpu)
    cut_s = data.draw(st.floats(0.0, moments[-1]))
    first, second = window.cpu_use(0.0, cut_s).seconds, window.cpu_use(cut_s, moments[-1]).seconds
    assert first >= 0
    assert second >= 0
    assert first + second == pytest.approx(window.cpu_use(0.0, moments[-1]).seconds) == pytest.approx(spent[-1] - 3.0)
    assert window.cpu_use(0.0, moments[-1]).resolution_s == 4 * CLOCK_TICK_S
    assert window.cpu_use(0.0, moments[-1] + 1.0).unknown == "the run was ended before they were read"


# Servers


def measured(server_url, **fields):
    return run_experiment(
        model="m",
        backend="openai",
        openai={"base_url": server_url},
        num_prompts=2,
        warmup={"iterations": 0},
        baseline={"enabled": False},
        passthrough_kwargs={"standin": {"ttft_s": 0.1, "tokens": 2}},
        **fields,
    )


def test_cpu_seconds_of_a_server_that_ran_before_are_its_processes_and_its_memory_is_theirs():
    with StreamingServer() as server:
        all_s = sum(psutil.Process(server.pid).cpu_times()[:2])
        found = measured(server.url)
        all_s = sum(psutil.Process(server.pid).cpu_times()[:2]) - all_s
        resident_mb = psutil.Process(server.pid).memory_info().rss / 1e6
    assert 0 <= found.cpu_seconds <= all_s + 2 * CLOCK_TICK_S
    assert found.peak_memory_mb == pytest.approx(resident_mb, rel=0.5)
    assert "peak_memory_mb" not in found.not_known


def placed(host, pids):
    config = ExperimentConfig.model_validate(
        {"model": "m", "backend": "openai", "openai": {"base_url": f"http://{host}:8123/v1"}}
    )
    server = Server(config, None, None)
    server.pids = lambda: pids
    return ServerPlacement(config, server, find_sources())


def test_cpu_seconds_of_a_server_that_cannot_be_seen_are_unknown_with_the_reason():
    assert placed("192.0.2.7", frozenset()).cpu.startswith("the server is on another machine (192.0.2.7)")
    hidden = "no process that listens at port 8123 can be seen from here: it is another user's, or in a container"
    assert placed("127.0.0.1", None).cpu == hidden
    assert MeasurementWindow(cpu=hidden).cpu_use(0.0, 1.0) == CpuUse(unknown=hidden)


def test_cpu_seconds_of_a_server_of_which_a_process_ends_in_the_window_are_unknown_with_the_reason(child):
    cpu = CpuTime(OtherProcesses([psutil.Process(child.pid)]))
    cpu.mark(is_edge=True)
    child.communicate("\n")
    cpu.mark(is_edge=True)
    assert MeasurementWindow(cpu=cpu).cpu_use(0.0, time.monotonic()) == CpuUse(unknown=GONE)


# Of several processes, and of a killed one


def test_cpu_seconds_of_several_processes_are_added_up():
    one, other = (make_part(index, cpu=CpuUse(spent_s, 0.02)) for index, spent_s in ((0, 12.5), (1, 7.5)))
    both = merged(one, other)
    assert (both.cpu_seconds, both.cpu_seconds_resolution_s) == (20.0, 0.04)
    assert both.cpu_seconds_per_output_token == 20.0 / both.output_tokens


def test_cpu_seconds_that_one_process_does_not_know_are_unknown_with_its_reason():
    both = merged(make_part(0, cpu=CpuUse(12.5, 0.02)), make_part(1, cpu=CpuUse(unknown="nobody looked")))
    assert (both.cpu_seconds, both.cpu_seconds_per_output_token) == (None, None)
    assert both.not_known == {"cpu_seconds": "nobody looked"}


def test_cpu_seconds_of_a_killed_process_are_recovered_up_to_the_end_of_its_last_request(tmp_path):
    with writing(tmp_path, begun(source="none")) as journal:
        journal.cpu(OPENED_S - 0.1, 3.0, 0.02)
        journal.opened(begun().raw.timestamps.start, OPENED_S)
        journal.cpu(OPENED_S + 0.1, 4.0, 0.02)
        journal.take(answer(0, 0.0, 2.0))
        journal.cpu(OPENED_S + 4.1, 12.0, 0.04)
    raw = read_journal(journal.path).raw
    assert raw.compute_metrics.cpu_seconds == pytest.approx(0.5 + 8.0 * 1.9 / 4.0)
    assert raw.compute_metrics.cpu_seconds_resolution_s == 0.04
    assert "cpu_seconds" not in raw.not_known


def test_a_journal_of_before_has_no_cpu_seconds_and_says_so(tmp_path):
    raw = read_journal(leave_journal(tmp_path, answer(0, 0.0, 2.0))).raw
    assert raw.compute_metrics.cpu_seconds is None
    assert raw.not_known["cpu_seconds"] == "not known of a process that was killed"


def test_a_run_that_is_killed_has_its_cpu_seconds_in_the_journal(tmp_path):
    class Killed(Silent):
        def update(self, done, *_):
            if done == 4:
                raise SystemExit

    with pytest.raises(SystemExit):
        harness.run(tiny_config(num_prompts=8, batch_size=2), UserConfig(), Killed(), output_dir=tmp_path)
    (path,) = tmp_path.glob(".state/*/process_0.json*")
    assert '"cpu_seconds":' in path.read_text()


# Shown and compared


def test_cpu_seconds_are_in_the_flat_row_and_shown_with_their_resolution(result, capsys):
    found, _ = result
    row = flat_row(found)
    names = ("cpu_seconds", "cpu_seconds_per_output_token", "cpu_seconds_resolution_s")
    assert [row[name] for name in names] == [getattr(found, name) for name in names]
    print_result(found.model_copy(update={"cpu_seconds": 12.5, "cpu_seconds_resolution_s": 0.04}), None)
    assert "12.5 ± 0.0400 CPU s, " in capsys.readouterr().out
    unknown = {"cpu_seconds": None, "not_known": {"cpu_seconds": "nobody looked"}}
    print_result(found.model_copy(update=unknown), None)
    assert "unknown (nobody looked)" in capsys.readouterr().out


def test_cpu_seconds_are_listed_and_queried_beside_joules(result, tmp_path):
    found, _ = result
    found.save(tmp_path)
    code, shown = llem("results", "list", tmp_path)
    assert code == 0
    assert "CPU s/token" in shown
    assert number(found.cpu_seconds_per_output_token) in shown
    code, shown = llem("results", "sql", "SELECT cpu_seconds FROM results", "--dir", tmp_path, "--json")
    assert json.loads(shown) == [{"cpu_seconds": found.cpu_seconds}]


def test_cpu_seconds_are_compared_where_joules_are_estimates():
    def run(name, number, *, start):
        spent_s = (4.0 if name == "A" else 5.0) * (1 + 0.001 * (number % 3))
        estimate = {"energy_source": "estimate", "verdict": "not_measured", "cpu_seconds_per_output_token": spent_s}
        return one_run(name, start=start, **estimate)

    first, second = made("ABBAABBA", run)
    rows = {row.metric: row for row in compare(Group("a", first), Group("b", second)).rows}
    assert "estimate" in rows["energy_per_output_token_j"].note
    row = rows["cpu_seconds_per_output_token"]
    assert row.low < 1.25 < row.high < 1.3
    assert row.low > 1.2
