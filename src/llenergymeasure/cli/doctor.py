"""`llem doctor`: the devices, energy sources, backends and files of this machine."""

from typing import TYPE_CHECKING

import typer

from labledger.commands import reporting_errors

if TYPE_CHECKING:
    from labledger.host import Gpus, Host
    from llenergymeasure.config.models import UserConfig
    from llenergymeasure.energy.sources import Sources

Facts = list[tuple[str, str]]


@reporting_errors
def doctor(ctx: typer.Context) -> None:
    """Show this machine's devices, energy sources and backends, and the paths of its files."""
    from labledger.console import print_facts
    from labledger.host import read_gpus, read_host
    from llenergymeasure.config.loading import load_user_config, user_config_problems
    from llenergymeasure.config.models import UserConfig

    problems = user_config_problems()
    user = UserConfig() if problems else load_user_config()
    host = read_host()
    print_facts("machine", _machine_facts(host, read_gpus()))
    title = (
        "energy sources (energy.source: auto takes the first GPU source that is available, and the first CPU source)"
    )
    print_facts(title, _energy_facts(user, host))
    print_facts("backends", _backend_facts())
    print_facts("files", _file_facts(problems))


def _machine_facts(host: "Host", gpus: "Gpus") -> Facts:
    from importlib.metadata import version

    facts = [
        ("labledger", version("labledger")),
        ("Python", host.python_version),
        ("system", host.os + (f", in {host.container}" if host.container else "")),
        ("CPU", f"{host.cpu_model}, {host.cpu_logical_cores} cores, governor {host.cpu_governor or 'unknown'}"),
        ("memory", f"{host.ram_mb / 1e3:.1f} GB" if host.ram_mb else "unknown"),
    ]
    if not gpus.devices:
        return [*facts, ("GPUs", f"none seen ({gpus.unavailable or 'the driver shows none'})")]
    facts.append(("NVIDIA driver", f"{gpus.driver_version}, CUDA {gpus.cuda_version}"))
    for gpu in gpus.devices:
        vram = f"{gpu.vram_mb / 1e3:.0f} GB" if gpu.vram_mb else "memory unknown"
        limit = f"limit {gpu.power_limit_w:.0f} W" if gpu.power_limit_w else "power limit unknown"
        facts.append((f"GPU {gpu.index}", f"{gpu.name}, {vram}, {limit}, {gpu.uuid}"))
    return facts


def _energy_facts(user: "UserConfig", host: "Host") -> Facts:
    from llenergymeasure.energy.sources import SOURCES, find_sources

    found = find_sources()
    facts: Facts = []
    for name, source in SOURCES.items():
        why = found.unavailable(name)
        facts.append((name, f"not available: {why}" if why else f"available: {source.describe(found, user)}"))
    return [*facts, *_sensor_facts(found), *_costs(found, host)]


def _sensor_facts(sources: "Sources") -> Facts:
    """Return the power sensor of each board, its fields, the one that sees most of the time first; and its settings."""
    from llenergymeasure.energy.power_sensors import board_lines
    from llenergymeasure.run.boards.problems import settable

    facts: Facts = []
    for board in sources.nvml.boards:
        first, *more = board_lines(board, sources.calibrations[board.uuid])
        facts += [(f"power of GPU {board.index}", first), *(("", line) for line in more)]
        facts.append((f"settings of GPU {board.index}", settable(board)))
    return facts


def _costs(sources: "Sources", host: "Host") -> Facts:
    """Return the cost of a missing source, and how to fix it."""
    facts: Facts = []
    if not sources.measures("cpu") and not sources.measures("gpu"):
        facts.append(("without a sensor", "energy is an estimate, and its verdict is not_measured"))
    elif not sources.measures("cpu"):
        facts.append(("without a CPU sensor", "the CPU's energy is an estimate; a GPU's total does not depend on it"))
    if sources.nvml.library_fails and host.container is not None:
        facts.append(
            (
                "in a container",
                "a GPU of the host is seen only if the container was started with it: docker run --gpus all, podman "
                "run --device nvidia.com/gpu=all, or nvidia.com/gpu in the pod's resource limits; without it GPU "
                "energy is unknown",
            )
        )
    return facts


def _backend_facts() -> Facts:
    from llenergymeasure.backends.registry import BACKENDS

    facts: Facts = []
    for name, backend in BACKENDS.items():
        first, *more = backend.checks().facts()
        facts += [(name, first), *(("", line) for line in more)]
    return facts


def _file_facts(problems: list[str]) -> Facts:
    """Return the paths of files; `problems` are those of the user configuration."""
    from llenergymeasure.config.loading import user_config_path
    from llenergymeasure.results.persistence import unsaved_folder

    config, unsaved = user_config_path(), unsaved_folder()
    waiting = sum(1 for _ in unsaved.glob("*/result.json"))
    if problems:
        state = "not used: runs refuse it until it is mended"
    else:
        state = "read" if config.is_file() else "not there, and the defaults hold; llem config init writes one"
    return [
        ("user configuration", f"{config} ({state})"),
        *(("", problem) for problem in problems),
        ("unsaved results", f"{unsaved} ({f'{waiting} waiting' if waiting else 'none'})"),
    ]
