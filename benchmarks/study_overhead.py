"""A study's own time a run, beside a shell loop of `llem run`, and the share that `study: {process: shared}` saves.

    python benchmarks/study_overhead.py [--times 3] [--repeats 3]

Two cells of a tiny model on the CPU, which measure for well under a second: nearly all of the time is that of starting,
loading, checking and saving. The three ways are interleaved; times are of whole commands, over their number of runs.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _report import machine, pressure, ratio_interval

BATCH_SIZES = (1, 2)
EXPERIMENT = """\
model: random:llama
random_model: {hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 4, vocab_size: 512}
device: cpu
precision: fp32
num_prompts: 4
max_input_tokens: 16
max_output_tokens: 4
decoder: {ignore_eos: true}
warmup: {iterations: 0}
energy: {source: none}
"""
STUDY = "sweep: {{batch_size: {sizes}}}\nstudy: {{repeats: {repeats}, process: {process}}}\n"


def llem(folder: Path, *arguments: str) -> None:
    """Run a command of ours."""
    command = [str(Path(sys.executable).with_name("llem")), *arguments]
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def loop(folder: Path, repeats: int) -> None:
    """Do as a shell loop does."""
    (folder / "x.yaml").write_text(EXPERIMENT)
    for _ in range(repeats):
        for size in BATCH_SIZES:
            llem(folder, "run", "x.yaml", "--batch-size", str(size), "--quiet")


def study(process: str) -> Callable[[Path, int], None]:
    """Return what runs the same as a study."""

    def run(folder: Path, repeats: int) -> None:
        sections = STUDY.format(sizes=list(BATCH_SIZES), repeats=repeats, process=process)
        (folder / "s.yaml").write_text(EXPERIMENT + sections)
        llem(folder, "run", "s.yaml")

    return run


WAYS = {"a loop of llem run": loop, "a study, separate": study("separate"), "a study, shared": study("shared")}


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    runs = options.repeats * len(BATCH_SIZES)
    times_s: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(options.times):
        for name, way in WAYS.items():
            with tempfile.TemporaryDirectory() as folder:
                began_s = time.monotonic()
                way(Path(folder), options.repeats)
                times_s[name].append((time.monotonic() - began_s) / runs)
    print(f"{machine()}\npressure: {pressure()}\n{options.times} times {runs} runs each way, interleaved\n")
    alone, separate, shared = times_s.values()
    for name, values in times_s.items():
        middle, low, high = ratio_interval([own / other for own, other in zip(values, alone, strict=True)])
        print(
            f"{statistics.median(values):6.2f} s a run  this / the loop = {middle:.2f} [{low:.2f}, {high:.2f}]  {name}"
        )
    own_s = statistics.median(mine - theirs for mine, theirs in zip(separate, alone, strict=True))
    saved = statistics.median(1 - mine / theirs for mine, theirs in zip(shared, separate, strict=True))
    print(f"\nthe study's own time: {own_s:+.2f} s a run; shared saves {saved:.0%} of the time of a run")


if __name__ == "__main__":
    main()
