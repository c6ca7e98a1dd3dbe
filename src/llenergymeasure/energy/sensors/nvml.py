"""NVIDIA GPUs by their management library, NVML: the boards of this machine, and the sensor that reads them."""

import itertools
import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from labledger.nvml import load_nvml
from llenergymeasure.energy.samples import SensorSample, State
from llenergymeasure.energy.sensors.base import Task
from llenergymeasure.energy.sensors.nvml_models import PowerQuantity

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

POWER_FIELDS: tuple[PowerQuantity, ...] = ("instant", "average", "draw")


@dataclass(frozen=True)
class Board:
    """One GPU as it can be metered. `limit_w` is the power limit in force, None where the driver does not report it;
    `power_fields` are those that it answers; `driver` is the driver's version."""

    uuid: str
    index: int
    name: str
    limit_w: float | None
    has_counter: bool
    power_fields: tuple[PowerQuantity, ...]
    mig_enabled: bool
    driver: str | None = None


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
        driver = _ask(nvml, nvml.nvmlSystemGetDriverVersion)
        boards = [_board(nvml, index, driver) for index in range(nvml.nvmlDeviceGetCount())]
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
    """The processes on a board, by the driver's numbers, and the bytes of its memory that are in use: in all, and by
    process, None where the driver does not tell."""

    pids: frozenset[int]
    memory_bytes: int
    process_bytes: Mapping[int, int | None] = field(default_factory=dict)


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
            used = {process.pid: process.usedGpuMemory for process in processes}
            found[board.uuid] = BoardUse(frozenset(used), int(memory.used) if memory is not None else 0, used)
    finally:
        nvml.nvmlShutdown()
    return found


def sensor_spec(
    boards: Sequence[Board],
    sampling_hz: float,
    *,
    counter: bool,
    fields: Mapping[str, PowerQuantity],
    power_period_s: float | None = None,
) -> dict[str, Any]:
    """Return what a sampler needs to read these boards, as JSON can hold it; the options are those of `NvmlSensor`.

    `fields` has the field of power to read of each board, by UUID; of one that is not there no power is read.
    `power_period_s` is how often it has a new value: it is read ten times as often, and passed on twice as often at the
    least; None: it is read with the temperature.
    """
    options = {
        "fields": {board.uuid: fields.get(board.uuid) for board in boards},
        "counter": counter,
        "sampling_hz": sampling_hz,
        "power_every_s": None if power_period_s is None else poll_s(power_period_s),
    }
    return {"sensor": "nvml", "options": options, "repeat_s": (power_period_s or 0.0) / 2}


def open_sensor(fields: Mapping[str, PowerQuantity | None], **options: Any) -> "NvmlSensor":
    """Open the sensor of these boards. Takes and raises what `NvmlSensor` does."""
    return NvmlSensor(load_nvml(), fields, **options)


class NvmlSensor:
    """Reads the boards whose UUIDs are the keys of `fields`: the energy counter (`counter`); the field of power that is
    the value, each `power_every_s` or (None) with the temperature, `sampling_hz` times per second; and once per second
    which processes are on them.

    The counter is read every tenth of its tick, as far as that was seen, 5 ms at the least and 20 ms at the most.

    Raises:
        NVMLError: the library or a board is not there.
    """

    def __init__(
        self,
        nvml: Any,
        fields: Mapping[str, PowerQuantity | None],
        *,
        counter: bool,
        sampling_hz: float,
        power_every_s: float | None = None,
    ) -> None:
        nvml.nvmlInit()
        self._nvml = nvml
        self._fields = fields
        self._handles = {uuid: nvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in fields}
        self._counter = counter
        self._sampling_s = 1 / sampling_hz
        self._power_every_s = power_every_s
        self._ticks = {uuid: _Tick() for uuid in fields}

    def tasks(self) -> Iterator[Task]:
        """Yield what to read, each with its pace."""
        if self._counter:
            yield Task(self._read_counters, self._counter_every_s)
        if (every_s := self._power_every_s) is not None:
            yield Task(self._read_power, lambda: every_s)
        yield Task(self._read_conditions, lambda: self._sampling_s)
        yield Task(self._read_processes, lambda: PROCESSES_EVERY_S)

    def _read_counters(self) -> Iterator[SensorSample]:
        for uuid, handle in self._handles.items():
            before_s = time.monotonic()
            millijoules = _ask(self._nvml, self._nvml.nvmlDeviceGetTotalEnergyConsumption, handle)
            after_s = time.monotonic()
            if millijoules is not None:
                self._ticks[uuid].see(millijoules, after_s)
                yield SensorSample(uuid, before_s, after_s, joules=millijoules / 1e3)

    def _read_power(self) -> Iterator[SensorSample]:
        for uuid in self._handles:
            sample = self._power_of(uuid)
            if sample.power_w is not None:
                yield sample

    def _power_of(self, uuid: str) -> SensorSample:
        field = self._fields[uuid]
        before_s = time.monotonic()
        power_w = None if field is None else read_power_w(self._nvml, self._handles[uuid], field)
        return SensorSample(uuid, before_s, time.monotonic(), power_w=power_w)

    def _read_conditions(self) -> Iterator[SensorSample | State]:
        nvml = self._nvml
        for uuid, handle in self._handles.items():
            now_s = time.monotonic()
            sample = self._power_of(uuid) if self._power_every_s is None else SensorSample(uuid, now_s, now_s)
            after_s = sample.after_s
            temperature_c = _ask(nvml, nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
            if sample.power_w is not None or temperature_c is not None:
                yield sample._replace(temperature_c=temperature_c)
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
        return poll_s(tick_s)


def poll_s(tick_s: float) -> float:
    """Return how long to wait between two reads of a sensor with this tick: a tenth, within 5 and 20 ms."""
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


def read_power_w(nvml: Any, handle: Any, field: PowerQuantity) -> float | None:
    """Return the watts in a field of power; None where the driver has none there this time."""
    if field == "draw":
        milliwatts = _ask(nvml, nvml.nvmlDeviceGetPowerUsage, handle)
        return None if milliwatts is None else milliwatts / 1e3
    number = nvml.NVML_FI_DEV_POWER_INSTANT if field == "instant" else nvml.NVML_FI_DEV_POWER_AVERAGE
    values = _ask(nvml, nvml.nvmlDeviceGetFieldValues, handle, [number])
    if values is None or values[0].nvmlReturn != 0 or not values[0].value.uiVal:
        return None
    return float(values[0].value.uiVal / 1e3)


def _board(nvml: Any, index: int, driver: str | None) -> Board:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    limit_mw = _ask(nvml, nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    mig = _ask(nvml, nvml.nvmlDeviceGetMigMode, handle)
    return Board(
        uuid=nvml.nvmlDeviceGetUUID(handle),
        index=index,
        name=nvml.nvmlDeviceGetName(handle),
        limit_w=limit_mw / 1e3 if limit_mw else None,
        mig_enabled=bool(mig and mig[0]),
        has_counter=bool(_ask(nvml, nvml.nvmlDeviceGetTotalEnergyConsumption, handle)),
        power_fields=tuple(field for field in POWER_FIELDS if read_power_w(nvml, handle, field) is not None),
        driver=driver,
    )


def _ask(nvml: Any, query: Callable[..., Any], *arguments: Any) -> Any:
    """Return the driver's answer; None where it has none this time."""
    try:
        return query(*arguments)
    except nvml.NVMLError:
        return None
