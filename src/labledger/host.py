"""The facts of this machine. Each is None where it cannot be seen, and nothing here raises or waits long."""

import os
import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import HeaderParser
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import psutil

MB = 1e6


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU as its driver reports it."""

    index: int
    name: str | None = None
    uuid: str | None = None
    vram_mb: float | None = None
    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    power_limit_w: float | None = None
    ecc_enabled: bool | None = None
    persistence_mode: bool | None = None
    mig_enabled: bool | None = None


@dataclass(frozen=True)
class Gpus:
    """The GPUs, and their driver; `unavailable` is the reason why none can be seen."""

    devices: tuple[Gpu, ...] = ()
    driver_version: str | None = None
    cuda_version: str | None = None
    unavailable: str | None = None


@dataclass(frozen=True)
class Host:
    """The machine without its GPUs."""

    python_version: str
    os: str
    cpu_model: str | None
    cpu_physical_cores: int | None
    cpu_logical_cores: int | None
    cpu_governor: str | None
    ram_mb: float | None
    container: str | None
    image_digest: str | None
    packages: dict[str, str] = field(default_factory=dict)


def read_host() -> Host:
    """Return this machine's facts, in some tens of milliseconds."""
    container, digest = _container()
    return Host(
        python_version=platform.python_version(),
        os=platform.platform(),
        cpu_model=_cpu_model(),
        cpu_physical_cores=psutil.cpu_count(logical=False),
        cpu_logical_cores=psutil.cpu_count(),
        cpu_governor=_first_line(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        ram_mb=psutil.virtual_memory().total / MB,
        container=container,
        image_digest=digest,
        packages=installed_packages(),
    )


def installed_packages() -> dict[str, str]:
    """Return the name and version of each installed distribution, by name."""
    found = dict(map(_name_and_version, distributions()))
    return dict(sorted((name, version) for name, version in found.items() if name and version))


def _name_and_version(distribution: Distribution) -> tuple[str | None, str | None]:
    """Return both from the headers alone: the description after them is most of the text, and takes long to parse."""
    text = distribution.read_text("METADATA")
    headers = HeaderParser().parsestr(text.partition("\n\n")[0]) if text else distribution.metadata
    return headers["Name"], headers["Version"]


@dataclass(frozen=True)
class CpuContention:
    """Seconds since the machine started; None where the kernel does not count them.

    `waited_s`: in which some task waited for a core (Linux's pressure stall information, the `some` line of
    /proc/pressure/cpu). `stolen_core_s`: that a hypervisor gave to other machines, summed over the cores.
    """

    waited_s: float | None
    stolen_core_s: float | None


def read_cpu_contention() -> CpuContention:
    """Return how long this machine's work has waited for its processor so far, in seconds."""
    line = _first_line(Path("/proc/pressure/cpu")) or ""
    _, _, waited_us = line.partition("total=")
    steal_s = getattr(psutil.cpu_times(), "steal", None)
    return CpuContention(int(waited_us) / 1e6 if waited_us.isdecimal() else None, steal_s)


def git_commit(folder: Path) -> str | None:
    """Return the commit checked out where `folder` is tracked by git, with `-dirty` where files differ from it."""
    try:
        _git(folder, "ls-files", "--error-unmatch", ".")  # fails where the folder is not in the repository
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("-dirty" if changed else "")


def read_gpus() -> Gpus:
    """Return the NVIDIA GPUs that the driver shows to this process."""
    import pynvml as nvml

    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Gpus(unavailable=f"NVML: {error}")
    try:
        cuda = _answer_of(nvml, nvml.nvmlSystemGetCudaDriverVersion_v2)
        return Gpus(
            devices=tuple(_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount())),
            driver_version=_answer_of(nvml, nvml.nvmlSystemGetDriverVersion),
            cuda_version=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None,
        )
    except nvml.NVMLError as error:
        return Gpus(unavailable=f"NVML: {error}")
    finally:
        nvml.nvmlShutdown()


def _gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = _answer_of(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    limit_mw = _answer_of(nvml, nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    ecc = _answer_of(nvml, nvml.nvmlDeviceGetEccMode, handle)
    persistence = _answer_of(nvml, nvml.nvmlDeviceGetPersistenceMode, handle)
    mig = _answer_of(nvml, nvml.nvmlDeviceGetMigMode, handle)
    return Gpu(
        index=index,
        name=_answer_of(nvml, nvml.nvmlDeviceGetName, handle),
        uuid=_answer_of(nvml, nvml.nvmlDeviceGetUUID, handle),
        vram_mb=None if memory is None else memory.total / MB,
        sm_clock_mhz=_answer_of(nvml, nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM),
        memory_clock_mhz=_answer_of(nvml, nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_MEM),
        power_limit_w=None if limit_mw is None else limit_mw / 1e3,
        ecc_enabled=None if ecc is None else bool(ecc[0]),
        persistence_mode=None if persistence is None else bool(persistence),
        mig_enabled=None if mig is None else bool(mig[0]),
    )


def _answer_of(nvml: Any, question: Callable[..., Any], *arguments: Any) -> Any:
    """Return the driver's answer; None where this board or driver has none."""
    try:
        return question(*arguments)
    except nvml.NVMLError:
        return None


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or None
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, None) or platform.machine() or None


def _container() -> tuple[str | None, str | None]:
    """Return the kind of container that this process runs in, and its image's id where the engine gives it."""
    podman = Path("/run/.containerenv")
    if podman.exists():
        lines = (_text(podman) or "").splitlines()
        ids = (line.partition("=")[2].strip('"') for line in lines if line.startswith("imageid="))
        return "podman", next(ids, None)
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes", None
    return ("docker", None) if Path("/.dockerenv").exists() else (None, None)


def _first_line(path: Path) -> str | None:
    text = _text(path)
    return text.splitlines()[0].strip() if text else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(  # noqa: S603 - fixed arguments, no shell
        ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
        capture_output=True,
        text=True,
        check=True,
        timeout=5,
    ).stdout.strip()
