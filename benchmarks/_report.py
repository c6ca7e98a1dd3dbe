"""The lines beside every benchmark's table: the machine, the pressure on it, and ratios of pairs."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from labledger.host import read_gpus, read_host


def machine() -> str:
    """One line: processor, cores, memory, GPUs."""
    host, gpus = read_host(), read_gpus()
    names = ", ".join(str(gpu.name) for gpu in gpus.devices) or "no GPU"
    memory_gb = (host.ram_mb or 0) / 1e3
    return (
        f"{host.cpu_model}, {host.cpu_logical_cores} cores, {memory_gb:.0f} GB, {names}; Python {host.python_version}"
    )


def pressure() -> str:
    """Return how long tasks waited for a core lately, from Linux's pressure stall information."""
    try:
        return Path("/proc/pressure/cpu").read_text().splitlines()[0]
    except OSError:
        return "unknown"


def spread(values: Sequence[float]) -> str:
    """Median and the middle half."""
    low, median, high = statistics.quantiles(values, n=4)
    return f"{median:.4g} (middle half {low:.4g} to {high:.4g})"


def ratio_interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The median of paired ratios and its 95 % interval from order statistics (binomial, distribution-free)."""
    from scipy.stats import binom

    ordered = sorted(ratios)
    last = len(ordered) - 1
    lower = min(max(int(binom.ppf(0.025, len(ordered), 0.5)) - 1, 0), last)
    return statistics.median(ordered), ordered[lower], ordered[last - lower]
