"""The time of `llem --help`, beside `codecarbon --help` and beside the imports that any such command needs.

    python benchmarks/startup.py [--runs 15] [--codecarbon PATH]

codecarbon is looked for in build/peers (make it with `python -m venv build/peers && build/peers/bin/pip install
codecarbon`). Runs are interleaved; figures are of whole processes.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from _report import machine, pressure, ratio_interval

IMPORTS = [sys.executable, "-c", "from pydantic import BaseModel; import typer.rich_utils"]


def seconds(command: list[str]) -> float:
    """Wall time of one run."""
    began_s = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began_s


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--codecarbon", default=shutil.which("codecarbon", path="build/peers/bin"))
    options = parser.parse_args()
    commands = {
        "llem --help": [str(Path(sys.executable).with_name("llem")), "--help"],
        "python -c 'from pydantic import BaseModel; import typer.rich_utils'": IMPORTS,
    }
    if options.codecarbon:
        version = subprocess.run(
            [str(Path(options.codecarbon).with_name("python")), "-m", "pip", "show", "codecarbon"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()[1]
        commands[f"codecarbon --help ({version})"] = [options.codecarbon, "--help"]
    times: dict[str, list[float]] = {name: [] for name in commands}
    for name in commands:
        seconds(commands[name])  # once, so that every file is in memory
    for _ in range(options.runs):
        for name, command in commands.items():
            times[name].append(seconds(command))
    print(f"{machine()}\npressure: {pressure()}\n{options.runs} interleaved runs\n")
    ours = times["llem --help"]
    for name, values in times.items():
        ratios = [mine / theirs for mine, theirs in zip(ours, values, strict=True)]
        middle, low, high = ratio_interval(ratios)
        print(f"{statistics.median(values) * 1e3:7.0f} ms  llem / this = {middle:.2f} [{low:.2f}, {high:.2f}]  {name}")


if __name__ == "__main__":
    main()
