"""Processes that store experiments in one database, for tests that run many at once and that kill them."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

# It imports once and then forks its writers. Iteration n of a writer goes with two events, in one transaction.
WRITERS = """
import itertools, os, sys, time

sys.path.append(sys.argv[1])
from payment_simulator.experiments.persistence import ExperimentRepository
from small_experiment import complete, event, experiment, iteration

path, (writers, iterations, close_every) = sys.argv[2], map(int, sys.argv[3:])

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def store(name):
    repository, began_s = ExperimentRepository(path), time.monotonic()
    repository.save_experiment(experiment(name))
    say("began", name)
    for number in range(1, iterations + 1) if iterations else itertools.count(1):
        with repository.transaction() as step:
            step.save_iteration(iteration(number, name))
            step.save_events([event("evaluation", name, iteration=number), event("converged", name, iteration=number)])
        took_s, began_s = time.monotonic() - began_s, time.monotonic()
        say("stored", name, number, took_s)
        if number % close_every == 0:
            repository.close()
    complete(repository, name)

children = []
for _ in range(writers):
    if (child := os.fork()) == 0:
        code = 1
        try:
            store(f"run-{os.getpid()}")
            code = 0
        except Exception as error:
            say("failed", repr(error))
        os._exit(code)
    children.append(child)
    say("pid", child)
for child in children:
    os.waitpid(child, 0)
"""


@dataclass
class Stored:
    """The lines that writers have printed."""

    iterations: list[tuple[str, int]] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    began: list[str] = field(default_factory=list)

    def read(self, line: str) -> None:
        """Take in a line of theirs."""
        word, *rest = line.split()
        if word == "stored":
            self.iterations.append((rest[0], int(rest[1])))
            self.waits_s.append(float(rest[2]))
        elif word == "pid":
            self.pids.append(int(rest[0]))
        elif word == "began":
            self.began.append(rest[0])
        else:
            self.failed.append(line)


class Writers:
    """So many processes that each store an experiment of so many iterations (0: until it is killed).

    Each gives the database back after every so many; and else when it does so by itself.
    """

    def __init__(self, path: Path, writers: int, iterations: int, *, close_every: int = 1000) -> None:
        tests = str(Path(__file__).parents[1])
        self.stored = Stored()
        self._process = subprocess.Popen(
            [sys.executable, "-c", WRITERS, tests, path, *map(str, [writers, iterations, close_every])],
            stdout=subprocess.PIPE,
            text=True,
        )

    def running(self) -> bool:
        """Return True if one has not ended."""
        return self._process.poll() is None

    def end(self) -> Stored:
        """Return the rows that they have stored, when all have ended."""
        for line in self._process.stdout:
            self.stored.read(line)
        self._process.wait()
        return self.stored

    def kill_after(self, iterations: int, seconds: float) -> Stored:
        """Kill the only one, so long after it has stored so many."""
        while len(self.stored.iterations) < iterations or not self.stored.pids:
            self.stored.read(self._process.stdout.readline())
        time.sleep(seconds)
        os.kill(self.stored.pids[0], signal.SIGKILL)
        return self.end()
