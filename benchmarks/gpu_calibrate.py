"""Calibrate a real GPU and check the meter on it, within ten minutes, and keep every sample.

    python benchmarks/gpu_calibrate.py [--out build/gpu_calibrate] [--gpu 0] [--minutes 9.5]

It runs `llem calibrate` and then the sensors' part of `benchmarks/gpu_meter.py`, and ends what is not done in time. In
`--out`: what each printed, and a trace of each record and of its loads.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from _report import machine, pressure

LLEM = Path(sys.executable).with_name("llem")
GRACE_S = 10.0


def run(name: str, command: list[str], out: Path, until_s: float) -> None:
    """Run a command to its end, or to `until_s`; what it prints is shown, and kept in `out`."""
    print(f"\n{name}: {' '.join(command)}", flush=True)
    began_s = time.monotonic()
    with (out / f"{name}.txt").open("w") as report:
        process = subprocess.Popen(command, stdout=report, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            process.wait(max(until_s - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            stop(process)
            print(f"{name}: not done in time, ended")
    print((out / f"{name}.txt").read_text())
    print(f"{name}: exit code {process.returncode} after {time.monotonic() - began_s:.0f} s", flush=True)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a command and what it started: as Ctrl-C does, and if that does not help, for good."""
    for number in (signal.SIGINT, signal.SIGKILL):
        os.killpg(process.pid, number)
        try:
            process.wait(GRACE_S)
            return
        except subprocess.TimeoutExpired:
            continue


def main() -> None:
    """Both, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/gpu_calibrate"))
    parser.add_argument("--gpu", default="0")
    parser.add_argument("--minutes", type=float, default=9.5)
    options = parser.parse_args()
    until_s = time.monotonic() + 60 * options.minutes - GRACE_S
    options.out.mkdir(parents=True)
    print(f"{machine()}\npressure: {pressure()}")
    calibrate = [
        str(LLEM),
        "calibrate",
        "--gpu",
        options.gpu,
        "--hold",
        "15",
        "--trace",
        str(options.out / "calibrate"),
    ]
    run("calibrate", calibrate, options.out, until_s)
    meter = [sys.executable, str(Path(__file__).with_name("gpu_meter.py")), "--sensors"]
    run("gpu_meter", [*meter, "--out", str(options.out / "gpu_meter")], options.out, until_s)


if __name__ == "__main__":
    main()
