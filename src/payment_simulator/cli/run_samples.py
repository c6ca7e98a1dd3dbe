"""`payment-sim run --samples`: many draws of one scenario, and the means of what they cost."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

Samples = Annotated[
    int | None,
    typer.Option("--samples", min=2, help="Draw so many days: means with intervals.", show_default=False),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", "-j", min=1, help="Processes. Default: one for each core.", show_default=False),
]
On = Annotated[str, typer.Option("--on", help="Where many runs are made: local, the cores of this machine.")]
SHOWN = ("total_cost", "settlement_rate", "mean_delay_ticks", "liquidity_used")
PARTS = {"mean": "", "low": "_low", "high": "_high", "n": "_n"}


def run_samples(
    scenario: Path,
    changes: Sequence[str],
    seed: int | None,
    samples: int,
    workers: int | None,
    on: str,
    json: bool,
    files: Mapping[str, Path | None],
) -> None:
    """Simulate `samples` draws of a scenario, the first of them that of a run without, and print means.

    Raises:
        ConfigError: the scenario cannot be run, nothing is drawn in it, or one of `files`, by option, is asked for,
            which are of one run.
    """
    from labledger.console import print_facts, print_json
    from labledger.errors import ConfigError
    from labledger.json_text import dump_json
    from payment_simulator.cli.run_funds import warn_of_what_waits
    from payment_simulator.cli.scenario_options import dialect_report
    from payment_simulator.cli.waiting import shown_progress
    from payment_simulator.policy.policies import policies_of
    from payment_simulator.scenario.money import decimals_of
    from payment_simulator.sweeps.jobs import carry_out
    from payment_simulator.sweeps.running import Place
    from payment_simulator.sweeps.sweeping import scenarios_of, sweep_job
    from payment_simulator.sweeps.tasks import Draws

    if asked := [option for option, path in files.items() if path is not None]:
        raise ConfigError(f"{asked[0]}: is of one run, and --samples makes many; leave one of them out")
    source = scenarios_of(scenario)
    changed = source.told(changes)
    warn_of_what_waits(changed, policies_of(changed))
    used = changed.simulation.rng_seed if seed is None else seed
    job = sweep_job(source, [], [Draws(used, number) for number in range(samples)], "costs")
    with shown_progress() as progress:
        table = carry_out(replace(job, changes=[tuple(changes)]), None, Place(on, workers), progress)
    rows = table.to_pylist()
    if json:
        print_json(dump_json(_report(scenario, used, samples, rows) | dialect_report(changed)))
    else:
        _print(scenario, used, samples, rows, decimals_of(changed))
        print_facts("", [*dialect_report(changed).items()])


def _report(scenario: Path, seed: int, samples: int, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    from payment_simulator.sweeps.measures import MEASURES

    names = MEASURES["costs"].names
    found = {
        row["bank"]: {name: {key: row[name + part] for key, part in PARTS.items()} for name in names} for row in rows
    }
    return {
        "scenario": str(scenario),
        "seed": seed,
        "samples": samples,
        "level": 0.95,
        "system": found.pop(None),
        "agents": found,
    }


def _print(scenario: Path, seed: int, samples: int, rows: Sequence[Mapping[str, Any]], decimals: int) -> None:
    from labledger.console import print_answer, print_table
    from payment_simulator.sweeps.figure_words import cells_of, style_of, words_of

    style = style_of(rows, SHOWN, decimals)
    print_answer(
        f"{scenario}, seed {seed}: means over {samples:,} samples ± half their 95 % interval; money in {style.words}"
    )
    ordered = [*rows[1:], rows[0]]
    print_table(
        ["bank", *map(words_of, SHOWN)], [[row["bank"] or "system", *cells_of(row, SHOWN, style)] for row in ordered]
    )
