"""`llem results list`, `export` and `sql` at a folder of many results: CPU seconds and peak memory, by their number.

    .venv/bin/python benchmarks/many_results.py [--sizes 5000 50000] [--before SRC]

The results are one real one, of `examples/quickstart.yaml`, with other ids, times and joules. `--before` names the
`src` of another version of labledger, which is measured beside this one: each command of both in turn.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from _report import machine, pressure

from labledger.documents import sealed

ROOT = Path(__file__).parents[1]
PROGRAM = "import sys; sys.argv[0] = 'llem'; from llenergymeasure.cli.main import main; main()"
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
QUERY = "select model, batch_size, avg(energy_per_output_token_j) from results group by all"
COMMANDS = {
    "list": ("list", "{folder}"),
    "export to Parquet": ("export", "{folder}", "--format", "parquet", "--output", "{folder}/.all.parquet"),
    "sql, a mean by configuration": ("sql", QUERY, "--dir", "{folder}"),
}


class Cost(NamedTuple):
    """What one command took."""

    cpu_s: float
    peak_mb: float


def llem(source: Path, *arguments: str) -> Cost:
    """Run `llem` of the version in `source`, and return what it took."""
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)}: exit code {process.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)


def fill(folder: Path, count: int, document: dict[str, Any]) -> None:
    """Write `count` results that differ from `document` in id, times and joules; not synced, for this is not timed."""
    for number in range(count):
        start = BEGAN + timedelta(minutes=number)
        each = document | {
            "experiment_id": f"{start:%Y%m%d-%H%M%S}-{number:08x}",
            "start_time": start.isoformat(),
            "end_time": (start + timedelta(seconds=30)).isoformat(),
            "total_energy_j": 100.0 + number % 97,
        }
        place = folder / f"random-llama_pytorch_{start:%Y-%m-%dT%H-%M}"
        place.mkdir(parents=True)
        (place / "result.json").write_bytes(sealed(json.dumps(each, indent=2), timeseries_sha256=None))


def real_result(folder: Path) -> dict[str, Any]:
    """Measure once, and return the result's document without its seal and its sidecar."""
    llem(ROOT / "src", "run", str(ROOT / "examples/quickstart.yaml"), "--output", str(folder))
    (path,) = folder.glob("*/result.json")
    document = json.loads(path.read_bytes())
    return {name: value for name, value in document.items() if name != "integrity"} | {"timeseries": None}


def report(size: int, folder: Path, sources: dict[str, Path]) -> None:
    """Print a row for each command, and the ratios where two versions are measured."""
    for name, words in COMMANDS.items():
        arguments = [word.format(folder=folder) for word in words]
        costs = {version: llem(source, "results", *arguments) for version, source in sources.items()}
        cells = [f"{cost.cpu_s:.1f} s, {cost.peak_mb:,.0f} MB" for cost in costs.values()]
        if len(costs) == 2:
            before, now = costs.values()
            cells.append(f"{now.cpu_s / before.cpu_s:.2f}, {now.peak_mb / before.peak_mb:.2f}")
        print(f"| {size:,} | {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5_000, 50_000])
    parser.add_argument("--before", type=Path)
    options = parser.parse_args()
    sources = ({"before": options.before} if options.before else {}) | {"now": ROOT / "src"}
    print(f"{machine()}\npressure: {pressure()}")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        document = real_result(Path(name) / "real")
        print(f"results of {len(json.dumps(document, indent=2)) / 1e3:.0f} KB\n")
        print(f"| results | command | {' | '.join(sources)} |{' ratios |' if options.before else ''}")
        print("|---" * (len(sources) + 2 + bool(options.before)) + "|")
        for size in options.sizes:
            fill(Path(name) / str(size), size, document)
            report(size, Path(name) / str(size), sources)


if __name__ == "__main__":
    main()
