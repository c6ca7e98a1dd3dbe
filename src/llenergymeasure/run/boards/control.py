"""One board's power limit and graphics clock, by NVML. Every change needs root, by NVIDIA's rule."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from labledger.nvml import load_nvml

CLOCK_STEP_MHZ = 15
"""The step of most boards' graphics clocks, where the driver does not list them."""
LIMIT_STEP_W = 1.0
"""A limit that is read back this close is the one that was set: boards may keep whole watts."""
SETTLES_S, LOOK_EVERY_S = 1.0, 0.02

# Bits of nvmlDeviceGetCurrentClocksEventReasons: the power cap, slow-down, heat, brake. Each holds a clock down.
HELD_DOWN = 0x04 | 0x08 | 0x20 | 0x40 | 0x80


class DriverError(Exception):
    """The driver's refusal; `is_for_root`: it would do it for root."""

    def __init__(self, message: str, *, is_for_root: bool = False) -> None:
        super().__init__(message)
        self.is_for_root = is_for_root


@contextlib.contextmanager
def opened_nvml(library: Any = None) -> Iterator[Any]:
    """Yield the library, open: a driver that is not persistent forgets a limit once its last client has gone.

    Raises:
        DriverError: it cannot be used.
    """
    nvml = library or load_nvml()
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise DriverError(f"NVML: {error}") from error
    try:
        yield nvml
    finally:
        nvml.nvmlShutdown()


class BoardControl:
    """The settings of the board `uuid`. Limits are in milliwatts, as the driver has them: what is put back is exact.

    Raises:
            DriverError: the board is not there; of a method that sets something: the driver refuses.
    """

    def __init__(self, nvml: Any, uuid: str) -> None:
        self._nvml = nvml
        self._handle = self._do(nvml.nvmlDeviceGetHandleByUUID, uuid)

    def limit_mw(self) -> int | None:
        """Return the power limit that is set; None where the board has none."""
        found: int | None = self._ask(self._nvml.nvmlDeviceGetPowerManagementLimit)
        return found

    def limit_in_force_w(self) -> float | None:
        """Return the power limit in force: another one, as the chassis' own, may be lower than that which is set."""
        found = self._ask(self._nvml.nvmlDeviceGetEnforcedPowerLimit)
        return None if found is None else float(found) / 1e3

    def limits_w(self) -> tuple[float, float] | None:
        """Return the least and the greatest power limit; None where none can be set."""
        found = self._ask(self._nvml.nvmlDeviceGetPowerManagementLimitConstraints)
        return None if found is None else (found[0] / 1e3, found[1] / 1e3)

    def clocks_mhz(self) -> tuple[int, ...]:
        """Return the graphics clocks that the driver lists, ascending; none where it lists none."""
        memory = self._ask(self._nvml.nvmlDeviceGetSupportedMemoryClocks) or ()
        lists = [self._ask(self._nvml.nvmlDeviceGetSupportedGraphicsClocks, each) or () for each in memory]
        return tuple(sorted({clock for each in lists for clock in each}))

    def clock_mhz(self) -> int | None:
        """Return the graphics clock now; None where the driver does not tell it."""
        found: int | None = self._ask(self._nvml.nvmlDeviceGetClockInfo, self._nvml.NVML_CLOCK_GRAPHICS)
        return found

    def step_mhz(self, clock_mhz: int) -> int:
        """Return the distance between two of the board's clocks around this one: it rounds to one of them."""
        clocks = self.clocks_mhz()
        below = max((each for each in clocks if each <= clock_mhz), default=clock_mhz)
        above = min((each for each in clocks if each > clock_mhz), default=below)
        return above - below or CLOCK_STEP_MHZ

    def clock_held_at(self, clock_mhz: int, sleep: Callable[[float], None] = time.sleep) -> int | None:
        """Return the clock once it is that one, or the nearest that the board has; else as it is after a second."""
        step, until_s = self.step_mhz(clock_mhz), time.monotonic() + SETTLES_S
        while (now := self.clock_mhz()) is not None and abs(now - clock_mhz) > step and time.monotonic() < until_s:
            sleep(LOOK_EVERY_S)
        return now

    def is_held_down(self) -> bool:
        """Return True while power or heat keep the clock lower than it may be."""
        return bool((self._ask(self._nvml.nvmlDeviceGetCurrentClocksEventReasons) or 0) & HELD_DOWN)

    def temperature_c(self) -> float | None:
        """Return its temperature; None where the driver does not tell it."""
        found = self._ask(self._nvml.nvmlDeviceGetTemperature, self._nvml.NVML_TEMPERATURE_GPU)
        return None if found is None else float(found)

    def set_limit_mw(self, milliwatts: int) -> None:
        """Set the power limit."""
        self._do(self._nvml.nvmlDeviceSetPowerManagementLimit, self._handle, milliwatts)

    def lock_clock(self, clock_mhz: int) -> None:
        """Lock the graphics clock."""
        self._do(self._nvml.nvmlDeviceSetGpuLockedClocks, self._handle, clock_mhz, clock_mhz)

    def unlock_clock(self) -> None:
        """Take the lock of the graphics clock away; NVML does not tell whether there was another one before."""
        self._do(self._nvml.nvmlDeviceResetGpuLockedClocks, self._handle)

    def probe(self) -> None:
        """Raise DriverError if this user may set nothing, as far as less than a real change tells.

        The driver tells by refusing. So the limit that is set is set once more, which changes nothing.
        """
        limit_mw = self.limit_mw()
        if limit_mw is not None and self.limits_w() is not None:
            self.set_limit_mw(limit_mw)

    def _do(self, command: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return command(*arguments)
        except self._nvml.NVMLError as error:
            is_for_root = getattr(error, "value", None) == self._nvml.NVML_ERROR_NO_PERMISSION
            raise DriverError(f"NVML: {error}", is_for_root=is_for_root) from error

    def _ask(self, query: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return query(self._handle, *arguments)
        except self._nvml.NVMLError:
            return None
