"""The processes on a device that are not part of the run."""

import os

import psutil

from llenergymeasure.config.ranks import has_siblings

UVM = "/dev/nvidia-uvm"


class ProcessWatch:
    """Tells foreign processes from this one, its descendants, and its siblings in a run of several, at first sight.

    A process that is in no table here runs in another PID namespace (a container sees the GPU's processes by the
    host's numbers) or has just ended. It is foreign if it was there at the first look, before this process had
    anything on a GPU; one that appears later, or when this process has, is taken for our own.
    """

    def __init__(self) -> None:
        self._names: dict[int, str | None] = {}  # None: ours
        self._looked: set[str] = set()
        self._adopted: frozenset[int] | None = frozenset()

    def adopt(self, pids: frozenset[int] | None) -> None:
        """Count these processes and their descendants as our own: a server that was there before. None is a server that
        cannot be told from others: what is on a device at the first look is taken for it."""
        self._adopted = pids

    def see(self, device: str, pids: tuple[int, ...]) -> None:
        """Judge those that are new."""
        is_first = device not in self._looked
        self._looked.add(device)
        for pid in pids:
            if pid not in self._names:
                self._names[pid] = None if is_first and self._adopted is None else self._judge(pid, is_first)

    def foreign(self, pids: tuple[int, ...]) -> list[str]:
        """Return the foreign ones among them, as name and number."""
        return [name for pid in pids if (name := self._names.get(pid)) is not None]

    def _judge(self, pid: int, is_first: bool) -> str | None:
        family = {os.getpid(), *([os.getppid()] if has_siblings() else []), *(self._adopted or ())}
        if pid == os.getpid() or pid in (self._adopted or ()):
            return None
        try:
            process = psutil.Process(pid)
            ours = any(parent.pid in family for parent in process.parents())
            return None if ours else f"{process.name()} (process {pid})"
        except psutil.NoSuchProcess:
            return f"process {pid}" if is_first and not _uses_cuda() else None
        except psutil.Error:
            return f"process {pid}"


def _uses_cuda() -> bool:
    """Return True if this process has a CUDA context: it then holds this device open, which NVML alone does not."""
    try:
        return any(os.path.realpath(entry.path) == UVM for entry in os.scandir("/proc/self/fd"))
    except OSError:
        return False
