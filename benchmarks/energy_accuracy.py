"""The same power through labledger, Zeus and CodeCarbon: true joules, each tool's answer and error, and our bound.

    python -m venv build/peers
    build/peers/bin/pip install torch==2.13.0 && build/peers/bin/pip install -e . zeus codecarbon
    build/peers/bin/python benchmarks/energy_accuracy.py [--seconds 10] [--only PART] [--boards DIR] [TRACE.parquet ...]

It has three parts.

- `arithmetic`: real boards beside an external meter, recorded in DIR, and what each tool's arithmetic makes of their
  polls (`_boards.py` says which arithmetic, and where the data is from). It needs no peer.
- `played`: the same recordings on a stand-in for NVIDIA's library, for boards without a counter; the tools run for
  real, all at once, over one window of each.
- `modelled`: the same on a board whose power is a formula. It is modelled on published ones: a counter that is exact at
  its ticks, every 100 ms, and a power field that is renewed every 100 ms with the mean of the last 25 ms, which
  flickers by half a watt (Zeus leaves out what repeats). A recorded trace (columns as in docs/energy.md) is played as
  it was read; the truth is then the counter itself, and the tools differ by what they make of it.
"""

import argparse
import itertools
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from _report import machine, pressure

# `_boards` is imported inside functions: the peers' processes import this file as they start, and give up after 10 s.
ROOT = Path(__file__).resolve().parent.parent
STANDIN = ROOT / "tests" / "standins" / "nvml"
FOLDER = ROOT.parent / "shared" / "data" / "power_meter"
TICK_S, FIELD_MEAN_S, STEP_S = 0.1, 0.025, 0.001
BEFORE_S, AFTER_S = 20.0, 3.0  # the tools take seconds to start
LATE_S, ATTEMPTS, IDLE_ENDS_S = 0.1, 6, 30.0
OFF_TICK_S = 0.023
LIMIT_W = 700.0
PARTS = ("arithmetic", "played", "modelled")


def square(period_s, phase, low_w=100.0, high_w=600.0):
    """Half of each period high, half low."""
    return lambda t: high_w if (t / period_s + phase) % 1 < 0.5 else low_w


def traces(seconds):
    """Name, power as a function of seconds from the window's start, and when every read hangs."""
    middle_s = seconds / 2
    yield "constant 100 W", lambda t: 100.0, []
    yield "step 60 to 600 W", lambda t: 60.0 if t < middle_s + 0.037 else 600.0, []
    yield "step down at the end", lambda t: 600.0 if t < seconds - 0.12 else 60.0, []
    yield "ramp 50 to 700 W", lambda t: 50.0 + 650.0 * min(max(t / seconds, 0.0), 1.0), []
    for phase in (0.0, 0.25, 0.6):
        yield f"square 100 ms, phase {phase:g}", square(0.1, phase), []
    yield "square 50 ms", square(0.05, 0.1), []
    yield "square 1 s", square(1.0, 0.3), []
    yield "bursts 10 ms of 100 ms", lambda t: 650.0 if t % 0.1 < 0.01 else 80.0, []
    hangs = [[1.3, 1.9], [3.1, 3.35], [middle_s, middle_s + 0.8]]
    yield "square 1 s, reads hang 0.25-0.8 s", square(1.0, 0.3), hangs


class Truth:
    """The integral of a power in steps of a millisecond, exact for what is constant within one."""

    def __init__(self, power, start_s, end_s):
        self.start_s = start_s
        self.joules = [0.0]
        for step in range(math.ceil((end_s - start_s) / STEP_S)):
            self.joules.append(self.joules[-1] + power(start_s + (step + 0.5) * STEP_S) * STEP_S)

    def at(self, moment_s):
        """Joules from the start to a moment."""
        position = (moment_s - self.start_s) / STEP_S
        step = min(int(position), len(self.joules) - 2)
        return self.joules[step] + (position - step) * (self.joules[step + 1] - self.joules[step])


def modelled_board(power, seconds):
    """The stand-in's rows and the truth; the stand-in's time begins BEFORE_S before the window."""
    truth = Truth(power, -BEFORE_S - TICK_S, seconds + AFTER_S)
    rows, noise = [], random.Random(1)  # noqa: S311 - a flicker
    for tick in range(int((BEFORE_S + seconds + AFTER_S - 0.2) / TICK_S)):
        moment_s = tick * TICK_S - BEFORE_S
        watts = (truth.at(moment_s) - truth.at(moment_s - FIELD_MEAN_S)) / FIELD_MEAN_S + noise.uniform(-0.5, 0.5)
        rows.append([tick * TICK_S, 1000.0 + truth.at(moment_s), watts, 45.0])
    return rows, truth.at


def recorded_board(path):
    """A trace's rows, from its first read on; the truth is its counter, straight between its ticks."""
    import numpy as np

    from llenergymeasure.energy.samples import read_trace

    recording = read_trace(path)
    device = recording.devices()[0]
    samples, rows, watts, degrees = recording.samples(device), [], 0.0, 45.0
    for sample in samples:
        watts = watts if sample.power_w is None else sample.power_w
        degrees = degrees if sample.temperature_c is None else sample.temperature_c
        if sample.joules is not None:
            rows.append([sample.after_s - samples[0].before_s, sample.joules, watts, degrees])
    ticks = [row for before, row in zip([rows[0], *rows], rows, strict=False) if row[1] != before[1]]
    moments_s, joules = [row[0] - BEFORE_S for row in ticks], [row[1] for row in ticks]
    return rows, lambda moment_s: float(np.interp(moment_s, moments_s, joules))


def played_board(folder, recordings):
    """The stand-in's board of a recording's fields, the truth, and the window's seconds; it begins as `modelled_board`.

    The window begins and ends half a second inside of the recording. Outside of that the sensor's first and last values
    hold, and the meter's mean power of its first and last 0.3 s: the boards idle there.
    """
    import numpy as np
    from _boards import new_values, read

    polls = [read(folder, recording) for recording in recordings]
    meter_s, meter_j = with_idle_ends(polls[0].meter_s, polls[0].meter_j)
    start_s, end_s = polls[0].meter_s[0] + 0.5, polls[0].meter_s[-1] - 0.5
    powers = {}
    for recording, each in zip(recordings, polls, strict=True):
        moments_s, watts = new_values(each)
        powers[recording.field] = list(zip((moments_s - start_s + BEFORE_S).tolist(), watts.tolist(), strict=True))
    name, limit_w = recordings[0].board, recordings[0].limit_w
    board = {"name": name, "limit_w": limit_w, "architecture": "KEPLER" if "K40" in name else "AMPERE"}
    board |= {"rows": [[0.0, 0.0, 0.0, 45.0]], "no_counter": True, "powers": powers}
    return board, lambda moment_s: float(np.interp(moment_s + start_s, meter_s, meter_j)), end_s - start_s


def with_idle_ends(meter_s, meter_j):
    """A meter's moments and joules, prolonged at both ends by its mean power there."""
    import numpy as np

    first_j, last_j = (np.interp([meter_s[0] + 0.3, meter_s[-1] - 0.3], meter_s, meter_j) - meter_j[[0, -1]]) / 0.3
    ends_j = meter_j[0] - first_j * IDLE_ENDS_S, meter_j[-1] - last_j * IDLE_ENDS_S
    moments_s = [meter_s[0] - IDLE_ENDS_S, *meter_s, meter_s[-1] + IDLE_ENDS_S]
    return np.array(moments_s), np.array([ends_j[0], *meter_j, ends_j[1]])


def measure(seconds, source):
    """In a process of its own: every tool over one window; what each found, and when its window was."""
    from codecarbon import OfflineEmissionsTracker
    from zeus.monitor import PowerMonitor, ZeusMonitor

    from llenergymeasure import measure_energy

    board_file = Path(os.environ["NVML_STANDIN"])
    power_monitor = PowerMonitor(gpu_indices=[0])
    counter_monitor = ZeusMonitor(gpu_indices=[0], cpu_indices=[]) if source == "nvml_counter" else None
    tracker = OfflineEmissionsTracker(
        country_iso_code="FRA", save_to_file=False, log_level="critical", tracking_mode="machine", gpu_ids=[0]
    )
    power_monitor.stop()
    # The tools are up and their libraries loaded; now the trace begins, for them and for their children.
    began_s = time.monotonic()
    board_file.write_text(json.dumps({**json.loads(board_file.read_text()), "began_s": began_s}))
    __import__("pynvml").nvmlInit()
    power_monitor = PowerMonitor(gpu_indices=[0])
    wait_until(began_s + BEFORE_S - 3.0)
    tracker.start()
    tracked_from_s = time.monotonic()
    with measure_energy(source=source) as window:
        own_start_s = time.monotonic()
        wait_until(began_s + BEFORE_S + OFF_TICK_S)
        if counter_monitor:
            counter_monitor.begin_window("all", sync_execution=False)
        start_s, start_wall_s = time.monotonic(), time.time()
        if start_s > began_s + BEFORE_S + OFF_TICK_S + LATE_S:
            sys.exit("the tools took too long to start: run again when less else runs")
        wait_until(start_s + seconds - 2 * OFF_TICK_S)  # neither edge on a tick
        end_s, end_wall_s = time.monotonic(), time.time()
        counted = counter_monitor and counter_monitor.end_window("all", sync_execution=False)
        own_end_s = time.monotonic()
    tracked_to_s = time.monotonic()
    tracker.stop()
    try:
        integrated_j = (power_monitor.get_energy(start_wall_s, end_wall_s) or {}).get(0)
    except ValueError:  # the board has no field that it reads
        integrated_j = None
    power_monitor.stop()
    offset_s = began_s + BEFORE_S
    return {
        "window": [start_s - offset_s, end_s - offset_s],
        "own_window": [own_start_s - offset_s, own_end_s - offset_s],
        "ours": [window.energy_j, window.energy_uncertainty.edge_j, window.energy_uncertainty_j],
        "verdict": window.verdict,
        "zeus_power": integrated_j,
        "zeus_counter": counted and counted.gpu_energy[0],
        "tracked": [tracked_from_s - offset_s, tracked_to_s - offset_s],
        "codecarbon": tracker.final_emissions_data.gpu_energy * 3.6e6,
    }


def wait_until(moment_s):
    """Sleep until then."""
    time.sleep(max(moment_s - time.monotonic(), 0))


def in_a_process(board, seconds, folder, source="nvml_counter", **driver):
    """`measure` with the stand-in in the place of NVIDIA's library and tool."""
    file = folder / "board.json"
    board = {"uuid": "GPU-stand-in", "name": "stand-in", "limit_w": LIMIT_W, **board}
    file.write_text(json.dumps({"began_s": time.monotonic(), "boards": [board], **driver}))
    smi = folder / "nvidia-smi"
    smi.write_text("#!/bin/sh\n")
    smi.chmod(0o755)
    environment = {
        **os.environ,
        "NVML_STANDIN": str(file),
        "PYTHONPATH": str(STANDIN),
        "PATH": f"{folder}:{os.environ['PATH']}",
    }
    command = [sys.executable, __file__, "--seconds", str(seconds), "--measure", source]
    for _ in range(ATTEMPTS):  # on a machine that is busy a tool may give up while it starts
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode == 0:
            return json.loads(done.stdout.splitlines()[-1])
    sys.exit(done.stderr)


def row(name, found, truth_at, whole=False):
    """One line of a table: errors in joules and percent, each of the tool's own window (`true` is of Zeus's).

    Beside ours is the bound on the edges, or the `whole` one.
    """
    true_j, own_j, tracked_j = (
        truth_at(end_s) - truth_at(start_s)
        for start_s, end_s in (found["window"], found["own_window"], found["tracked"])
    )
    energy_j, edge_j, bound_j = found["ours"]
    beside_j = bound_j if whole else edge_j

    def error(value_j, of_j):
        share = "" if value_j is None else f"{value_j - of_j:+9.2f} ({(value_j - of_j) / of_j:+7.2%})"
        return f"{share or 'none':>19}"

    held = "held" if energy_j is not None and abs(energy_j - own_j) <= beside_j else "BROKEN"
    print(
        f"{name:34} {true_j:9.1f}  {error(energy_j, own_j)} ±{beside_j or math.nan:5.{0 if whole else 1}f} {held:6} "
        f"{error(found['zeus_power'], true_j)}  {error(found['zeus_counter'], true_j)}  "
        f"{error(found['codecarbon'], tracked_j)}  {found['verdict']}",
        flush=True,
    )


def heading(name, bound):
    """The heading of a table of rows."""
    print(
        f"{name:34} {'true':>9}  {'labledger':>19} {'±' + bound:>6} {'bound':6} {'Zeus PowerMonitor':>19}  "
        f"{'ZeusMonitor':>19}  {'CodeCarbon':>19}  our verdict"
    )


def play_modelled(seconds, recorded, folder):
    """The table of the modelled board, and of traces that were recorded."""
    print(f"\n{versions()}; a modelled board with a counter; windows of {seconds:g} s; joules\n")
    heading("trace", "edge")
    for name, power, hangs in traces(seconds):
        rows, truth_at = modelled_board(power, seconds)
        hangs = [[start_s + BEFORE_S, end_s + BEFORE_S] for start_s, end_s in hangs]
        row(name, in_a_process({"rows": rows, "hangs": hangs}, seconds, folder), truth_at)
    for path in recorded:
        rows, truth_at = recorded_board(path)
        row(path.stem, in_a_process({"rows": rows}, seconds, folder), truth_at)


def play_boards(folder, scratch):
    """The table of the recorded boards, played."""
    from _boards import DRIVER, RECORDINGS

    print(f"\n{versions()}; recorded boards, played as boards without a counter; joules\n")
    heading("recording", "bound")
    for file, recordings in itertools.groupby(RECORDINGS, lambda recording: recording.file):
        board, truth_at, seconds = played_board(folder, list(recordings))
        row(file, in_a_process(board, seconds, scratch, "nvml_power", driver=DRIVER), truth_at, whole=True)


def versions():
    """The peers' versions."""
    return f"zeus {version('zeus')}, codecarbon {version('codecarbon')}"


def main():
    """The tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recorded", nargs="*", type=Path, help="Parquet traces to play as well.")
    parser.add_argument("--seconds", type=float, default=10.0, help="Length of a window of a modelled board.")
    parser.add_argument("--boards", type=Path, default=FOLDER, help="Folder of the recorded boards.")
    parser.add_argument("--only", choices=PARTS, help="One part alone.")
    parser.add_argument("--measure", metavar="SOURCE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.seconds, options.measure)))
        return
    print(f"{machine()}\npressure before: {pressure()}")
    parts = [options.only] if options.only else PARTS
    has_boards = options.boards.is_dir()
    if not has_boards:
        print(f"\nno recorded boards: there is no folder {options.boards}")
    if has_boards and "arithmetic" in parts:
        from _boards import print_tables

        print_tables(options.boards)
    with tempfile.TemporaryDirectory() as scratch:
        if has_boards and "played" in parts:
            play_boards(options.boards, Path(scratch))
        if "modelled" in parts:
            play_modelled(options.seconds, options.recorded, Path(scratch))
    print(f"\npressure after: {pressure()}")


if __name__ == "__main__":
    main()
