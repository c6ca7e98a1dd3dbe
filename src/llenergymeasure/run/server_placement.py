"""The placement of a server, as far as this machine can tell: its devices, and the meter that reads them."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import psutil

from labledger.nvml import load_nvml
from llenergymeasure.backends.openai.server.server import Server, is_here
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.domain.model import ModelFacts
from llenergymeasure.energy.cpu_time import Counted, CpuTime, OtherProcesses
from llenergymeasure.energy.sensors.nvml import BoardUse, board_use
from llenergymeasure.energy.sources import Choice, Sources, choose_meter, estimates_cpu, no_meter
from llenergymeasure.run.server_memory import DeviceMemory, NoServerMemory, ResidentMemory, ServerMemory

GREW_BYTES = 64_000_000
"""The least growth of a board's memory in use where a model is loaded: a CUDA context alone takes more."""

NO_ESTIMATE = (
    "the server was not started here, so not all of its processes are known, nor is their CPU time; have it started "
    "with launch for an estimate"
)
NO_CPU_TIME = "no process that listens at port {port} can be seen from here: it is another user's, or in a container"
CANNOT_TELL = (
    "which processes are the server's cannot be seen from here, and several GPUs have some; name its GPUs in "
    "CUDA_VISIBLE_DEVICES"
)
GUESSED = "The server's processes cannot be seen from here: the one GPU that has any, {uuid}, is taken to be its."
RAN_BEFORE = "no baseline without the model: the server ran before"


class ServerPlacement:
    """The placement of one run's server; made before it is started. `library` takes the place of pynvml.

    `before` is the use of the boards before the start of a server that is kept from an earlier run.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        server: Server,
        sources: Sources,
        library: Any = None,
        before: Mapping[str, BoardUse] | None = None,
    ) -> None:
        self._config = config
        self._server = server
        self._sources = sources
        self._library = library
        self._host = config.openai.address[0]
        self._is_here = server.is_launched or is_here(self._host)
        self.before = self._board_use() if server.is_launched and before is None else before or {}
        self.cpu = self._cpu_time()

    @property
    def elsewhere(self) -> str | None:
        """The reason why no sensor of this machine reads the server; None where one does."""
        return None if self._is_here else f"the server is on another machine ({self._host}): nothing here can meter it"

    def choose_meter(self, user: UserConfig) -> Choice:
        """Choose the meter of this machine, if the server is on it."""
        if self.elsewhere is not None:
            return no_meter(self.elsewhere)
        spent = self.cpu if self._server.is_launched else NO_ESTIMATE
        chosen = choose_meter(self._config.energy, user, self._sources, cpu=spent)
        if self._sources.nvml.boards and not self._server.is_launched:  # to find its processes takes a while
            chosen.meter.adopt(self._pids_at_the_driver(self._board_use()))
        return chosen

    def _cpu_time(self) -> CpuTime | str:
        """Return the CPU time of the server: of one that was started here all that it has started, of another the
        processes that listen on its port and what they have started; or the reason why it cannot be known."""
        if self.elsewhere is not None:
            return self.elsewhere
        if self._server.is_launched:
            return CpuTime(Counted(self._server.cpu_spent))
        roots = _roots(self._server.pids() or frozenset())
        return CpuTime(OtherProcesses(roots)) if roots else NO_CPU_TIME.format(port=self._config.openai.address[1])

    def why_not_bare(self) -> str | None:
        """Return why the machine cannot be watched without the model; None where it can."""
        return None if self._server.is_launched else RAN_BEFORE

    def placed(self, model: ModelFacts) -> ModelFacts:
        """Return the facts of the model with the devices that it is on."""
        device, uuids = self._devices()
        effective = {**model.effective, "device": device}
        return replace(
            model,
            device=device,
            device_uuids=uuids,
            unmetered=self._unmetered(device, uuids),
            remarks=(GUESSED.format(uuid=uuids[0]),) if self._guessed and len(uuids) == 1 else (),
            effective=effective,
        )

    def known_boards(self) -> tuple[str, ...] | None:
        """Return the boards with a process of a server that ran before, by UUID; None where these may be others'."""
        return None if self._guessed else tuple(sorted(self._used()))

    def memory(self, model: ModelFacts) -> ServerMemory:
        """Return what watches the server's memory, on the devices of `model`."""
        if self.elsewhere is not None:
            return NoServerMemory(self.elsewhere)
        if not model.on_accelerator:
            return ResidentMemory(self._server.pids)
        uuids = model.device_uuids
        if not uuids:
            return NoServerMemory("the GPUs of the server are not known")

        def use() -> list[tuple[BoardUse, BoardUse | None]]:
            now = self._board_use()
            return [(now[uuid], self.before.get(uuid)) for uuid in uuids if uuid in now]

        return DeviceMemory(use, lambda: self._pids_at_the_driver(self._board_use()))

    def _unmetered(self, device: str, uuids: tuple[str, ...]) -> str | None:
        """Return why the server's energy is unknown; None where its devices are known."""
        if self.elsewhere is not None:
            return self.elsewhere
        if self._guessed and len(uuids) > 1:
            return CANNOT_TELL
        estimated = estimates_cpu(self._config.energy, self._sources)
        return NO_ESTIMATE if device == "cpu" and not self._server.is_launched and estimated else None

    @property
    def _guessed(self) -> bool:
        """True where a server that ran before is taken to be on GPUs whose processes may be others': nobody has named
        its GPUs."""
        named = "CUDA_VISIBLE_DEVICES" in os.environ
        if named or self._server.is_launched or not self._is_here or not self._sources.nvml.boards:
            return False
        pids = self._server.pids()
        return pids is None or not any(use.pids & pids for use in self._board_use().values())

    def _devices(self) -> tuple[str, tuple[str, ...]]:
        if not self._is_here:
            return "remote", ()
        if self._config.device == "cpu" or not self._sources.nvml.boards:
            return "cpu", ()
        used = self._used()
        uuids = tuple(board.uuid for board in self._sources.nvml.boards if board.uuid in used)
        if not uuids and self._config.device == "cuda":
            return "cuda", tuple(board.uuid for board in self._sources.nvml.boards)
        return ("cuda", uuids) if uuids else ("cpu", ())

    def _used(self) -> set[str]:
        """Return the boards that have a process of the server. In a container the driver numbers processes otherwise:
        for a server that was started here these are then the boards whose memory has filled since."""
        now = self._board_use()
        if not self._server.is_launched:
            pids = self._pids_at_the_driver(now)
            return {uuid for uuid, use in now.items() if (use.pids if pids is None else use.pids & pids)}
        pids = self._server.pids() or frozenset()
        return {uuid for uuid, use in now.items() if use.pids & pids} or {
            uuid
            for uuid, use in now.items()
            if uuid in self.before and use.memory_bytes - self.before[uuid].memory_bytes > GREW_BYTES
        }

    def _pids_at_the_driver(self, now: dict[str, BoardUse]) -> frozenset[int] | None:
        """Return the processes of a server that ran before; None where they cannot be told from others.

        Where none of them is on a board, those on boards that are no processes here are it too: in a container the
        driver has other numbers.
        """
        pids, on_boards = self._server.pids(), frozenset(pid for use in now.values() for pid in use.pids)
        if pids is None or pids & on_boards:
            return pids
        return pids | {pid for pid in on_boards if not psutil.pid_exists(pid)}

    def _board_use(self) -> dict[str, BoardUse]:
        if self._library is None:
            self._library = load_nvml()
        return board_use(self._library, self._sources.nvml.boards)


def _roots(pids: frozenset[int]) -> list[psutil.Process]:
    """Return the processes of which none descends from another."""
    try:
        found = [psutil.Process(pid) for pid in sorted(pids)]
        return [each for each in found if pids.isdisjoint(parent.pid for parent in each.parents())]
    except psutil.Error:  # one has ended meanwhile
        return []
