"""NVIDIA GPUs by their management library, NVML: the boards of this machine, and the sensor that reads them."""

import itertools
import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from llenergymeasure.energy.samples import SensorSample, State
from llenergymeasure.energy.sensors.base import Task

NVML_GAIN_SHARE = 0.13
"""Published board tests found NVML's gain off by -7.9 to +12.7 %; 5 % is only the maker's figure."""

SHORTEST_POLL_S, LONGEST_POLL_S = 0.005, 0.020
POLLS_PER_TICK = 10
TICKS_FOR_A_MEDIAN = 20
PROCESSES_EVERY_S = 1.0

# Bits of nvmlDeviceGetCurrentClocksEventReasons, and the name of each in a result.
THROTTLE_REASONS = {0x08: "hw_slowdown", 0x20: "sw_thermal", 0x40: "hw_thermal", 0x80: "hw_power_brake"}

ALL_BOARDS = (
    "CUDA_VISIBLE_DEVICES has numbers, which between boards of different models follow their speed: all boards are "
    "metered; name them by UUID, or set CUDA_DEVICE_ORDER=PCI_BUS_ID."
)

PowerField = Literal["instantaneous", "average"]


@dataclass(frozen=True)
class Board:
    """One GPU as it can be metered; `limit_w` is the power limit in force, None where the driver does not report it."""

    uuid: str
    index: int
    name: str
    limit_w: float | None
    has_counter: bool
    power_field: PowerField | None
    mig_enabled: bool


@dataclass(frozen=True)
class Probe:
    """The boards that this process may use; `unavailable` is the reason where there is none, and `library_fails` is
    True where the library or its driver is the reason."""

    boards: tuple[Board, ...] = ()
    unavailable: str | None = None
    library_fails: bool = False
    notes: tuple[str, ...] = ()


def probe(nvml: Any, environment: Mapping[str, str] = os.environ) -> Probe:
    """Find every board that CUDA_VISIBLE_DEVICES leaves visible."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Probe(unavailable=f"NVML cannot be used: {error}", library_fails=True)
    try:
        boards = [_board(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError as error:
        return Probe(unavailable=f"NVML fails: {error}", library_fails=True)
    finally:
        nvml.nvmlShutdown()
    if not boards:
        return Probe(unavailable="NVML is installed and shows no GPU")
    seen = visible(boards, environment)
    if not seen:
        hidden = environment.get("CUDA_VISIBLE_DEVICES")
        return Probe(unavailable=f"CUDA_VISIBLE_DEVICES={hidden} leaves no GPU visible")
    return Probe(tuple(seen), notes=() if _numbers_are_clear(boards, environment) else (ALL_BOARDS,))


def visible(boards: Sequence[Board], environment: Mapping[str, str]) -> list[Board]:
    """Return the boards that CUDA_VISIBLE_DEVICES names, by index or by the start of a UUID.

    As in CUDA, the first unknown name ends the list. A name of a MIG slice stands for no board alone: then all stay.

    CUDA's own numbers follow speed unless CUDA_DEVICE_ORDER is PCI_BUS_ID; between boards of one model that is the
    same, and between different ones a number cannot be told: then all stay, and a run finds its own by UUID.
    """
    wanted = environment.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return list(boards)
    names = [name.strip() for name in wanted.split(",")]
    if any(name.startswith("MIG-") for name in names):
        return [replace(board, mig_enabled=True) for board in boards]
    if not _numbers_are_clear(boards, environment):
        return list(boards)
    chosen: list[Board] = []
    for name in names:
        found = [b for b in boards if (b.index == int(name) if name.isdecimal() else name and b.uuid.startswith(name))]
        if not found:
            break
        chosen += [board for board in found if board not in chosen]
    return chosen


def _numbers_are_clear(boards: Sequence[Board], environment: Mapping[str, str]) -> bool:
    """Return True if every number in CUDA_VISIBLE_DEVICES, if any, means one board."""
    numbered = any(name.strip().isdecimal() for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(","))
    by_bus = environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    return not numbered or by_bus or len({board.name for board in boards}) == 1


@dataclass(frozen=True)
class BoardUse:
    """The processes on a board, by the driver's numbers, and the bytes of its memory that are in use."""

    pids: frozenset[int]
    memory_bytes: int


def board_use(nvml: Any, boards: Sequence[Board]) -> dict[str, BoardUse]:
    """Return the use of each board, by its UUID, as far as the driver reports it."""
    if not boards:
        return {}
    found = {}
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return {}
    try:
        for board in boards:
            handle = _ask(nvml, nvml.nvmlDeviceGetHandleByUUID, board.uuid)
            if handle is None:
                continue
            processes = _ask(nvml, nvml.nvmlDeviceGetComputeRunningProcesses, handle) or ()
            memory = _ask(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
            pids = frozenset(process.pid for process in processes)
            found[board.uuid] = BoardUse(pids, int(memory.used) if memory is not None else 0)
    finally:
        nvml.nvmlShutdown()
    return found


def sensor_spec(boards: Sequence[Board], sampling_hz: float, *, counter: bool) -> dict[str, Any]:
    """Return what a sampler needs to read these boards, as JSON can hold it."""
    uuids = [board.uuid for board in boards]
    return {"sensor": "nvml", "options": {"uuids": uuids, "counter": counter, "sampling_hz": sampling_hz}}


def open_sensor(uuids: Sequence[str], *, counter: bool, sampling_hz: float) -> "NvmlSensor":
    """Open the sensor of these boards. Raises as `NvmlSensor`."""
    import pynvml

    return NvmlSensor(pynvml, uuids, counter=counter, sampling_hz=sampling_hz)


class NvmlSensor:
    """Reads the boards with `uuids`: the energy counter (`counter`), power and temperature `sampling_hz` times per
    second, and once per second which processes are on them.

    The counter is read every tenth of its tick, as far as that was seen, 5 ms at the least and 20 ms at the most.

    Raises:
        NVMLError: the library or a board is not there.
    """

    def __init__(self, nvml: Any, uuids: Sequence[str], *, counter: bool, sampling_hz: float) -> None:
        nvml.nvmlInit()
        self._nvml = nvml
        self._handles = {uuid: nvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in uuids}
        self._counter = counter
        self._sampling_s = 1 / sampling_hz
        self._ticks = {uuid: _Tick() for uuid in uuids}

    def tasks(self) -> Iterator[Task]:
        """Yield what to read, each with its pace."""
        if self._counter:
            yield Task(self._read_counters, self._counter_every_s)
        yield Task(self._read_power, lambda: self._sampling_s)
        yield Task(self._read_processes, lambda: PROCESSES_EVERY_S)

    def _read_counters(self) -> Iterator[SensorSample]:
        for uuid, handle in self._handles.items():
            before_s = time.monotonic()
            millijoules = _ask(self._nvml, self._nvml.nvmlDeviceGetTotalEnergyConsumption, handle)
            after_s = time.monotonic()
            if millijoules is not None:
                self._ticks[uuid].see(millijoules, after_s)
                yield SensorSample(uuid, before_s, after_s, joules=millijoules / 1e3)

    def _read_power(self) -> Iterator[SensorSample | State]:
        nvml = self._nvml
        for uuid, handle in self._handles.items():
            before_s = time.monotonic()
            found = read_power_w(nvml, handle, may_average=not self._counter)
            after_s = time.monotonic()
            temperature_c = _ask(nvml, nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
            if found is not None or temperature_c is not None:
                yield SensorSample(uuid, before_s, after_s, None, found[0] if found else None, temperature_c)
            bits = _ask(nvml, nvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
            if bits is not None:
                yield State(uuid, after_s, tuple(name for bit, name in THROTTLE_REASONS.items() if bits & bit))

    def _read_processes(self) -> Iterator[State]:
        for uuid, handle in self._handles.items():
            found = _ask(self._nvml, self._nvml.nvmlDeviceGetComputeRunningProcesses, handle)
            if found is not None:
                yield State(uuid, time.monotonic(), pids=tuple(sorted(process.pid for process in found)))

    def _counter_every_s(self) -> float:
        tick_s = min((tick.median_s for tick in self._ticks.values()), default=0.0)
        return min(max(tick_s / POLLS_PER_TICK, SHORTEST_POLL_S), LONGEST_POLL_S)


class _Tick:
    """The median time between a counter's latest changes, in seconds; 0 until there were enough."""

    def __init__(self) -> None:
        self._value: int | None = None
        self._times_s: deque[float] = deque(maxlen=TICKS_FOR_A_MEDIAN)
        self.median_s = 0.0

    def see(self, value: int, moment_s: float) -> None:
        if value == self._value:
            return
        self._value = value
        self._times_s.append(moment_s)
        if len(self._times_s) == TICKS_FOR_A_MEDIAN:
            times = list(self._times_s)
            self.median_s = statistics.median(b - a for a, b in itertools.pairwise(times))


def read_power_w(nvml: Any, handle: Any, *, may_average: bool) -> tuple[float, PowerField] | None:
    """Return power from the instantaneous field or, if `may_average`, the one that most boards average over 1 s."""
    values = _ask(nvml, nvml.nvmlDeviceGetFieldValues, handle, [nvml.NVML_FI_DEV_POWER_INSTANT])
    if values is not None and values[0].nvmlReturn == 0 and values[0].value.uiVal:
        return values[0].value.uiVal / 1e3, "instantaneous"
    milliwatts = _ask(nvml, nvml.nvmlDeviceGetPowerUsage, handle) if may_average else None
    return None if milliwatts is None else (milliwatts / 1e3, "average")


def _board(nvml: Any, index: int) -> Board:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    limit_mw = _ask(nvml, nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    power = read_power_w(nvml, handle, may_average=True)
    mig = _ask(nvml, nvml.nvmlDeviceGetMigMode, handle)
    return Board(
        uuid=nvml.nvmlDeviceGetUUID(handle),
        index=index,
        name=nvml.nvmlDeviceGetName(handle),
        limit_w=limit_mw / 1e3 if limit_mw else None,
        mig_enabled=bool(mig and mig[0]),
        has_counter=bool(_ask(nvml, nvml.nvmlDeviceGetTotalEnergyConsumption, handle)),
        power_field=power[1] if power else None,
    )


def _ask(nvml: Any, query: Callable[..., Any], *arguments: Any) -> Any:
    """Return the driver's answer; None where it has none this time."""
    try:
        return query(*arguments)
    except nvml.NVMLError:
        return None
