"""Peak memory over a stretch of time, in MB (10^6 bytes)."""

from pathlib import Path

MB = 1e6


class HostMemory:
    """This process's peak resident memory, from Linux's /proc; None elsewhere."""

    _status = Path("/proc/self/status")
    _clear = Path("/proc/self/clear_refs")

    def __init__(self) -> None:
        self._watching = False

    def reset(self) -> None:
        """Set the kernel's high-water mark to what is resident now."""
        try:
            self._clear.write_text("5")
            self._watching = True
        except OSError:  # no /proc, or a sandbox: the mark would be that of the whole process
            self._watching = False

    def peak_mb(self) -> float | None:
        """The high-water mark since the reset."""
        if not self._watching:
            return None
        for line in self._status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / MB
        return None


def reset_device_peak(device: str) -> None:
    """Begin to watch the GPU allocator's peak."""
    import torch

    torch.cuda.reset_peak_memory_stats(device)


def device_peak_mb(device: str) -> float:
    """The GPU allocator's peak since the reset."""
    import torch

    return float(torch.cuda.max_memory_allocated(device)) / MB
