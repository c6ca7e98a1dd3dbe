"""The runs of many cells, over the cores: what is missing in a store is simulated, and kept there."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from labledger.console import Progress, Silent
from labledger.counts import counted
from labledger.executor import LOCAL, run_all, workers_for
from payment_simulator.engine.choice import suited_engine
from payment_simulator.engine.simulate import Engine
from payment_simulator.sweeps.cells import Cells
from payment_simulator.sweeps.store import Store
from payment_simulator.sweeps.tasks import Draws, Tasks, Work

TASK_S = 0.4
"""The time that a task should take: it is kept when it is done, and lost where it is interrupted."""
TASKS_EACH = 4
"""The least number of tasks of each worker, so that none waits long for the last."""


@dataclass(frozen=True)
class Place:
    """Where runs are made: `on` and `workers` are those of `labledger.executor.run_all`."""

    on: str = LOCAL
    workers: int | None = None


def run_cells(
    cells: Cells,
    weights: Sequence[float],
    draws: Sequence[Draws],
    measure: str,
    store: Store,
    place: Place,
    progress: Progress | None = None,
) -> None:
    """Simulate the runs that `store` lacks, each of `draws` in each cell, and keep their figures by `measure` there.

    `weights` are the work of a run in each cell. The kernel is compiled, and a run timed, before workers start.

    Raises:
        ConfigError: a run cannot be made: its payments are too many, or too large.
        WorkerError: a worker process was killed twice at the same runs.
        OSError: what was found cannot be kept.
    """
    shown, runs = progress or Silent(), len(cells) * len(draws)
    if not store.missing(runs):
        return
    shown.phase("simulating the first run")
    engine, second_s = _first_run(cells, weights, draws, measure, store)
    missing = store.missing(runs)
    total_s = _weight(missing, weights, draws) * second_s
    workers = workers_for(total_s, place.workers)
    weight = min(TASK_S, total_s / (workers * TASKS_EACH)) / second_s
    tasks = Tasks(cells, draws, missing, weights, weight)
    stretches = tasks.stretches()
    shown.phase(f"simulating {counted(runs, 'run')} in {counted(len(cells), 'cell')}")
    with closing(run_all(Work(measure, engine), tasks, on=place.on, max_workers=workers, progress=shown)) as found:
        for done in found:
            store.save(*stretches[done.index], done.result())


def _first_run(
    cells: Cells, weights: Sequence[float], draws: Sequence[Draws], measure: str, store: Store
) -> tuple[Engine, float]:
    """Make the first run that is missing, and keep it; return what engine suits, and its seconds for a unit of weight.

    All runs are made by one engine, so that no worker compiles the kernel: it is done here.
    """
    begin, _ = store.missing(len(cells) * len(draws))[0]
    (task,) = Tasks(cells, draws, [(begin, begin + 1)], weights, 0.0)
    store.save(begin, begin + 1, Work(measure)(task))
    weight = weights[begin // len(draws)]
    left = _weight(store.missing(len(cells) * len(draws)), weights, draws)
    engine, took_s = suited_engine(lambda engine: Work(measure, engine)(task), left / weight)
    return engine, took_s / weight


def _weight(missing: Sequence[tuple[int, int]], weights: Sequence[float], draws: Sequence[Draws]) -> float:
    return sum(weights[run // len(draws)] for begin, end in missing for run in range(begin, end))
