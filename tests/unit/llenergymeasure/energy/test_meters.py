"""One suite that every energy source passes."""

import importlib.util
import itertools
import subprocess
import sys
import time

import psutil
import pytest
from powercap_trees import Processor, tree
from recorded import ReadAlready, counter_trace
from replays import SteadyGpu

from llenergymeasure.config.models import BaselineConfig, EnergyConfig, UserConfig
from llenergymeasure.energy import sampler
from llenergymeasure.energy.idle import idle_power, watch_idle
from llenergymeasure.energy.meters import sampled
from llenergymeasure.energy.meters.base import MeteredDevice, NoMeter
from llenergymeasure.energy.meters.counter import CounterMeter
from llenergymeasure.energy.meters.estimate import CpuTimeEstimate
from llenergymeasure.energy.meters.rapl import Rapl
from llenergymeasure.energy.meters.replay import Replay
from llenergymeasure.energy.samples import SensorSample
from llenergymeasure.energy.sensors.rapl import probe
from llenergymeasure.energy.sources import choose_meter, find_sources
from llenergymeasure.metrics.energy import ReportedDevices
from warm import without_interpreter

CPU = ReportedDevices(on_accelerator=False)


def on_gpus(**config):
    return choose_meter(EnergyConfig(**config), UserConfig(), find_sources()).meter


METERS = {
    "estimate": lambda: CpuTimeEstimate(None),
    "estimate, stated": lambda: CpuTimeEstimate(6.5),
    "none": NoMeter,
    "nvml_counter": lambda: on_gpus(source="nvml_counter"),
    "nvml_power": lambda: on_gpus(source="nvml_power"),
    "zeus": lambda: on_gpus(source="zeus"),
    "gpu and cpu": on_gpus,
    "counter, checked": lambda: on_gpus(source="nvml_counter", cross_check="zeus"),
    "rapl": lambda: None,  # on a tree of its own, below
    "replay": lambda: Replay(counter_trace(100.0, seconds=20.0, tick_s=0.01), limit_w=200.0),
}
PATIENCE_S = 60.0
WITH_ZEUS = ("zeus", "counter, checked")

pytestmark = pytest.mark.filterwarnings("ignore:The energy consumption of one or more GPUs was measured as zero")


@pytest.fixture
def patient(monkeypatch):
    """A sampler that a busy machine holds up is waited for, however long."""
    monkeypatch.setattr(sampled, "OPEN_TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(sampled, "SETTLE_TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(sampler, "FLUSH_TIMEOUT_S", PATIENCE_S)


@pytest.fixture(params=METERS, ids=str)
def meter(request, gpus, tmp_path, patient):
    """One of each kind: those of GPUs on two recorded boards, RAPL on a package and its memory that draw power."""
    if request.param == "rapl":
        counters = tree(tmp_path)
        with Processor({counters[0]: 60.0, counters[1]: 5.0}):
            yield Rapl(probe(tmp_path).domains)
        return
    if request.param in WITH_ZEUS and importlib.util.find_spec("zeus") is None:
        pytest.skip("needs Zeus")
    gpus(
        gpus.board(100.0, uuid="GPU-a", tick_s=0.02, seconds=20.0), gpus.board(uuid="GPU-b", tick_s=0.02, seconds=20.0)
    )
    yield METERS[request.param]()


def work(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def total(devices):
    return sum(device.energy_j for device in devices)


def test_it_has_a_name_and_shows_if_it_measures(meter):
    assert meter.source
    assert meter.is_measurement in (True, False)


def test_a_window_inside_answers_while_it_is_open_and_after_it_is_closed(meter):
    with meter:
        start_s = time.monotonic()
        work(0.02)
        end_s = time.monotonic()
        meter.mark()
        before = meter.energy(start_s, end_s)
    assert meter.energy(start_s, end_s) == before


def test_adjoining_windows_add_up(meter):
    with meter:
        moments = [time.monotonic()]
        for _ in range(3):
            work(0.02)
            meter.mark()
            moments.append(time.monotonic())
    parts = [total(meter.energy(a, b)) for a, b in itertools.pairwise(moments)]
    assert sum(parts) == pytest.approx(total(meter.energy(moments[0], moments[-1])))


def test_every_device_names_its_source_and_its_kind(meter):
    with meter:
        start_s = time.monotonic()
    devices = meter.energy(start_s, start_s)
    assert {device.source for device in devices[:1]} <= {meter.source}
    for device in devices:
        assert device.source
        assert device.kind in ("gpu", "cpu", "dram")
        assert device.device


def test_what_it_watched_and_sampled_is_of_its_own_devices_in_order_of_time(meter):
    with meter:
        start_s = time.monotonic()
        work(0.1)
        end_s = time.monotonic()
        meter.mark()
    names = [device.device for device in meter.energy(start_s, end_s)]
    assert len(names) == len(set(names))
    assert {watch.device for watch in meter.watch(start_s, end_s)} <= set(names)
    assert {device.device for device in meter.cross_check(start_s, end_s)} <= set(names)
    moments_s = [row.timestamp_s for row in meter.samples(start_s, end_s)]
    assert moments_s == sorted(moments_s)


def test_while_it_is_open_it_publishes_the_joules_so_far_of_each_of_its_devices(meter):
    published = []
    with meter:
        meter.publish_to(published.append)
        time.sleep(0.1)
        meter.mark()
        now_s = time.monotonic()
    found = {(device.device, device.kind, device.source) for device in meter.energy(now_s - 0.05, now_s)}
    rows = [reading for readings in published for reading in readings]
    assert {(row.device, row.kind, row.source) for row in rows} == found
    for device in {row.device for row in rows}:
        values_j = [row.energy_j for row in rows if row.device == device]
        assert values_j == sorted(values_j)


def test_nothing_runs_on_when_it_is_closed(meter):
    with meter:
        pass
    assert without_interpreter(psutil.Process().children()) == []


def test_closing_twice_is_no_error(meter):
    meter.open()
    moment_s = time.monotonic()
    meter.close()
    once = meter.energy(moment_s, moment_s)
    meter.close()
    assert meter.energy(moment_s, moment_s) == once


def test_what_is_given_up_of_long_ago_changes_nothing_of_a_later_window():
    with Replay(counter_trace(100.0, seconds=20.0, tick_s=0.1), limit_w=200.0) as meter:
        opened_s = time.monotonic()
        meter.forget(opened_s + 15.0)
    before, after = (meter.energy(opened_s + at_s, opened_s + at_s + 1.0)[0] for at_s in (1.0, 6.0))
    assert before.energy_j is None
    assert after.energy_j == pytest.approx(100.0)


class LateFeed:
    """A GPU of 100 W and 600 W in turn; each tick lies between two reads, 10 ms apart, and is heard of by itself."""

    def __init__(self):
        self.began_s = time.monotonic() - 10.0

    def start(self, heard):
        self._heard, self._tick, self._energy_j = heard, 0, 0.0

    def flush(self):
        self._tick += 1
        at_s = self.began_s + 0.1 * self._tick
        before_j, self._energy_j = self._energy_j, self._energy_j + (10.0 if self._tick % 2 else 60.0)
        reads = [(at_s - 0.009, before_j), (at_s + 0.001, self._energy_j)]
        self._heard([SensorSample("GPU-1", read_s, read_s, joules=joules) for read_s, joules in reads], [])
        return self._tick < 50

    def stop(self):
        pass


def test_a_windows_energy_is_the_same_however_much_was_received_after_it():
    feed = LateFeed()
    with CounterMeter("late", [MeteredDevice("GPU-1", "gpu", 0, 700.0)], feed, 0.0, pace_s=0.02) as meter:
        start_s, end_s = feed.began_s + 0.55, feed.began_s + 1.0 - 0.001
        first = meter.energy(start_s, end_s)
    assert meter.energy(end_s, end_s + 1.0)[0].energy_j is not None
    assert meter.energy(start_s, end_s) == first


class FeedOfParts:
    """Reads of a counter (moment, joules; None is a device that is never read), passed in so many parts."""

    def __init__(self, *parts):
        self._parts = parts

    def start(self, heard):
        for part in self._parts:
            heard([SensorSample("GPU-1", at_s - 0.01, at_s + 0.01, joules=joules) for at_s, joules in part], [])

    def flush(self):
        return False

    def stop(self):
        pass


@pytest.mark.parametrize(
    ("parts", "so_far"),
    [
        ([[(1.0, 50.0), (2.0, 53.0)], [(3.0, 53.0), (4.0, 60.0)]], 10.0),
        ([[(1.0, 50.0), (5.0, 100.0)], [(4.0, 87.0), (4.5, 93.0), (5.5, 104.0)]], 54.0),
        ([[(1.0, 50.0), (2.0, 60.0)], [(3.0, 2.0), (4.0, 9.0)]], None),
        ([[]], None),
    ],
    ids=["steps up", "two readers in turn", "begun again", "never read"],
)
def test_the_joules_that_a_counter_publishes_are_all_of_its_steps_up_or_unknown(parts, so_far):
    published = []
    with CounterMeter(
        "published", [MeteredDevice("GPU-1", "gpu", 0, 700.0)], FeedOfParts(*parts), 0.0, pace_s=0.02
    ) as meter:
        meter.publish_to(published.append)
    ((reading,),) = published
    assert (reading.device, reading.kind, reading.source) == ("GPU-1", "gpu", "published")
    assert reading.energy_j == (so_far if so_far is None else pytest.approx(so_far))
    if parts[0]:
        assert reading.at_s == pytest.approx(max(at_s for part in parts for at_s, _ in part))


class LongFeed:
    """Five minutes of a GPU of 100 W, all heard at once, and the sampler still runs."""

    def start(self, heard):
        trace, began_s = counter_trace(100.0, seconds=300.0, tick_s=0.1, device="GPU-1"), time.monotonic()
        heard(
            [read._replace(before_s=began_s + read[1], after_s=began_s + read[2]) for read in trace.samples("GPU-1")],
            [],
        )

    def flush(self):
        return True

    def stop(self):
        pass


def test_a_board_that_draws_more_than_its_limit_has_a_bound_for_what_it_draws():
    """A tick of 440 W, then one in which 440 W are drawn for 70 ms and 60 W for 30 ms; the limit is 350 W."""
    steps_j = [6.0] * 20 + [44.0, 440.0 * 0.07 + 60.0 * 0.03] + [6.0] * 20
    reads = [(0.1 * tick + at_s, sum(steps_j[:tick])) for tick in range(len(steps_j) + 1) for at_s in (0.0, 0.099)]
    samples = [SensorSample("GPU-1", read_s, read_s + 0.001, joules=energy_j) for read_s, energy_j in reads]
    board = MeteredDevice("GPU-1", "gpu", 0, limit_w=350.0)
    with CounterMeter("nvml_counter", [board], ReadAlready(samples), 0.13, pace_s=0.02) as meter:
        (found,) = meter.energy(1.5, 2.17)
    assert abs(found.energy_j - (0.5 * 60.0 + 0.17 * 440.0)) <= found.edge_j


def test_many_windows_of_a_long_log_are_found_at_once():
    with CounterMeter("long", [MeteredDevice("GPU-1", "gpu", 0, 200.0)], LongFeed(), 0.0, pace_s=0.02) as meter:
        opened_s, before_s = time.monotonic(), time.process_time()
        found = [meter.energy(opened_s + second, opened_s + second + 0.5)[0] for second in range(1, 290)]
        assert time.process_time() - before_s < 1.0
    assert [device.energy_j for device in found] == pytest.approx([50.0] * 289)


def estimated(watts, seconds):
    with CpuTimeEstimate(watts) as meter:
        start_s = time.monotonic()
        work(seconds)
        end_s = time.monotonic()
    (device,) = meter.energy(start_s, end_s)
    return device


def test_the_estimate_is_cpu_seconds_times_the_power_of_a_core():
    assert estimated(20.0, 0.3).energy_j == pytest.approx(6.0, rel=0.1)


def test_the_estimate_publishes_its_joules_at_each_mark():
    published = []
    with CpuTimeEstimate(6.5) as meter:
        meter.publish_to(published.append)
        work(0.05)
        worked_s = time.monotonic()
        meter.mark()
    (first,), (last,) = published[:2]
    assert last.at_s >= worked_s
    (found,) = meter.energy(first.at_s, last.at_s)
    assert last.energy_j - first.energy_j == pytest.approx(found.energy_j)
    assert found.energy_j >= 6.5 * 0.05


def test_the_estimates_bound_is_all_of_it_or_60_percent_where_the_user_stated_the_power():
    guessed, stated = estimated(None, 0.05), estimated(10.0, 0.05)
    assert guessed.gain_j == pytest.approx(guessed.energy_j)
    assert stated.gain_j == pytest.approx(0.6 * stated.energy_j)
    assert guessed.edge_j is None


def test_the_estimate_counts_children_that_ended_and_idle_time_costs_nothing():
    with CpuTimeEstimate(10.0) as meter:
        start_s = time.monotonic()
        busy = "import time\nwhile time.process_time() < 0.5: pass"
        subprocess.run([sys.executable, "-c", busy], check=True)
        middle_s = time.monotonic()
        meter.mark()
        idle_from_s = time.monotonic()
        time.sleep(0.2)
        idle_to_s = time.monotonic()
        meter.mark()
    assert total(meter.energy(start_s, middle_s)) == pytest.approx(5.0, rel=0.3)
    assert total(meter.energy(idle_from_s, idle_to_s)) < 0.2


def test_a_window_outside_of_what_was_watched_is_refused():
    with CpuTimeEstimate(None) as meter:
        pass
    with pytest.raises(ValueError, match="outside"):
        meter.energy(0.0, time.monotonic())


@pytest.mark.parametrize("meter", [CpuTimeEstimate(None), NoMeter()], ids=["estimate", "none"])
def test_a_baseline_is_skipped_with_the_reason_where_nothing_measures_power(meter):
    window = watch_idle(meter, BaselineConfig(), sleep=lambda seconds: pytest.fail("it waited"))
    found = idle_power(meter, window, CPU)
    assert found.power_w is None
    assert f"energy source {meter.source} measures no power" in found.unknown


def test_a_baseline_of_a_device_that_cannot_be_read_is_unknown():
    meter = SteadyGpu(unreadable=True)
    found = idle_power(meter, watch_idle(meter, BaselineConfig(duration_seconds=0.01)), CPU)
    assert (found.power_w, found.unknown) == (None, "no baseline: a device could not be read")
