"""The processes of one run, on one machine, as they wait for each other before they measure.

They meet over gloo, on GPUs too: nothing is exchanged while they measure, a process that dies is an error to the others
at once, and the measured device holds no communicator. Once they measure they no longer need each other, so that one
which is killed takes nobody with it; then files in `.state/` and the process table tell who has finished.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from labledger.files import joined_directory
from llenergymeasure.config.ranks import Rank
from llenergymeasure.errors import ExperimentError
from llenergymeasure.group import Group
from llenergymeasure.harness import new_experiment_id
from llenergymeasure.results.aggregation import expect_processes, is_marked, load_raw_results
from llenergymeasure.results.persistence import state_folder

LOOK_EVERY_S = 0.1
LONGEST_LOAD = timedelta(days=1)


class PeerEndedError(ExperimentError):
    """Another process of the run ended before all could begin to measure."""


class Processes(Group):
    """This process and its peers; `folder` is where they leave what they have measured, once `all_measure`.

    Raises:
        PeerEndedError: one has ended.
        OSError: the folder could not be made.
    """

    def __init__(self, rank: Rank, output_dir: Path, *, shares_gpu: bool, experiment_id: str | None) -> None:
        self.index, self.size, self.shares_gpu = rank.index, rank.size, shares_gpu
        self.all_measure = False
        self._held = contextlib.ExitStack()
        self._meet()
        if self.index == 0:
            self.experiment_id = experiment_id or new_experiment_id(datetime.now(UTC))
            self._join(output_dir)
            expect_processes(self.experiment_id, self.size, output_dir)
        told = self._exchange((self.experiment_id, os.getpid()))
        self.experiment_id = told[0][0]
        if self.index:
            self._join(output_dir)
        self._peers = [psutil.Process(pid) for _, pid in told] if self.index == 0 else []

    def wait(self) -> None:
        """Return when every process has come here."""
        self._exchange(None)

    def all_agree(self, mine: bool) -> bool:
        """Whether every process says so."""
        agreed = all(self._exchange(mine))
        self.all_measure = True
        return agreed

    def whole_span(self, start_s: float, end_s: float) -> tuple[float, float]:
        """In process 0, once the others have finished or ended: all of their windows together."""
        if self.index:
            return start_s, end_s
        for index, process in enumerate(self._peers):
            while index and not is_marked(self.folder, index) and _is_running(process):
                time.sleep(LOOK_EVERY_S)
        spans = [(start_s, end_s), *self._windows()]
        return min(first for first, _ in spans), max(last for _, last in spans)

    def close(self) -> None:
        """Let go of the folder and the peers."""
        import torch.distributed as dist

        self._held.close()
        with contextlib.suppress(Exception):  # the peers may be gone
            dist.destroy_process_group()

    def _join(self, output_dir: Path) -> None:
        self.folder = state_folder(output_dir, self.experiment_id)
        self._held.enter_context(joined_directory(self.folder))

    def _windows(self) -> Iterator[tuple[float, float]]:
        for raw in load_raw_results(self.folder):
            lasted_s = raw.inference_metrics.inference_time_sec if raw.inference_metrics else None
            if raw.clock_s is not None and raw.window_start_s is not None and lasted_s is not None:
                start_s = raw.clock_s + raw.window_start_s
                yield start_s, start_s + lasted_s

    def _meet(self) -> None:
        import torch.distributed as dist

        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # one machine, and its name need not resolve
        with _peer_errors():
            dist.init_process_group("gloo", rank=self.index, world_size=self.size, timeout=LONGEST_LOAD)

    def _exchange(self, mine: Any) -> list[Any]:
        """What every process gives, in their order."""
        import torch.distributed as dist

        told: list[Any] = [None] * self.size
        with _peer_errors():
            dist.all_gather_object(told, mine)
        return told


@contextlib.contextmanager
def _peer_errors() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise PeerEndedError("another process of the run ended before the measurement began") from error


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
