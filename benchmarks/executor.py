"""What a task costs in `labledger.executor`, beside `multiprocessing.Pool`, and how it scales from one worker to two.

    python benchmarks/executor.py [--repeats 7] [--tasks 60] [--task 0.1]

The tasks hash for so long, without memory or files. Both have two workers, fresh processes that get one task at a time,
in turns. Timed is from the first answer to the last, a task of both workers together; then the whole, with the start of
the workers. The work of a task that does nothing is all overhead.
"""

import argparse
import hashlib
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from _report import machine, pressure

from labledger.executor import run_all

WORKERS = 2
HASH = partial(hashlib.pbkdf2_hmac, "sha256", b"password", b"salt")
Road = Callable[[Sequence[int], int], Iterator[object]]


def by_executor(items: Sequence[int], workers: int) -> Iterator[object]:
    """Ours; with one worker the tasks are done in this process."""
    return run_all(HASH, items, max_workers=workers)


def by_pool(items: Sequence[int], workers: int) -> Iterator[object]:
    """The standard library's, with fresh processes, too."""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(HASH, items, chunksize=1)


def seconds(road: Road, items: Sequence[int], workers: int) -> tuple[float, float]:
    """Return the time of the whole, and that from the first answer to the last."""
    began_s, answers = time.perf_counter(), []
    for _ in road(items, workers):
        answers.append(time.perf_counter())
    return time.perf_counter() - began_s, answers[-1] - answers[0]


def rounds_of(task_s: float) -> int:
    """Return the rounds of hashing that take so long of a core here, at the quickest."""
    probe, least_s = 100_000, 10.0
    for _ in range(20):
        began_s = time.process_time()
        HASH(probe)
        least_s = min(least_s, time.process_time() - began_s)
    return max(1, int(task_s / least_s * probe))


def beside(rounds: int, tasks: int, repeats: int) -> None:
    """Print both roads, in turns."""
    roads: dict[str, Road] = {"labledger.executor": by_executor, "multiprocessing.Pool": by_pool}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in roads}
    for _ in range(repeats):
        for name, road in roads.items():
            found[name].append(seconds(road, [rounds] * tasks, WORKERS))
    for name, times in found.items():
        whole, steady = (min(each) for each in zip(*times, strict=True))
        print(f"  {name:<22} whole {whole:6.2f} s, a task {steady / (tasks - 1) * 1e3:9.3f} ms")
    ours, theirs = found.values()
    for which, name in enumerate(("whole", "a task")):
        ratios = [mine[which] / other[which] for mine, other in zip(ours, theirs, strict=True)]
        least = min(mine[which] for mine in ours) / min(other[which] for other in theirs)
        print(f"  ours / Pool, {name}: {least:.3f} of the least times, {statistics.median(ratios):.3f} median of pairs")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--tasks", type=int, default=60)
    parser.add_argument("--task", type=float, default=0.1, help="Seconds of a task.")
    options = parser.parse_args()
    print(f"{machine()}\nbefore: {pressure()}")
    rounds = rounds_of(options.task)
    print(f"{options.tasks} tasks of {options.task} s, {WORKERS} workers")
    beside(rounds, options.tasks, options.repeats)
    print(f"{100 * options.tasks:,} tasks that do nothing, {WORKERS} workers")
    beside(1, 100 * options.tasks, options.repeats)
    alone, together = (
        min(seconds(by_executor, [rounds] * options.tasks, workers)[0] for _ in range(options.repeats))
        for workers in (1, WORKERS)
    )
    scaled = f"{alone / together:.2f} times"
    print(f"1 worker {alone:.2f} s, {WORKERS} workers {together:.2f} s, their start included: {scaled}")
    print(f"after:  {pressure()}")


if __name__ == "__main__":
    main()
