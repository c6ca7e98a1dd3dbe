"""The processes of a run: who meters which device, and how long each waits for which others."""

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from measurements import make_part
from one_watt import ALL, PROCESSOR
from powercap_trees import tree
from run_processes import SECOND_OF_THREE, WINDOWS_S, line_of, started

from llenergymeasure.config.models import EnergyConfig, UserConfig
from llenergymeasure.config.ranks import Rank
from llenergymeasure.energy.sources import choose_meter, find_sources
from llenergymeasure.metrics.steady_state import Window
from llenergymeasure.parallel import processes
from llenergymeasure.parallel.member import take_gpu
from llenergymeasure.parallel.processes import Processes
from llenergymeasure.results.aggregation import is_marked
from llenergymeasure.results.parts import save_part
from llenergymeasure.run import harness


class Room:
    """A meeting of threads in the place of one of processes; `running` are those who have not ended."""

    def __init__(self, size):
        self._barrier = threading.Barrier(size, timeout=60.0)
        self._messages, self.running = [None] * size, set(range(size))

    def enter(self, rank):
        assert rank.size == len(self._messages)

        def exchange(mine):
            self._messages[rank.index] = mine
            self._barrier.wait()
            messages = list(self._messages)
            self._barrier.wait()
            return messages

        return SimpleNamespace(exchange=exchange, is_running=self.running.__contains__, close=lambda: None)


@pytest.fixture
def meet(monkeypatch, tmp_path):
    """The groups of processes that have taken these GPUs, and the room where they met."""
    entered = contextlib.ExitStack()

    def meet_all(names):
        room = Room(len(names))
        monkeypatch.setattr(processes, "Meeting", room.enter)

        def begin(index):
            rank = Rank(index, len(names))
            return Processes(rank, tmp_path, gpu=names[index], experiment_id=None if index else "e1")

        with ThreadPoolExecutor(len(names)) as pool:
            groups = list(pool.map(begin, range(len(names))))
        return [entered.enter_context(contextlib.closing(group)) for group in groups], room

    with entered:
        yield meet_all


@pytest.fixture
def metering(gpus, cuda_visible_devices, meet, tmp_path):
    """For each process with its CUDA_VISIBLE_DEVICES: who shares its GPU, what it meters, what it leaves to others."""

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
        messages = [json.loads(line_of(each)) for each in run]
        assert [[gpu, same] for _, gpu, same in messages] == [["GPU-0", [0, 2]], ["GPU-1", [1]], ["GPU-0", [0, 2]]]
        assert len({name for name, _, _ in messages}) == 1
        assert line_of(run[0], 0.5) is None
        run[1].stdin.write("leave, and go on\n")
        run[1].stdin.flush()
        assert line_of(run[0], 0.5) is None
        run[2].kill()  # it stays in the process table until it is asked for
        assert line_of(run[0]) == "nobody is left\n"


def parts_of(folder, *indices):
    """Leave what these processes have measured, each in its window."""
    for index in indices:
        start_s, end_s = WINDOWS_S[index]
        save_part(make_part(index, late_s=start_s - 100.75, window=Window("windowed", start_s, end_s)), [], folder)


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
