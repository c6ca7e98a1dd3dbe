"""Sweeps: a scenario with each combination of settings, over the same draws."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labledger.executor import LOCAL
from payment_simulator.sweeps.cells import BuiltScenarios, CellInfo, Scenarios, WrittenScenarios
from payment_simulator.sweeps.jobs import Job, carry_out
from payment_simulator.sweeps.measures import MEASURES, Floats
from payment_simulator.sweeps.running import Place
from payment_simulator.sweeps.settings import Axis, axes_of, changes_of, checked_seeds
from payment_simulator.sweeps.tables import LEVEL, columns_of, rows_of
from payment_simulator.sweeps.tasks import Draws

if TYPE_CHECKING:
    import pyarrow

    from payment_simulator.scenario.schema import Scenario

SWEEP = "payments.sweep"


def sweep(
    scenario: "Path | str | Scenario",
    settings: Mapping[str, Sequence[Any]],
    *,
    seeds: Sequence[int] | None = None,
    output: Path | str | None = None,
    on: str = LOCAL,
    workers: int | None = None,
) -> "pyarrow.Table":
    """Simulate a scenario with each combination of settings, and return the means of its figures with intervals.

    `settings` are values by their place in the scenario, as `{"agents.BANK_A.unsecured_cap": [0, 100_000]}`. Every cell
    has the same `seeds` (None: the scenario's own), so that differences between cells are paired: common random
    numbers. A row per cell and bank; `bank` is null in the row of the system. Of a figure `x` there are `x`, its mean
    over the seeds, `x_low` and `x_high`, Student's 95 % interval, `x_n`, the number of seeds in which it is known, and
    `x_difference`, `x_difference_low`, `x_difference_high`, the mean paired difference from the first cell. Money is in
    cents, times in ticks. A cell with a seed is the run of `payment-sim run --set ... --seed ...`, to the cent.

    With `output`, a `.parquet` file, what is done is kept beside it, and the same call goes on where it was ended;
    where it is complete it is read. `on` and `workers` are those of `labledger.executor.run_all`.

    Raises:
        ConfigError: a setting or a seed cannot be used; or `output` is there, and holds something else.
        WorkerError: a worker process was killed twice at the same runs.
        OSError: the output cannot be written.
    """
    source, axes = scenarios_of(scenario), axes_of(settings)
    source.told(next(changes_of(axes)))
    job = sweep_job(source, axes, draws_of(source, None if seeds is None else [*map(str, seeds)]))
    return carry_out(job, None if output is None else Path(output), Place(on, workers))


def sweep_job(source: Scenarios, axes: Sequence[Axis], draws: Sequence[Draws], measure: str = "indicators") -> Job:
    """Return the runs of a sweep, whose figures are those of `measure`, and the making of its table."""
    names = MEASURES[measure].names

    def rows(cells: Sequence[CellInfo], figures: Iterable[Floats]) -> Iterator[dict[str, Any]]:
        return rows_of(axes, [cell.banks for cell in cells], names, figures)

    return Job(
        SWEEP,
        source,
        list(changes_of(axes)),
        draws,
        measure,
        about={"settings": {axis.path: list(axis.texts) for axis in axes}, "level": LEVEL},
        columns=columns_of(axes, names),
        rows=rows,
    )


def scenarios_of(scenario: "Path | str | Scenario", policies: Path | None = None) -> WrittenScenarios | BuiltScenarios:
    """Return the scenarios that changes make of one, or of that in a file, with the folder of its policies."""
    if isinstance(scenario, Path | str):
        return WrittenScenarios.read(Path(scenario), policies)
    return BuiltScenarios(scenario)


def draws_of(source: Scenarios, seeds: Sequence[str] | None) -> list[Draws]:
    """Return a draw of each seed; None are the scenario's own.

    Raises:
        ConfigError: a seed cannot be used.
    """
    if seeds is None:
        return [Draws(source.changed(()).simulation.rng_seed)]
    return [Draws(seed) for seed in checked_seeds(seeds)]
