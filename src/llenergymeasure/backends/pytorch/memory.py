"""Peak memory over a stretch of time, in MB (10^6 bytes)."""

from pathlib import Path

MB = 1e6


NO_MARK = "the system keeps no high-water mark of this process's memory that can be reset (Linux does)"


class HostMemory:
    """The peak resident memory of a process (None: this one), from Linux's /proc; None elsewhere."""

    def __init__(self, pid: int | None = None) -> None:
        folder = Path("/proc") / ("self" if pid is None else str(pid))
        self._status, self._clear = folder / "status", folder / "clear_refs"
        self._watching = False

    def reset(self) -> None:
        """Set the kernel's high-water mark to what is resident now."""
        try:
            self._clear.write_text("5")
            self._watching = True
        except OSError:  # no /proc, another user's, or a sandbox: the mark would be that of its whole life
            self._watching = False

    def peak_mb(self) -> float | None:
        """The high-water mark since the reset."""
        return self._figure_mb("VmHWM:") if self._watching else None

    def now_mb(self) -> float | None:
        """The resident memory now; None of a process that has ended."""
        return self._figure_mb("VmRSS:")

    def _figure_mb(self, name: str) -> float | None:
        try:
            lines = self._status.read_text().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) * 1024 / MB for line in lines if line.startswith(name)), None)


def reset_device_peak(device: str) -> None:
    """Begin to watch the GPU allocator's peak."""
    import torch

    torch.cuda.reset_peak_memory_stats(device)


def device_peak_mb(device: str) -> float:
    """The GPU allocator's peak since the reset."""
    import torch

    return float(torch.cuda.max_memory_allocated(device)) / MB
