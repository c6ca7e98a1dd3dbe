"""RAPL on powercap trees."""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from powercap_trees import RANGE_UJ, TWO_PACKAGES, Processor, tree, zone
from recorded import ReadAlready

from llenergymeasure.energy.meters import rapl
from llenergymeasure.energy.meters.counter import POWER_MARGIN, UNLIMITED_FACTOR
from llenergymeasure.energy.meters.rapl import Rapl, unwrap
from llenergymeasure.energy.samples import SensorSample
from llenergymeasure.energy.sensors.rapl import POLL_S, TICK_S, probe
from llenergymeasure.energy.ticklog import TickLog
from llenergymeasure.metrics.energy import ReportedDevices, run_energy
from llenergymeasure.metrics.verdict import verdict
from properties import examples


def side_by_side(root, number):
    return root / number


def nested(root, number):
    parent = number.rpartition(":")[0]
    return root / parent / number if number.count(":") == 2 else root / number


def linked(root, number):
    """As in /sys/class/powercap: links side by side, to folders that lie one in the other."""
    folder = nested(root.parent / "devices", number)
    folder.mkdir(parents=True)
    root.mkdir(exist_ok=True)
    (root / number).symlink_to(folder)
    return folder


@pytest.mark.parametrize("layout", [side_by_side, nested, linked])
def test_packages_and_their_memory_are_counted_once_and_parts_and_the_platform_are_not(tmp_path, layout):
    root = tmp_path / "powercap"
    (root / "intel-rapl").mkdir(parents=True)
    for number, name in TWO_PACKAGES.items():
        zone(layout(root, number), name)
    found = probe(root)
    assert found.unavailable is None
    assert {(domain.name, domain.kind) for domain in found.domains} == {
        ("package-0", "cpu"),
        ("package-1", "cpu"),
        ("dram-0", "dram"),
        ("dram-1", "dram"),
    }
    assert len(found.domains) == 4
    assert {domain.range_j for domain in found.domains} == {RANGE_UJ / 1e6}
    assert all(domain.counter.read_text() == "1000000\n" for domain in found.domains)


@pytest.mark.parametrize("name", ["core", "psys"])
def test_a_machine_without_a_package_has_no_rapl_and_the_reason_is_given(tmp_path, name):
    zone(tmp_path / "intel-rapl:0", name)
    for root in (tmp_path, tmp_path / "none"):
        assert probe(root).domains == ()
        assert probe(root).unavailable.startswith(f"no RAPL counter in {root} ")


@pytest.mark.parametrize(
    ("files", "limit_w"),
    [
        ({"constraint_0_power_limit_uw": 125_000_000, "constraint_1_power_limit_uw": 253_000_000}, 253.0),
        ({"constraint_0_power_limit_uw": 65_000_000, "constraint_0_max_power_uw": 125_000_000}, 125.0),
        ({"constraint_0_power_limit_uw": 65_000_000, "constraint_0_max_power_uw": 0}, 65.0),
        ({"constraint_0_power_limit_uw": "", "constraint_0_max_power_uw": "n/a"}, None),
        ({"constraint_0_time_window_us": 999_424_000}, None),
        ({}, None),
    ],
    ids=["two limits", "a maximum", "a maximum of 0", "no number", "no limit", "nothing"],
)
def test_the_limit_is_the_largest_that_the_tree_names(tmp_path, files, limit_w):
    zone(tmp_path / "intel-rapl:0", "package-0", **files)
    (tmp_path / "intel-rapl:0" / "constraint_2_max_power_uw").mkdir()  # there, and not to be read
    (domain,) = probe(tmp_path).domains
    assert domain.limit_w == limit_w


@pytest.mark.parametrize("text", ["", "n/a"])
def test_a_counter_that_gives_no_number_is_a_reason_and_not_a_short_sum(tmp_path, text):
    zone(tmp_path / "intel-rapl:0", "package-0")
    broken = zone(tmp_path / "intel-rapl:1", "package-1", energy_uj=text)
    found = probe(tmp_path)
    assert found.domains == ()
    assert f"cannot be read: {broken / 'energy_uj'}" in found.unavailable


def test_a_package_without_a_range_is_a_reason_and_not_a_short_sum(tmp_path):
    zone(tmp_path / "intel-rapl:0", "package-0")
    (zone(tmp_path / "intel-rapl:1", "package-1") / "max_energy_range_uj").unlink()
    found = probe(tmp_path)
    assert (found.domains, found.unavailable is None) == ((), False)


AS_NOBODY = """
import os, sys
from pathlib import Path

import pynvml
from llenergymeasure.config.models import EnergyConfig, UserConfig
from llenergymeasure.energy.sources import choose_meter, find_sources, problems

find_sources(powercap=Path(sys.argv[1]))  # imports what it needs, while Python's own files can be read
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
sources = find_sources(powercap=Path(sys.argv[1]))
print(sources.rapl.unavailable)
print(*problems(EnergyConfig(source="rapl"), sources))
print(choose_meter(EnergyConfig(), UserConfig(), sources).not_used["rapl"])
"""


@pytest.fixture
def open_folder():
    """A folder that every user may look into."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own are for its user alone
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without rights")
@pytest.mark.parametrize("refused", [["intel-rapl:0"], ["intel-rapl:0", "intel-rapl:0:2"]], ids=["one", "two"])
def test_a_user_who_may_not_read_it_gets_the_command_that_makes_it_readable(open_folder, refused):
    for number in ("intel-rapl:0", "intel-rapl:0:2"):
        zone(open_folder / number, TWO_PACKAGES[number])
    counters = [open_folder / number / "energy_uj" for number in refused]
    for counter in counters:
        counter.chmod(0o400)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(open_folder)], capture_output=True, text=True, check=True
    )
    command = f"sudo chmod a+r {' '.join(map(str, counters))}"
    probed, problem, not_used = done.stdout.splitlines()
    assert probed.endswith(f": {command}")
    assert problem.startswith("energy.source: rapl cannot be read")
    assert problem.endswith(f": {command}")
    assert not_used == probed
    subprocess.run(command.removeprefix("sudo "), shell=True, check=True)  # noqa: S602 - the command under test
    assert len(probe(open_folder).domains) == 2


def metered(root):
    return Rapl(probe(root).domains)


def judged(meter, start_s, end_s):
    energy = run_energy(
        meter.energy(start_s, end_s), ReportedDevices(on_accelerator=False), "rapl", meter.watch(start_s, end_s)
    )
    return verdict(energy)


def assert_within_bound(processor, counter, device, start_s, end_s):
    truth_j, unsure_j = processor.truth(counter, start_s, end_s)
    assert abs(device.energy_j - truth_j) <= device.edge_j + unsure_j + 1e-5


def test_the_energy_of_any_window_is_within_its_bound_of_the_truth(tmp_path):
    package, memory = tree(tmp_path)
    with Processor({package: 100.0, memory: 20.0}) as processor, metered(tmp_path) as meter:
        meter.mark()
        moments_s = [time.monotonic()]
        for _ in range(4):
            time.sleep(0.137)
            meter.mark()
            moments_s.append(time.monotonic())
        moments_s += [moments_s[0] + 0.05, moments_s[-1] - 0.01]  # and some without a mark
        meter.energy(moments_s[0], max(moments_s))
    for start_s, end_s in itertools.combinations(sorted(moments_s), 2):
        for counter, device in zip((package, memory), meter.energy(start_s, end_s), strict=True):
            assert_within_bound(processor, counter, device, start_s, end_s)
    assert [(device.device, device.kind) for device in meter.energy(*sorted(moments_s)[:2])] == [
        ("package-0", "cpu"),
        ("dram-0", "dram"),
    ]


def test_a_mark_makes_an_edge_as_sure_as_a_tick(tmp_path):
    counters = tree(tmp_path)
    edges_j, until_s = [], time.monotonic() + 10.0
    most_j = POWER_MARGIN * 120.0 * 2 * TICK_S
    with Processor(dict.fromkeys(counters, 50.0)), metered(tmp_path) as meter:
        while not any(edge_j <= 2 * most_j for edge_j in edges_j) and time.monotonic() < until_s:
            meter.mark()
            start_s = time.monotonic()
            time.sleep(0.08)
            end_s = time.monotonic()
            meter.mark()
            edges_j.append(meter.energy(start_s, end_s)[0].edge_j)
    assert min(edges_j) <= 2 * most_j


def test_a_counter_that_starts_again_during_a_window_goes_on(tmp_path):
    range_j = 40.0
    counters = tree(tmp_path, range_uj=int(range_j * 1e6))
    published = []
    with Processor(dict.fromkeys(counters, 100.0), range_j=range_j) as processor, metered(tmp_path) as meter:
        meter.publish_to(published.append)
        meter.mark()
        start_s = time.monotonic()
        processor.wait_for(1.5 * range_j)
        end_s = time.monotonic()
        meter.mark()
        found = meter.energy(start_s, end_s)
        while published[-1][0].at_s < end_s:
            time.sleep(0.01)
    for counter, first, last in zip(counters, published[0], published[-1], strict=True):
        truth_j, unsure_j = processor.truth(counter, first.at_s, last.at_s)
        assert truth_j > range_j
        assert last.energy_j - first.energy_j == pytest.approx(truth_j, abs=unsure_j + 1.0)
    for counter, device in zip(counters, found, strict=True):
        assert_within_bound(processor, counter, device, start_s, end_s)
    assert not any(watch.was_reset for watch in meter.watch(start_s, end_s))


def test_without_a_limit_the_result_says_that_the_bound_takes_4_times_the_highest_power_seen(tmp_path):
    counters = tree(tmp_path, limit_uw=None)
    with Processor(dict.fromkeys(counters, 100.0)) as processor, metered(tmp_path) as meter:
        start_s = time.monotonic()
        time.sleep(0.3)
        end_s = time.monotonic()
        found, watches = meter.energy(start_s, end_s), meter.watch(start_s, end_s)
    for counter, device, watch in zip(counters, found, watches, strict=True):
        assert_within_bound(processor, counter, device, start_s, end_s)
        (note,) = watch.notes
        assert f"takes {UNLIMITED_FACTOR} times the highest mean power that was seen" in note


def test_a_counter_that_vanishes_during_a_window_makes_it_unknown_and_invalid(tmp_path):
    counters = tree(tmp_path)
    with Processor(dict.fromkeys(counters, 100.0)) as processor, metered(tmp_path) as meter:
        start_s = time.monotonic()
        time.sleep(0.2)
        with processor.away():
            time.sleep(0.2)
            end_s = time.monotonic()
            meter.mark()
            assert [device.energy_j for device in meter.energy(start_s, end_s)] == [None, None]
            word, reasons = judged(meter, start_s, end_s)
    assert word == "invalid"
    assert "energy is unknown: package-0, dram-0 could not be read throughout" in reasons
    assert [reason for reason in reasons if reason.startswith("package-0 was not seen for ")]


def test_a_counter_that_was_away_for_a_while_is_a_gap_and_never_a_wrap(tmp_path):
    counters = tree(tmp_path)
    with Processor(dict.fromkeys(counters, 100.0)) as processor, metered(tmp_path) as meter:
        start_s = time.monotonic()
        time.sleep(0.2)
        with processor.away():
            time.sleep(0.6)
        time.sleep(0.2)
        end_s = time.monotonic()
        word, reasons = judged(meter, start_s, end_s)
        found = meter.energy(start_s, end_s)
    assert word == "invalid"
    assert [reason for reason in reasons if "was not seen for" in reason and "over 3 ticks" in reason]
    for counter, device in zip(counters, found, strict=True):
        assert_within_bound(processor, counter, device, start_s, end_s)


@pytest.mark.parametrize(("missed_s", "word"), [(0.0, "valid"), (0.31, "invalid")])
def test_a_window_that_every_read_saw_is_valid_and_one_with_a_gap_is_not(tmp_path, monkeypatch, missed_s, word):
    tree(tmp_path)
    start_s, end_s = 0.6123, 1.4123
    every_s = [at_s for at_s in np.arange(0.0, 2.0, POLL_S) if not 1.0 < at_s <= 1.0 + missed_s]
    reads = [
        SensorSample(name, at_s, at_s + 5e-5, joules=int(at_s / COUNTER_TICK_S) * COUNTER_TICK_S * MAX_W)
        for at_s in sorted([*every_s, start_s, end_s])
        for name in ("package-0", "dram-0")
    ]
    monkeypatch.setattr(rapl, "SamplerProcess", lambda spec: ReadAlready(reads))
    with metered(tmp_path) as meter:
        assert judged(meter, start_s, end_s)[0] == word


MAX_W = 110.0
RANGE_J = 60.0
COUNTER_TICK_S = 0.001

pauses_s = st.floats(1e-5, 0.4)
reads_s = st.floats(0.0, 0.05)
shares = st.floats(0.0, 1.0)
one_reader = st.lists(st.tuples(st.floats(1e-5, 0.2), reads_s, shares), min_size=1, max_size=20)
starts_j = st.floats(0.0, 3 * RANGE_J)


def reading(before_s, after_s, joules):
    return ("package-0", before_s, after_s, joules)


def raw(joules):
    """Return the value of a counter of microjoules."""
    return int(joules * 1e6) % int(RANGE_J * 1e6) / 1e6


def steps_of(readings):
    return [round(after[3] - before[3], 6) for before, after in itertools.pairwise(readings)]


def polled(polls, start_j):
    """The brackets of a reader, the moments inside at which it saw the counter, and the energy by then."""
    now_s, seen_s, energy_j, found = 0.0, 0.0, start_j, []
    for pause_s, read_s, where, load in polls:
        at_s = now_s + pause_s + where * read_s
        energy_j += 0.99 * MAX_W * load * (at_s - seen_s)
        found.append((now_s + pause_s, now_s + pause_s + read_s, energy_j))
        now_s, seen_s = now_s + pause_s + read_s, at_s
    return found


@examples(200)
@given(st.lists(st.tuples(pauses_s, reads_s, shares, shares), min_size=1, max_size=40), starts_j)
def test_a_rising_counter_comes_back_from_its_remainders(polls, start_j):
    truth = [reading(*row) for row in polled(polls, start_j)]
    readings = [(device, before_s, after_s, raw(joules)) for device, before_s, after_s, joules in truth]
    found = unwrap(readings, RANGE_J, MAX_W)
    assert len(found) == len(truth)
    assert steps_of(found) == pytest.approx(steps_of(truth), abs=3e-6)


@examples(200)
@given(
    st.lists(st.tuples(st.floats(1e-5, 0.005), st.floats(0.0, 0.001), shares), min_size=2, max_size=40),
    st.floats(1.0, 0.99 * MAX_W),
    starts_j,
)
@example([(5e-4, 1e-5, 1.0), (4.8e-4, 2e-5, 1.0), (1e-5, 1e-5, 1.0)], 100.0, RANGE_J - 0.05)
def test_a_wrap_between_two_reads_that_are_closer_than_a_tick_is_a_wrap(polls, power_w, start_j):
    now_s, truth = 0.0, []
    for pause_s, read_s, where in polls:
        before_s, after_s = now_s + pause_s, now_s + pause_s + read_s
        ticks = int((before_s + where * read_s) / COUNTER_TICK_S)
        truth.append(reading(before_s, after_s, start_j + ticks * COUNTER_TICK_S * power_w))
        now_s = after_s
    readings = [(device, before_s, after_s, raw(joules)) for device, before_s, after_s, joules in truth]
    found = unwrap(readings, RANGE_J, MAX_W)
    assert steps_of(found) == pytest.approx(steps_of(truth), abs=3e-6)


@examples(300)
@given(
    st.tuples(one_reader, one_reader),
    st.floats(1.0, 0.99 * MAX_W),
    starts_j,
)
@example(([(0.01, 0.001, 0.5), (0.01, 0.05, 1.0)], [(0.025, 0.01, 0.5), (0.05, 0.01, 0.5)]), 100.0, RANGE_J - 5.0)
def test_overlapping_reads_of_two_readers_in_the_wrong_order_are_no_wrap(readers, power_w, start_j):
    truth = []
    for polls in readers:
        now_s = 0.0
        for pause_s, read_s, where in polls:
            before_s, now_s = now_s + pause_s, now_s + pause_s + read_s
            truth.append((before_s, now_s, start_j + power_w * (before_s + where * read_s)))
    truth.sort()
    found = unwrap([reading(a, b, raw(joules)) for a, b, joules in truth], RANGE_J, MAX_W)
    first_j = truth[0][2]  # the first is never left out
    for _, before_s, after_s, joules in found:
        steps = [true_j - first_j for *times, true_j in truth if times == [before_s, after_s]]
        assert any(joules - found[0][3] == pytest.approx(step_j, abs=3e-6) for step_j in steps)
    assert min(steps_of(found), default=0.0) >= 0


def test_a_fall_that_no_power_explains_is_a_reset_and_a_window_across_it_is_unknown():
    before = [reading(at_s, at_s, 5.0 + at_s) for at_s in np.arange(0, 1, 0.05)]
    after = [reading(at_s, at_s, at_s - 1.0) for at_s in np.arange(1, 2, 0.05)]
    found = unwrap([*before, *after], RANGE_J, MAX_W)
    assert [number for number, step_j in enumerate(steps_of(found), 1) if step_j < 0] == [len(before)]
    log = TickLog(found, MAX_W)
    assert log.window(0.2, 1.8)["package-0"] == (None, None)
    assert log.window(0.2, 0.8)["package-0"].energy_j == pytest.approx(0.6, abs=0.2)
    assert log.window(1.2, 1.8)["package-0"].energy_j == pytest.approx(0.6, abs=0.2)


@examples(100)
@given(st.floats(0.0, RANGE_J - 1e-3), st.floats(0.0, RANGE_J - 1e-3))
def test_across_a_gap_in_which_a_counter_could_go_all_the_way_round_nothing_is_known(last_j, next_j):
    gap_s = 1.01 * RANGE_J / MAX_W
    readings = [reading(0.0, 0.0, last_j), reading(gap_s, gap_s, next_j), reading(gap_s + 0.05, gap_s + 0.05, next_j)]
    (fall_j, none_j) = steps_of(unwrap(readings, RANGE_J, MAX_W))
    assert (fall_j < 0, none_j) == (True, 0.0)
