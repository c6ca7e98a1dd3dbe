"""The lines beside every benchmark's table: the machine, the pressure on it, and ratios of pairs."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from labledger.host import read_gpus, read_host

CPU_INFO = Path("/proc/cpuinfo")
CPU_NUMBERS = ("cpu family", "model", "stepping")


def machine() -> str:
    """One line: processor with its model, cores, memory, GPUs."""
    host, gpus = read_host(), read_gpus()
    names = ", ".join(str(gpu.name) for gpu in gpus.devices) or "no GPU"
    memory = "unknown memory" if host.ram_mb is None else f"{host.ram_mb / 1e3:.0f} GB"
    return (
        f"{host.cpu_model or 'unknown processor'}{cpu_numbers(CPU_INFO)}, {host.cpu_logical_cores} cores, {memory}, "
        f"{names}; Python {host.python_version}"
    )


def cpu_numbers(path: Path) -> str:
    """Return the processor's family, model and stepping in brackets; empty where Linux does not list them.

    A hypervisor may cut the name to "AMD EPYC": the numbers still say which generation it is.
    """
    try:
        first = path.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        return ""
    listed = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
    found = [f"{key.removeprefix('cpu ')} {listed[key]}" for key in CPU_NUMBERS if listed.get(key)]
    return f" ({', '.join(found)})" if found else ""


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
