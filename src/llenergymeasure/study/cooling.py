"""The pause before each run but the first, so that none begins on what the one before it has heated."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil

from llenergymeasure.backends.openai.server.server import is_here
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.config.study.sections import GapsSection
from llenergymeasure.domain.study import StudyGap
from llenergymeasure.energy.sources import Sources, find_sources
from llenergymeasure.errors import PreFlightError
from llenergymeasure.run.boards.control import BoardControl, DriverError, opened_nvml
from llenergymeasure.run.boards.use import boards_in_use

CPU_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "soc_thermal")
"""Names of the kernel's sensors of processors' temperatures: Intel, AMD, AMD, and boards with ARM."""

LOOK_EVERY_S, TELL_EVERY_S = 1.0, 30.0

Reader = Callable[[], float | None]
"""Returns the temperature of the hottest device; None where one does not tell its own."""


class Cooling:
    """The pauses of a study. `sources` finds this machine's devices; `clock` and `sleep` are those of `time`."""

    def __init__(
        self,
        gaps: GapsSection,
        *,
        sources: Callable[[], Sources] = find_sources,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gaps, self._sources, self._clock, self._sleep = gaps, sources, clock, sleep

    def wait(self, config: ExperimentConfig, tell: Callable[[str], None]) -> StudyGap | None:
        """Wait before a run of this configuration, and return for how long, and what came of it; None without gaps.

        `tell` hears what is waited for, as the wait begins and every half a minute.
        """
        gaps, began_s = self._gaps, self._clock()
        if not gaps.experiment_s and gaps.until_c is None:
            return None
        if gaps.experiment_s:
            tell(f"waiting {gaps.experiment_s:g} s")
        while (left_s := began_s + gaps.experiment_s - self._clock()) > 0:
            self._sleep(min(left_s, LOOK_EVERY_S))
        if gaps.until_c is None:
            return StudyGap(waited_s=self._clock() - began_s)
        with _thermometer(config, self._sources()) as read:
            return self._until_cool(gaps.until_c, read, began_s, tell)

    def _until_cool(self, until_c: float, read: Reader, began_s: float, tell: Callable[[str], None]) -> StudyGap:
        told_s: float | None = None
        while True:
            now_c, waited_s = read(), self._clock() - began_s
            if now_c is not None and now_c <= until_c:
                return StudyGap(waited_s=waited_s, temperature_c=now_c)
            shown = "an unknown temperature" if now_c is None else f"{now_c:g} °C"
            if waited_s >= self._gaps.timeout_s:
                warning = f"began at {shown} and not at {until_c:g}, which was not reached in {waited_s:.0f} s"
                tell(warning)
                return StudyGap(waited_s=waited_s, temperature_c=now_c, warning=warning)
            if told_s is None or waited_s - told_s >= TELL_EVERY_S:
                tell(f"waiting for {until_c:g} °C, at {shown} after {waited_s:.0f} s of {self._gaps.timeout_s:g} s")
                told_s = waited_s
            self._sleep(min(LOOK_EVERY_S, self._gaps.timeout_s - waited_s))


def require_thermometer(gaps: GapsSection, config: ExperimentConfig, sources: Sources) -> None:
    """Make sure that the devices of a run tell their temperature, if its study waits for one.

    Raises:
        PreFlightError: one does not, or is elsewhere.
    """
    if gaps.until_c is None:
        return
    if config.is_server and not is_here(host := config.openai.address[0]):
        raise PreFlightError(f"gaps.until_c: the server is on another machine ({host}): {INSTEAD}")
    with _thermometer(config, sources) as read:
        if read() is not None:
            return
    if boards := _boards(config, sources):
        names = ", ".join(f"GPU {board.index} ({board.name})" for board in boards)
        raise PreFlightError(f"gaps.until_c: the driver does not tell the temperature of {names}: {INSTEAD}")
    raise PreFlightError(f"gaps.until_c: the system has no sensor of the processor's temperature: {INSTEAD}")


INSTEAD = "leave it out, and wait for a time with gaps.experiment_s"


def _boards(config: ExperimentConfig, sources: Sources) -> tuple[Any, ...]:
    """Return the boards that a run uses; where those are not known, all that it may use."""
    if config.device == "cpu":
        return ()
    return boards_in_use(config, sources).boards or sources.nvml.boards


@contextlib.contextmanager
def _thermometer(config: ExperimentConfig, sources: Sources) -> Iterator[Reader]:
    boards = _boards(config, sources)
    if not boards:
        yield processor_c
        return
    try:
        with opened_nvml() as nvml:
            controls = [BoardControl(nvml, board.uuid) for board in boards]
            yield lambda: _hottest([control.temperature_c() for control in controls])
    except DriverError:  # the driver has gone meanwhile
        yield lambda: None


def processor_c() -> float | None:
    """Return the temperature of the processor's hottest part, in degrees Celsius; None where no sensor tells it."""
    read = getattr(psutil, "sensors_temperatures", None)  # not on macOS
    chips = read() if read is not None else {}
    found = [entry.current for name in CPU_CHIPS for entry in chips.get(name, ()) if entry.current is not None]
    return max(found, default=None)


def _hottest(temperatures_c: list[float | None]) -> float | None:
    known = [each for each in temperatures_c if each is not None]
    return max(known) if known and len(known) == len(temperatures_c) else None
