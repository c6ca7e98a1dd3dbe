"""Devices that several processes of a run have in common: who takes which, who meters it, and over which window."""

import contextlib
import itertools
import json
import os
import select
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from powercap_trees import tree
from shares import ENVIRONMENT, batch, model_facts, share
from tiny import tiny_config

from labledger.console import Silent
from llenergymeasure.config.models import EnergyConfig, UserConfig
from llenergymeasure.config.ranks import Rank, is_first_process, this_rank
from llenergymeasure.domain.figures import DeviceEnergy
from llenergymeasure.domain.power import DeviceWatch, IdlePower, PowerSample
from llenergymeasure.energy import sources as energy_sources
from llenergymeasure.energy.idle import IdleWindow
from llenergymeasure.energy.meters.base import Meter, NoMeter
from llenergymeasure.energy.phases import Spans, read_energy
from llenergymeasure.energy.sources import Choice, choose_meter, find_sources
from llenergymeasure.errors import BackendError, ConfigError
from llenergymeasure.metrics.energy import ReportedDevices
from llenergymeasure.metrics.window import Window
from llenergymeasure.parallel import processes
from llenergymeasure.parallel.member import take_gpu
from llenergymeasure.parallel.processes import Processes
from llenergymeasure.results.aggregation import is_marked
from llenergymeasure.results.merging import save_part
from llenergymeasure.run import harness
from llenergymeasure.run.peers import ALONE, Group
from llenergymeasure.run.warmup import Warmup
from llenergymeasure.run.window import MeasurementWindow

OWN_S, EVERYONE_S, RECORDED_S = (101.0, 103.0), (100.0, 104.5), (100.5, 105.0)
OF_GPU_S = (100.5, 103.5)
LOADED, BARE = IdlePower(10.0), IdlePower(8.0)
CPU, GPU = ReportedDevices(on_accelerator=False), ReportedDevices(on_accelerator=True)
PROCESSOR = frozenset({"cpu", "dram"})
ALL = PROCESSOR | {"gpu"}
KINDS = {"GPU-0": "gpu", "package-0": "cpu", "dram-0": "dram"}


class OneWatt(Meter):
    """Devices that draw one watt each, and the windows that were asked for; of an estimate, no other may be."""

    def __init__(self, *names, source="recorded"):
        self.source, self._names, self.asked = source, names, []
        self.measured_kinds = frozenset() if source == "estimate" else frozenset(KINDS[name] for name in names)

    def open(self):
        pass

    def mark(self):
        pass

    def close(self):
        pass

    def energy(self, start_s, end_s):
        self.asked.append((start_s, end_s))
        if self.source == "estimate" and not OWN_S[0] <= start_s <= end_s <= OWN_S[1]:
            raise ValueError("the window reaches beyond what was watched")
        return [
            DeviceEnergy(device=name, kind=KINDS[name], source=self.source, energy_j=end_s - start_s)
            for name in self._names
        ]

    def watch(self, start_s, end_s):
        return [DeviceWatch(name, longest_gap_s=end_s - start_s) for name in self._names]

    def samples(self, start_s, end_s):
        return [PowerSample(end_s - start_s)]

    def cross_check(self, start_s, end_s):
        return self.energy(start_s, end_s)


def reading(meter, headline, shared=frozenset(), batches=None):
    """`shared` are kinds of device that everyone shares, or each with its span."""
    batches = [batch(100.75)] if batches is None else batches
    spans = Spans(OWN_S, shared if isinstance(shared, dict) else dict.fromkeys(shared, EVERYONE_S), RECORDED_S)
    return read_energy(meter, headline, batches, spans, (LOADED, BARE), {"zeus": "not asked"})


def lengths_s(devices):
    return {device.device: device.energy_j for device in devices}


def watched_s(found):
    return {watch.device: watch.longest_gap_s for watch in found.watches}


def test_what_is_shared_is_of_everyones_windows_and_the_rest_of_this_processs():
    found = reading(OneWatt(*KINDS), GPU, shared=PROCESSOR)
    expected = {"GPU-0": 2.0, "package-0": 4.5, "dram-0": 4.5}
    assert lengths_s(found.devices) == watched_s(found) == expected
    assert [device.device for device in found.devices] == list(KINDS)
    assert len(found.watches) == 3


def test_a_shared_processor_beside_a_gpu_of_ones_own_leaves_the_total_to_the_own_window():
    found = reading(OneWatt(*KINDS), GPU, shared=PROCESSOR)
    assert found.span is None
    assert lengths_s(found.check)["GPU-0"] == 2.0
    assert lengths_s(found.prefill)["GPU-0"] == 0.25  # a quarter of a second of it was before the window
    assert lengths_s(found.decode)["GPU-0"] == 1.5


@pytest.mark.parametrize(("headline", "shared"), [(CPU, PROCESSOR), (GPU, ALL), (GPU, frozenset({"gpu"}))])
def test_a_total_of_shared_devices_is_of_everyones_windows_and_has_no_phases(headline, shared):
    found = reading(OneWatt(*KINDS), headline, shared=shared)
    assert found.span == EVERYONE_S
    assert (found.prefill, found.decode) == ([], [])
    assert set(lengths_s(found.check).values()) == {4.5}


EACH_ITS_OWN = dict.fromkeys(PROCESSOR, EVERYONE_S) | {"gpu": OF_GPU_S}


def test_each_kind_that_is_shared_is_of_the_windows_of_those_who_share_it():
    found = reading(OneWatt(*KINDS), GPU, shared=EACH_ITS_OWN)
    expected = {"GPU-0": 3.0, "package-0": 4.5, "dram-0": 4.5}
    assert lengths_s(found.devices) == watched_s(found) == expected
    assert [device.device for device in found.devices] == list(KINDS)
    assert len(found.watches) == 3


@pytest.mark.parametrize(("headline", "span_s", "length_s"), [(GPU, OF_GPU_S, 3.0), (CPU, EVERYONE_S, 4.5)])
def test_the_total_and_its_cross_check_are_of_the_span_of_the_devices_that_it_is_of(headline, span_s, length_s):
    found = reading(OneWatt(*KINDS), headline, shared=EACH_ITS_OWN)
    assert found.span == span_s
    assert set(lengths_s(found.check).values()) == {length_s}
    assert (found.prefill, found.decode) == ([], [])


def test_a_kind_that_is_metered_for_others_who_have_no_other_window_is_ones_own():
    found = reading(OneWatt(*KINDS), GPU, shared=dict.fromkeys(PROCESSOR, EVERYONE_S) | {"gpu": OWN_S})
    assert found.span is None
    assert lengths_s(found.devices) == {"GPU-0": 2.0, "package-0": 4.5, "dram-0": 4.5}
    assert lengths_s(found.decode)["GPU-0"] == 1.5


@pytest.mark.parametrize(("closed_s", "ends_s"), [(105.0, 105.0), (None, OWN_S[1])], ids=["ended", "cut short"])
def test_a_process_that_shares_nothing_has_one_window_and_records_all_that_it_measured(closed_s, ends_s):
    assert Spans.alone(OWN_S, 100.5, closed_s) == Spans(own=OWN_S, shared={}, recorded=(100.5, ends_s))


def test_without_shared_devices_no_window_but_ones_own_is_asked_for():
    meter = OneWatt(*KINDS)
    found = reading(meter, GPU)
    assert set(lengths_s(found.devices).values()) == set(watched_s(found).values()) == {2.0}
    assert len(found.watches) == 3
    assert found.span is None
    assert all(OWN_S[0] <= start_s <= end_s <= OWN_S[1] for start_s, end_s in meter.asked)


def test_an_estimate_is_never_shared():
    found = reading(OneWatt("package-0", source="estimate"), CPU, shared=PROCESSOR)
    assert (lengths_s(found.devices), found.span) == ({"package-0": 2.0}, None)


def test_a_reading_keeps_the_whole_measurement_and_what_else_is_known():
    found = reading(OneWatt(*KINDS), CPU, shared=PROCESSOR)
    assert found.samples == [PowerSample(RECORDED_S[1] - RECORDED_S[0])]
    assert (found.source, found.not_used) == ("recorded", {"zeus": "not asked"})
    assert (found.loaded_idle, found.bare_idle) == (LOADED, BARE)


def test_of_a_process_that_served_nothing_nothing_is_read():
    meter = OneWatt(*KINDS)
    found = reading(meter, GPU, shared=ALL, batches=[])
    assert (found.devices, found.span, found.source, meter.asked) == ([], None, "recorded", [])


# Which sensors are left to another process


@pytest.fixture
def sources(gpus, tmp_path):
    """Two GPUs, and a processor whose counters can be read or not."""

    def look(with_rapl=True, **board):
        gpus(*(gpus.board(uuid=f"GPU-{letter}", seconds=1.0, **board) for letter in "ab"))
        if with_rapl:
            tree(tmp_path / "powercap")
        return find_sources(powercap=tmp_path / "powercap")

    return look


@pytest.mark.parametrize(
    ("board", "with_rapl", "source", "others", "remains", "kinds", "left"),
    [
        ({}, True, "auto", PROCESSOR, "nvml_counter", {"gpu"}, PROCESSOR),
        ({}, True, "auto", ALL, "none", set(), ALL),
        ({}, True, "auto", {"gpu"}, "rapl", PROCESSOR, {"gpu"}),
        ({}, True, "auto", (), "nvml_counter", ALL, ()),
        ({}, False, "auto", PROCESSOR, "nvml_counter", {"gpu"}, ()),
        ({}, False, "auto", ALL, "estimate", set(), {"gpu"}),
        ({"no_counter": True}, True, "auto", ALL, "none", set(), ALL),
        ({}, True, "rapl", PROCESSOR, "none", set(), PROCESSOR),
        ({}, True, "estimate", ALL, "estimate", set(), ()),
        ({}, True, "nvml_power", PROCESSOR, "nvml_power", {"gpu"}, ()),
        ({}, True, "none", ALL, "none", set(), ()),
    ],
)
def test_sensors_that_another_process_reads_are_left_to_it(
    sources, board, with_rapl, source, others, remains, kinds, left
):
    found = sources(with_rapl=with_rapl, **board)
    choice = choose_meter(EnergyConfig(source=source), UserConfig(), found, others_meter=frozenset(others))
    assert (choice.meter.source, choice.meter.measured_kinds, choice.delegated_kinds) == (remains, kinds, set(left))


def test_what_is_left_to_another_process_is_not_said_to_be_unused(sources):
    found = sources()
    alone = choose_meter(EnergyConfig(), UserConfig(), found)
    beside = choose_meter(EnergyConfig(), UserConfig(), found, others_meter=ALL)
    assert set(alone.not_used) == {"nvml_power", "estimate", "zeus"}
    assert beside.not_used == alone.not_used


@pytest.fixture
def checked(sources, monkeypatch):
    """The meter of a process that asks for Zeus beside what others do not meter."""
    monkeypatch.setattr(energy_sources, "Zeus", lambda *_: OneWatt("GPU-0", source="zeus"))
    monkeypatch.setattr(energy_sources, "find_spec", lambda _: True)

    def choose(others, **look):
        config = EnergyConfig(cross_check="zeus")
        return choose_meter(config, UserConfig(), sources(**look), others_meter=frozenset(others)).meter

    return choose


def test_a_gpu_that_another_process_meters_is_not_read_by_zeus_here(checked):
    assert checked(ALL).cross_check(*OWN_S) == []
    assert checked(ALL, with_rapl=False).cross_check(*OWN_S) == []


def test_a_gpu_that_another_process_meters_beside_a_processor_of_ones_own_is_not_read_by_zeus_here(checked):
    assert checked({"gpu"}).cross_check(*OWN_S) == []
    assert checked({"gpu"}).measured_kinds == PROCESSOR


def test_a_gpu_of_ones_own_is_read_by_zeus_too(checked):
    assert lengths_s(checked(PROCESSOR, with_rapl=False).cross_check(*OWN_S)) == {"GPU-0": 2.0}


def test_a_gpu_of_ones_own_is_read_by_zeus_beside_a_processor_that_another_process_meters(checked):
    assert lengths_s(checked(PROCESSOR).cross_check(*OWN_S)) == {"GPU-0": 2.0}


# Which GPU a process takes


@pytest.fixture
def cuda_visible_devices(monkeypatch):
    """Set the variable, or take it away; afterwards all is as it was before, whoever has set it."""

    def be(value):
        for name, found in (("CUDA_VISIBLE_DEVICES", value), ("CUDA_DEVICE_ORDER", None)):
            monkeypatch.setenv(name, found or "")
            if found is None:
                monkeypatch.delenv(name)

    return be


def visible():
    return os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.mark.parametrize(
    ("listed", "boards", "taken", "names"),
    [
        (None, 2, ["0", "1"], ["GPU-0", "GPU-1"]),
        (None, 3, ["0", "1"], ["GPU-0", "GPU-1"]),
        (None, 1, ["0", "0"], ["GPU-0", "GPU-0"]),
        (None, 2, ["0", "1", "0", "1"], ["GPU-0", "GPU-1", "GPU-0", "GPU-1"]),
        ("1,0", 2, ["1", "0"], ["GPU-1", "GPU-0"]),
        (" 0 , 1 ,", 2, ["0", "1"], ["GPU-0", "GPU-1"]),
        ("1", 2, ["1", "1"], ["GPU-1", "GPU-1"]),
        ("GPU-1,GPU-0", 2, ["GPU-1", "GPU-0"], ["GPU-1", "GPU-0"]),
        ("GPU-1,0", 2, ["GPU-1", "0"], ["GPU-1", "GPU-0"]),
        ("0,7", 1, ["0", "0"], ["GPU-0", "GPU-0"]),
        ("0,7,1", 2, ["0", "0", "0"], ["GPU-0", "GPU-0", "GPU-0"]),
        ("1,0,7", 2, ["1", "0", "1"], ["GPU-1", "GPU-0", "GPU-1"]),
        ("7", 1, ["7", "7"], ["7", "7"]),
    ],
)
def test_each_process_takes_one_gpu_its_own_while_there_are_enough(
    gpus, cuda_visible_devices, listed, boards, taken, names
):
    gpus(*(gpus.board(uuid=f"GPU-{number}", seconds=1.0) for number in range(boards)))
    for index, name in enumerate(names):
        cuda_visible_devices(listed)
        assert take_gpu("auto", Rank(index, len(names))) == name
        assert visible() == taken[index]


def test_boards_of_different_models_are_numbered_as_the_driver_numbers_them(gpus, cuda_visible_devices):
    gpus(gpus.board(uuid="GPU-0", seconds=1.0), gpus.board(uuid="GPU-1", seconds=1.0, name="NVIDIA T4"))
    for index in range(2):
        cuda_visible_devices(None)
        assert take_gpu("auto", Rank(index, 2)) == f"GPU-{index}"
        assert (visible(), os.environ["CUDA_DEVICE_ORDER"]) == (str(index), "PCI_BUS_ID")


def test_numbers_that_may_mean_any_board_are_all_taken_and_have_no_other_name(gpus, cuda_visible_devices):
    gpus(gpus.board(uuid="GPU-0", seconds=1.0), gpus.board(uuid="GPU-1", seconds=1.0, name="NVIDIA T4"))
    for index, name in enumerate(["1", "0", "1"]):
        cuda_visible_devices("1,0")
        assert take_gpu("auto", Rank(index, 3)) == visible() == name
        assert "CUDA_DEVICE_ORDER" not in os.environ


@pytest.mark.parametrize("listed", ["0,2", "0,7", "0,7,1"])
def test_a_number_that_means_no_board_is_taken_by_nobody_where_the_others_may_mean_any(
    gpus, cuda_visible_devices, listed
):
    gpus(gpus.board(uuid="GPU-0", seconds=1.0), gpus.board(uuid="GPU-1", seconds=1.0, name="NVIDIA T4"))
    for index in range(2):
        cuda_visible_devices(listed)
        assert take_gpu("auto", Rank(index, 2)) == visible() == "0"


def test_slices_of_mig_are_told_apart_by_cuda_and_have_one_name_as_their_sensors_have(gpus, cuda_visible_devices):
    gpus(gpus.board(uuid="GPU-0", seconds=1.0))
    for index, name in enumerate(["MIG-5c4e", "MIG-77aa"]):
        cuda_visible_devices("MIG-5c4e,MIG-77aa")
        assert take_gpu("auto", Rank(index, 2)) == "MIG"
        assert visible() == name


@pytest.mark.parametrize(("listed", "boards"), [(None, 0), ("", 2), (" , ", 2)])
def test_where_no_gpu_is_visible_none_is_taken(gpus, cuda_visible_devices, listed, boards):
    gpus(*(gpus.board(uuid=f"GPU-{number}", seconds=1.0) for number in range(boards)))
    cuda_visible_devices(listed)
    assert take_gpu("auto", Rank(0, 2)) is None
    assert visible() == listed


@pytest.mark.parametrize("listed", [None, "1,0"])
def test_a_run_on_the_cpu_takes_no_gpu(gpus, cuda_visible_devices, listed):
    gpus(gpus.board(seconds=1.0))
    cuda_visible_devices(listed)
    assert take_gpu("cpu", Rank(0, 2)) is None
    assert visible() == listed


def test_the_gpu_that_is_taken_is_the_one_that_is_metered(gpus, cuda_visible_devices):
    gpus(gpus.board(uuid="GPU-0", seconds=1.0), gpus.board(uuid="GPU-1", seconds=1.0))
    cuda_visible_devices(None)
    take_gpu("cuda", Rank(1, 2))
    assert [board.uuid for board in find_sources().nvml.boards] == ["GPU-1"]


class Room:
    """Where threads meet as processes do, in the place of a meeting; `running` are those who have not ended."""

    def __init__(self, size):
        self._barrier, self._told, self.running = threading.Barrier(size, timeout=60.0), [None] * size, set(range(size))

    def enter(self, rank):
        assert rank.size == len(self._told)

        def exchange(mine):
            self._told[rank.index] = mine
            self._barrier.wait()
            told = list(self._told)
            self._barrier.wait()
            return told

        return SimpleNamespace(exchange=exchange, is_running=self.running.__contains__, close=lambda: None)


@pytest.fixture
def meet(monkeypatch, tmp_path):
    """The groups of processes that have taken these GPUs, and the room where they met."""
    entered = contextlib.ExitStack()

    def together(names):
        room = Room(len(names))
        monkeypatch.setattr(processes, "Meeting", room.enter)

        def begin(index):
            rank = Rank(index, len(names))
            return Processes(rank, tmp_path, gpu=names[index], experiment_id=None if index else "e1")

        with ThreadPoolExecutor(len(names)) as pool:
            groups = list(pool.map(begin, range(len(names))))
        return [entered.enter_context(contextlib.closing(group)) for group in groups], room

    with entered:
        yield together


@pytest.fixture
def metering(gpus, cuda_visible_devices, meet, tmp_path):
    """Of each process, each with its CUDA_VISIBLE_DEVICES: whose GPU is its own too, and what it meters and leaves."""

    def look(listed, boards, device="auto"):
        tree(tmp_path / "powercap")
        gpus(*(gpus.board(uuid=f"GPU-{number}", seconds=1.0) for number in range(boards)))
        names, seen, found = [], [], []
        for index, value in enumerate(listed):
            cuda_visible_devices(value)
            names.append(take_gpu(device, Rank(index, len(listed))))
            seen.append(find_sources(powercap=tmp_path / "powercap"))
        groups, _ = meet(names)
        for group, here in zip(groups, seen, strict=True):
            others = harness._others_meter(group)
            choice = choose_meter(EnergyConfig(), UserConfig(), here, others_meter=others)
            kinds = choice.meter.measured_kinds
            metered = {board.uuid for board in here.nvml.boards} if "gpu" in kinds else set()
            found.append((group.on_same_gpu, metered, kinds & PROCESSOR, choice.delegated_kinds))
        return found

    return look


@pytest.mark.parametrize(
    ("listed", "boards", "on_same_gpu", "metered"),
    [
        ([None] * 3, 2, [(0, 2), (1,), (0, 2)], [{"GPU-0"}, {"GPU-1"}, set()]),
        ([None] * 4, 2, [(0, 2), (1, 3), (0, 2), (1, 3)], [{"GPU-0"}, {"GPU-1"}, set(), set()]),
        ([None] * 2, 2, [(0,), (1,)], [{"GPU-0"}, {"GPU-1"}]),
        ([None] * 3, 1, [(0, 1, 2)] * 3, [{"GPU-0"}, set(), set()]),
        (["0,7"] * 2, 1, [(0, 1)] * 2, [{"GPU-0"}, set()]),
        (["0", "1"], 2, [(0,), (1,)], [{"GPU-0"}, {"GPU-1"}]),
        (["1", "0", "0"], 2, [(0,), (1, 2), (1, 2)], [{"GPU-1"}, {"GPU-0"}, set()]),
        (["MIG-5c4e,MIG-77aa"] * 2, 1, [(0, 1)] * 2, [{"GPU-0"}, set()]),
        (["MIG-5c4e", "MIG-77aa"], 1, [(0, 1)] * 2, [{"GPU-0"}, set()]),
        (["0", "GPU-0", "GPU-"], 1, [(0, 1, 2)] * 3, [{"GPU-0"}, set(), set()]),
    ],
    ids=[
        *("3 on 2", "4 on 2", "2 on 2", "3 on 1", "one unknown"),
        *("wrappers", "wrappers 3 on 2", "MIG", "wrappers MIG", "wrappers with three names of one board"),
    ],
)
def test_the_first_process_on_each_gpu_meters_it_and_the_first_of_all_the_processor(
    metering, listed, boards, on_same_gpu, metered
):
    found = metering(listed, boards)
    assert [same for same, _, _, _ in found] == on_same_gpu
    assert [gpus for _, gpus, _, _ in found] == metered
    assert [processor for _, _, processor, _ in found] == [PROCESSOR] + [set()] * (len(listed) - 1)
    for _, gpus, processor, left in found:
        assert left == (set() if processor else PROCESSOR) | (set() if gpus else {"gpu"})


def test_of_processes_on_the_cpu_the_first_meters_all_boards_and_the_processor(metering):
    assert metering([None, None], 2, device="cpu") == [
        ((0, 1), {"GPU-0", "GPU-1"}, PROCESSOR, set()),
        ((0, 1), set(), set(), ALL),
    ]


TAKE_AND_MEET = """
import contextlib, json, sys
from pathlib import Path
from llenergymeasure.config.ranks import this_rank
from llenergymeasure.parallel.member import take_gpu
from llenergymeasure.parallel.processes import Processes

rank = this_rank()
with contextlib.closing(Processes(rank, Path(sys.argv[1]), gpu=take_gpu("auto", rank), experiment_id=None)) as group:
    print(json.dumps([group.experiment_id, group.gpu, group.on_same_gpu]), flush=True)
    if rank.index == 0:
        group.wait_for(range(rank.size))
        print("nobody is left", flush=True)
    sys.stdin.readline()
sys.stdin.read()
"""


def test_processes_that_meet_know_who_is_on_the_same_gpu_and_when_the_others_have_ended(
    gpus, monkeypatch, cuda_visible_devices, tmp_path
):
    gpus(*(gpus.board(uuid=f"GPU-{number}", seconds=1.0) for number in range(2)))
    cuda_visible_devices(None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with contextlib.ExitStack() as entered:
        run = [
            entered.enter_context(
                started(TAKE_AND_MEET, str(tmp_path / "out"), **SECOND_OF_THREE | {"RANK": str(index)})
            )
            for index in range(3)
        ]
        for each in run:
            entered.callback(each.kill)
        told = [json.loads(line_of(each)) for each in run]
        assert [[gpu, same] for _, gpu, same in told] == [["GPU-0", [0, 2]], ["GPU-1", [1]], ["GPU-0", [0, 2]]]
        assert len({name for name, _, _ in told}) == 1
        assert line_of(run[0], 0.5) is None
        run[1].stdin.write("leave, and go on\n")
        run[1].stdin.flush()
        assert line_of(run[0], 0.5) is None
        run[2].kill()  # it stays in the process table until it is asked for
        assert line_of(run[0]) == "nobody is left\n"


def line_of(process, patience_s=60.0):
    """The next line that it prints; None if none comes in time."""
    return process.stdout.readline() if select.select([process.stdout], [], [], patience_s)[0] else None


# Over which window a process meters for others

OPENED_S, CLOSED_S = 98.0, 103.25
WINDOWS_S = [(101.0, 103.0), (100.0, 104.0), (102.0, 106.0), (99.0, 105.0)]


class Peer(Group):
    """Process `index` of `size`: the windows of all are known, and `asked` is for whom it has waited."""

    def __init__(self, index, size, on_same_gpu, agree=True):
        self.index, self.size, self.on_same_gpu = index, size, on_same_gpu
        self.asked, self.said, self._agree = [], [], agree

    def whole_span(self, start_s, end_s, of):
        self.asked.append(set(of))
        spans = [(start_s, end_s), *(WINDOWS_S[index] for index in of)]
        return min(first for first, _ in spans), max(last for _, last in spans)

    def all_agree(self, mine):
        self.said.append(mine)
        return mine and self._agree


def spans_of(group, closed_s=CLOSED_S):
    window = Window("total", *WINDOWS_S[group.index])
    collected = MeasurementWindow(opened_s=OPENED_S, closed_s=closed_s)
    return harness._spans(SimpleNamespace(setup=SimpleNamespace(group=group)), collected, window)


@pytest.mark.parametrize(
    ("group", "gpu_s", "processor_s", "ends_s", "waits_for"),
    [
        (Peer(0, 2, (0,)), (101.0, 103.0), (100.0, 104.0), 104.0, {0, 1}),
        (Peer(1, 2, (1,)), (100.0, 104.0), (100.0, 104.0), 104.0, set()),
        (Peer(0, 3, (0, 2)), (101.0, 106.0), (100.0, 106.0), 106.0, {0, 1, 2}),
        (Peer(0, 4, (0, 2)), (101.0, 106.0), (99.0, 106.0), 106.0, {0, 1, 2, 3}),
        (Peer(1, 4, (1, 3)), (99.0, 105.0), (100.0, 104.0), 105.0, {1, 3}),
        (Peer(1, 4, (1,)), (100.0, 104.0), (100.0, 104.0), 104.0, set()),
        (Peer(0, 3, (0, 1, 2)), (100.0, 106.0), (100.0, 106.0), 106.0, {0, 1, 2}),
    ],
    ids=["0 of 2", "1 of 2", "0 of 3 on 2", "0 of 4 on 2", "1 of 4 on 2", "1 of 4 on 4", "0 of 3 on 1"],
)
def test_what_a_process_meters_for_others_is_of_the_windows_of_those_who_share_it(
    group, gpu_s, processor_s, ends_s, waits_for
):
    found = spans_of(group)
    shared = {kind: found.shared.get(kind, found.own) for kind in ALL}
    assert found.own == WINDOWS_S[group.index]
    assert shared == {"gpu": gpu_s, "cpu": processor_s, "dram": processor_s}
    assert found.recorded == (OPENED_S, ends_s)
    assert set().union(*group.asked) == waits_for


@pytest.mark.parametrize("group", [Peer(2, 4, (0, 2)), Peer(3, 4, (1, 3)), Peer(1, 2, (0, 1)), Peer(0, 1, (0,))])
def test_a_process_that_meters_for_nobody_waits_for_nobody_and_has_its_own_window_alone(group):
    assert spans_of(group) == Spans.alone(WINDOWS_S[group.index], OPENED_S, CLOSED_S)
    assert group.asked == []


def test_what_is_recorded_goes_on_to_the_end_of_the_measurement_where_all_windows_ended_before():
    assert spans_of(Peer(0, 4, (0, 2)), closed_s=107.0).recorded == (OPENED_S, 107.0)


@pytest.mark.parametrize(
    ("group", "others"),
    [
        (ALONE, set()),
        (Peer(0, 4, (0, 2)), set()),
        (Peer(1, 4, (1, 3)), PROCESSOR),
        (Peer(2, 4, (0, 2)), ALL),
        (Peer(3, 4, (1, 3)), ALL),
        (Peer(0, 2, (0,)), set()),
        (Peer(1, 2, (1,)), PROCESSOR),
        (Peer(1, 2, (0, 1)), ALL),
    ],
)
def test_the_processor_is_left_to_the_first_process_and_a_gpu_to_the_first_on_it(group, others):
    assert harness._others_meter(group) == others


def ready(group, gpu=None, left=frozenset()):
    """A process that is about to measure, without a sensor of its own."""
    nobody = IdleWindow(skipped="no baseline: nobody looked")
    choice = Choice(NoMeter(), {}, frozenset(left))
    return harness._Ready(
        setup=harness.Setup("e1", tiny_config(), UserConfig(), group, SimpleNamespace(), choice),
        model=model_facts(gpu),
        bare=nobody,
        loaded=nobody,
        warmup=Warmup(None, 0),
        settled=False,
        environment=ENVIRONMENT,
        notes=[],
    )


@pytest.mark.parametrize(
    ("group", "gpu", "left", "metered_by"),
    [
        (Peer(0, 4, (0, 2)), 0, (), None),
        (Peer(1, 4, (1, 3)), 1, PROCESSOR, None),
        (Peer(2, 4, (0, 2)), 0, ALL, 0),
        (Peer(3, 4, (1, 3)), 1, ALL, 1),
        (Peer(3, 4, (1, 3)), 1, PROCESSOR, None),
        (Peer(3, 4, (1, 3)), None, ALL, 0),
        (Peer(1, 2, (1,)), None, PROCESSOR, 0),
        (Peer(1, 2, (0, 1)), None, {"gpu"}, None),
    ],
    ids=[
        "the first of all",
        "the first on its GPU",
        "another on the first GPU",
        "another on the second GPU",
        "no sensor of the GPU",
        "on the CPU beside GPUs",
        "on the CPU beside a GPU of its own",
        "no sensor of the CPU",
    ],
)
def test_a_process_says_who_has_metered_the_devices_that_it_ran_on(group, gpu, left, metered_by):
    collected = MeasurementWindow(opened_s=100.0, closed_s=102.0, batches=[batch(100.0)])
    window = Window("total", 100.0, 102.0)
    found = harness._measurement(ready(group, gpu, left), collected, window, Spans.alone((100.0, 102.0), 100.0, 102.0))
    assert (found.metered_by, found.process_index, found.processes) == (metered_by, group.index, group.size)


def parts_of(folder, *indices):
    """Leave what these processes have measured, each in its window."""
    for index in indices:
        start_s, end_s = WINDOWS_S[index]
        save_part(share(index, late_s=start_s - 100.75, window=Window("windowed", start_s, end_s)), [], folder)


@pytest.mark.parametrize(
    ("of", "span_s"), [((0,), (101.0, 103.0)), ((0, 2), (101.0, 106.0)), (range(4), (99.0, 106.0))]
)
def test_a_span_is_of_the_windows_of_those_processes_alone_once_they_have_ended(
    meet, tmp_path, monkeypatch, of, span_s
):
    (first, *_), _ = meet(["GPU-0", "GPU-1", "GPU-0", "GPU-1"])
    last = of[-1]
    parts_of(tmp_path, *({1, 2, 3} - {last}))
    later = iter([lambda: parts_of(tmp_path, last)])
    monkeypatch.setattr(processes, "time", SimpleNamespace(sleep=lambda _: next(later)()))
    assert first.whole_span(*WINDOWS_S[0], of) == pytest.approx(span_s)


def test_a_process_waits_for_those_it_is_told_to_until_they_have_written_all_or_have_ended(meet, tmp_path, monkeypatch):
    (_, second, *_), room = meet(["GPU-0", "GPU-1", "GPU-0", "GPU-1"])
    later = iter([lambda: None, lambda: parts_of(tmp_path, 3), lambda: None, lambda: room.running.remove(2)])
    monkeypatch.setattr(processes, "time", SimpleNamespace(sleep=lambda _: next(later)()))
    second.wait_for([1, 3])
    assert is_marked(tmp_path / ".state" / "e1", 3)
    second.wait_for([2])
    assert next(later, None) is None


# Whether it runs on the GPU that it was given


@pytest.mark.parametrize("given", ["GPU-0", None, "MIG", "1"])
@pytest.mark.parametrize("ran_on", [0, None])
def test_a_process_that_runs_on_the_gpu_that_it_was_given_or_on_one_of_unknown_name_goes_on(given, ran_on):
    harness._check_gpu(SimpleNamespace(index=1, gpu=given), model_facts(ran_on))


def test_a_process_that_runs_on_another_gpu_than_it_was_given_ends():
    with pytest.raises(BackendError, match=r"process 1 was given GPU-0 and runs on GPU-1"):
        harness._check_gpu(SimpleNamespace(index=1, gpu="GPU-0"), model_facts(1))


# Whether there is a steady state


@pytest.mark.parametrize(
    ("group", "prompts", "converges", "said"),
    [
        (Peer(0, 2, (0,)), 3, True, True),
        (Peer(1, 2, (1,)), 3, True, False),
        (Peer(1, 2, (1,)), 4, True, True),
        (Peer(2, 3, (2,)), 5, True, False),
        (Peer(2, 3, (2,)), 6, True, True),
        (Peer(1, 2, (1,)), 4, False, False),
        (Peer(0, 1, (0,)), 1, True, True),
    ],
)
def test_a_process_has_a_steady_state_if_it_has_settled_and_has_a_full_batch(group, prompts, converges, said):
    assert prepared(group, prompts, converges).settled == said
    assert group.said == [said]


@pytest.mark.parametrize(
    ("agree", "converges", "notes"),
    [(True, True, []), (False, True, [harness.UNSETTLED_PEER]), (False, False, [])],
    ids=["all have settled", "a peer has not", "it has not itself"],
)
def test_a_process_that_has_settled_beside_one_that_has_not_says_so(agree, converges, notes):
    found = prepared(Peer(0, 2, (0,), agree=agree), 4, converges)
    assert [note for note in found.notes if note == harness.UNSETTLED_PEER] == notes
    assert found.settled == agree


def prepared(group, prompts, converges):
    """A process whose warm-up converges or not, in batches of two."""
    latencies_s = itertools.cycle([0.5] if converges else [0.1, 0.9])
    backend = SimpleNamespace(
        weight_files=lambda: [],
        load=model_facts,
        prepare=lambda requests: [],
        warmup=lambda: (next(latencies_s), 2),
    )
    warmup = {"convergence_detection": True, "window_size": 2, "max_prompts": 4, "thermal_floor_seconds": 0}
    config = tiny_config(num_prompts=prompts, warmup=warmup)
    choice = Choice(NoMeter(), {})
    setup = harness.Setup("e1", config, UserConfig(), group, backend, choice)
    return harness._prepare(setup, ["a prompt"] * prompts, Silent())


# Which process this is

SECOND_OF_THREE = {
    "RANK": "1",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "3",
    "LOCAL_WORLD_SIZE": "3",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}


def subsets(names):
    return itertools.chain.from_iterable(itertools.combinations(names, count) for count in range(len(names)))


def test_a_process_is_one_of_several_only_where_all_of_torchruns_variables_say_so():
    assert this_rank(SECOND_OF_THREE) == Rank(index=1, size=3)
    for present in subsets(SECOND_OF_THREE):
        assert this_rank({name: SECOND_OF_THREE[name] for name in present}) is None


def test_a_process_that_torchrun_started_alone_is_alone():
    assert this_rank(SECOND_OF_THREE | {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}) is None


def test_processes_on_several_machines_are_refused_with_what_to_do():
    with pytest.raises(ConfigError, match=r"6 processes, 3 of them on this machine.*--nnodes 1"):
        this_rank(SECOND_OF_THREE | {"WORLD_SIZE": "6"})


@pytest.mark.parametrize(
    ("changes", "is_first"), [({}, False), ({"RANK": "0"}, True), ({"WORLD_SIZE": "1"}, True), (None, True)]
)
def test_the_first_process_and_one_alone_speak_for_the_run(monkeypatch, changes, is_first):
    for name, value in SECOND_OF_THREE.items():
        monkeypatch.setenv(name, value)
    if changes is None:
        monkeypatch.delenv("RANK")
    for name, value in (changes or {}).items():
        monkeypatch.setenv(name, value)
    assert is_first_process() == is_first


# Whose a process on a device is

JUDGE = """
import os, subprocess, sys
from llenergymeasure.energy.foreign_processes import ProcessWatch

child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
pids = {"self": os.getpid(), "child": child.pid}
for told in sys.argv[1:]:
    name, _, pid = told.partition("=")
    pids[name] = int(pid)
watch = ProcessWatch()
watch.see("GPU-0", tuple(pids.values()))
print(*(name for name, pid in pids.items() if watch.foreign((pid,))))
child.communicate()
"""
WAIT_WITH_A_CHILD = """
import subprocess, sys

child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.read()
child.communicate()
"""


def started(program, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


@pytest.mark.parametrize(
    ("environment", "foreign"),
    [
        (SECOND_OF_THREE, {"launcher"}),
        (SECOND_OF_THREE | {"WORLD_SIZE": "1"}, {"launcher"}),
        ({}, {"sibling", "nephew", "launcher"}),
    ],
    ids=["one of several", "the only one of torchrun", "alone"],
)
def test_siblings_and_their_children_are_foreign_unless_they_are_of_the_same_run(monkeypatch, environment, foreign):
    for name in SECOND_OF_THREE:
        monkeypatch.delenv(name, raising=False)
    with started(WAIT_WITH_A_CHILD) as sibling:
        nephew = sibling.stdout.readline().strip()
        pids = {"sibling": sibling.pid, "nephew": nephew, "launcher": os.getpid()}
        with started(JUDGE, *(f"{name}={pid}" for name, pid in pids.items()), **environment) as judge:
            told, _ = judge.communicate(timeout=60)
        sibling.communicate()
    assert set(told.split()) == foreign
