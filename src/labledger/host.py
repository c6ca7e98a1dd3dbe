"""The facts of this machine. Nothing here raises or waits long.

Each is None where it cannot be seen: the `not_known` of its record then has the reason, by its name.
"""

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

from labledger.nvml import load_nvml

MB = 1e6
GB = 1e9
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


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
    not_known: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Gpus:
    """The GPUs, and their driver; `unavailable` is the reason why none can be seen."""

    devices: tuple[Gpu, ...] = ()
    driver_version: str | None = None
    cuda_version: str | None = None
    unavailable: str | None = None
    not_known: dict[str, str] = field(default_factory=dict)


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
    not_known: dict[str, str] = field(default_factory=dict)


def read_host() -> Host:
    """Return this machine's facts, in some tens of milliseconds."""
    container, digest = _container()
    facts = {
        "cpu_model": _cpu_model(),
        "cpu_physical_cores": psutil.cpu_count(logical=False),
        "cpu_logical_cores": psutil.cpu_count(),
        "cpu_governor": _first_line(GOVERNOR),
        "ram_mb": psutil.virtual_memory().total / MB,
        "container": container,
        "image_digest": digest,
    }
    reasons = {
        **dict.fromkeys(("cpu_model", "cpu_physical_cores", "cpu_logical_cores"), "the system does not tell it"),
        "cpu_governor": f"there is no {GOVERNOR}: a virtual machine, or a system without frequency scaling",
        "container": "no mark of docker, podman or kubernetes was found",
        "image_digest": f"{container} does not tell it inside of a container" if container else "no container was seen",
    }
    return Host(
        python_version=platform.python_version(),
        os=platform.platform(),
        packages=installed_packages(),
        not_known={name: reasons[name] for name, value in facts.items() if value is None},
        **facts,  # type: ignore[arg-type]
    )


def describe_machine() -> str:
    """Return this machine in words: "AMD EPYC, 2 cores, 25 GB, NVIDIA H200"; its name is not among them."""
    cores = psutil.cpu_count()
    words = [_cpu_model() or "an unknown processor", *([f"{cores} cores"] if cores else [])]
    words += [f"{psutil.virtual_memory().total / GB:.0f} GB"]
    return ", ".join([*words, *(gpu.name or "an unnamed GPU" for gpu in read_gpus().devices)])


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
    nvml = load_nvml()

    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Gpus(unavailable=f"NVML: {error}")
    try:
        driver = _Answers(nvml)
        cuda = driver.of("cuda_version", nvml.nvmlSystemGetCudaDriverVersion_v2)
        if cuda == 0:
            driver.reasons["cuda_version"] = "the driver supports no CUDA"
        return Gpus(
            devices=tuple(_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount())),
            driver_version=driver.of("driver_version", nvml.nvmlSystemGetDriverVersion),
            cuda_version=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None,
            not_known=driver.reasons,
        )
    except nvml.NVMLError as error:
        return Gpus(unavailable=f"NVML: {error}")
    finally:
        nvml.nvmlShutdown()


def _gpu(nvml: Any, index: int) -> Gpu:
    handle, board = nvml.nvmlDeviceGetHandleByIndex(index), _Answers(nvml)
    memory = board.of("vram_mb", nvml.nvmlDeviceGetMemoryInfo, handle)
    limit_mw = board.of("power_limit_w", nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    ecc = board.of("ecc_enabled", nvml.nvmlDeviceGetEccMode, handle)
    persistence = board.of("persistence_mode", nvml.nvmlDeviceGetPersistenceMode, handle)
    mig = board.of("mig_enabled", nvml.nvmlDeviceGetMigMode, handle)
    return Gpu(
        index=index,
        name=board.of("name", nvml.nvmlDeviceGetName, handle),
        uuid=board.of("uuid", nvml.nvmlDeviceGetUUID, handle),
        vram_mb=None if memory is None else memory.total / MB,
        sm_clock_mhz=board.of("sm_clock_mhz", nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM),
        memory_clock_mhz=board.of("memory_clock_mhz", nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_MEM),
        power_limit_w=None if limit_mw is None else limit_mw / 1e3,
        ecc_enabled=None if ecc is None else bool(ecc[0]),
        persistence_mode=None if persistence is None else bool(persistence),
        mig_enabled=None if mig is None else bool(mig[0]),
        not_known=board.reasons,
    )


class _Answers:
    """The driver's answers, and by the name of the fact the reason where it has none."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self.reasons: dict[str, str] = {}

    def of(self, fact: str, question: Callable[..., Any], *arguments: Any) -> Any:
        """Return the answer to a question; None where this board or driver has none."""
        try:
            return question(*arguments)
        except self._nvml.NVMLError as error:
            self.reasons[fact] = f"NVML: {error}"
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
