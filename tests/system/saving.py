"""Processes that save results, for the tests that kill them and cut their power; and what such a test looks at."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llenergymeasure.results.timeseries import write_timeseries_parquet
from small_result import make_samples

# It imports once, and then forks savers for each line that it reads: starting Python for each would take minutes.
SAVERS = """
import itertools, os, sys
from pathlib import Path

sys.path[:0] = sys.argv[1].split(os.pathsep)
from small_result import make_raw_result, make_result
from llenergymeasure.results.persistence import save_raw_result, save_result

def report(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def save_one(name, folder):
    if folder.name.startswith("raw"):
        return save_raw_result(make_raw_result(name), folder)
    return save_result(make_result(experiment_id=name), folder, Path(sys.argv[2]))

def save(folder, saves):
    for number in range(saves) if saves else itertools.count():
        name = f"{os.getpid()}-{number}"
        try:
            report("saved", name, save_one(name, Path(folder)))
        except OSError as error:
            report("failed", error)
            return

for line in sys.stdin:
    processes, saves, folder = line.rstrip("\\n").split(" ", 2)
    started = []
    for _ in range(int(processes)):
        if (pid := os.fork()) == 0:
            save(folder, int(saves))
            os._exit(0)
        started.append(pid)
        report("pid", pid)
    for pid in started:
        os.waitpid(pid, 0)
    report("ended")
"""


class Savers:
    """Starts processes that save results; `saved` maps the path of each acknowledged one to its experiment's id."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.saved: dict[Path, str] = {}
        self.failed: list[str] = []
        self.pids: list[int] = []
        self._process = process
        self._save_s = 0.01  # how long a save takes here and now, as far as is known

    def start(self, folder: Path, processes: int = 1, saves: int = 0) -> None:
        """Have `processes` save to `folder`, each `saves` times; 0: until they are stopped.

        They save results; to a folder of which the name begins with "raw", results of single processes.
        """
        self.saved, self.failed, self.pids = {}, [], []
        self._process.stdin.write(f"{processes} {saves} {folder}\n")
        self._process.stdin.flush()
        while len(self.pids) < processes and self._read():
            pass

    def wait_for(self, count: int) -> None:
        """Return when `count` results are acknowledged."""
        while len(self.saved) < count and self._read():
            pass

    def end(self) -> None:
        """Return when all that were started have ended."""
        while self._read():
            pass

    def killed_while_saving(self, folder: Path, moments: random.Random) -> None:
        """Have one save to `folder` until it is killed: at a random moment of its first, second or third save."""
        began_s = time.monotonic()
        self.start(folder)
        self.wait_for(before := moments.randrange(3))
        if before:
            self._save_s = (time.monotonic() - began_s) / before
        time.sleep(moments.uniform(0, self._save_s))
        os.kill(self.pids[0], signal.SIGKILL)
        self.end()

    def _read(self) -> bool:
        line = self._process.stdout.readline()
        if not line:
            raise EOFError("the savers' parent has died")
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "saved":
            name, _, path = rest.partition(" ")
            self.saved[Path(path)] = name
        elif word == "pid":
            self.pids.append(int(rest))
        elif word == "failed":
            self.failed.append(rest)
        return word != "ended"


@contextmanager
def savers_of(sidecar: Path) -> Iterator[Savers]:
    """Savers of results that have `sidecar` beside them; none outlives the block."""
    here = Path(__file__).parent
    command = [sys.executable, "-c", SAVERS, f"{here}{os.pathsep}{here.parent}", sidecar]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield Savers(process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def make_sidecar(folder: Path, rows: int = 100) -> Path:
    """A timeseries to be saved beside a result."""
    return write_timeseries_parquet(make_samples(rows), folder / "source.parquet")


def moments_of(seed: int) -> random.Random:
    """The random moments of a test, the same each time."""
    return random.Random(seed)  # noqa: S311 - they are no secret


def everything_in(folder: Path) -> dict[Path, bytes | None]:
    """Every file below `folder` with its bytes, every folder with None, hidden ones too."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def with_folder_and_sidecar(results: set[Path]) -> set[Path]:
    """All that there should be where `results` were saved."""
    return {path for each in results for path in (each, each.parent, each.parent / "timeseries.parquet")}
