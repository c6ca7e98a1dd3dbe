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
SHOWN_INDICATORS = ("unsettled", "lower_bound", "upper_bound", "used", "place", "delay_indicator", "turnover")
MOST_UNASKED = 1_000
"""Samples whose indicators are computed unasked: those of a small scenario take ten times as long as its costs."""
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
            which but for that of indicators are of one run.
    """
    from labledger.console import print_answer, print_facts, print_json
    from labledger.errors import ConfigError
    from labledger.json_text import dump_json
    from payment_simulator.cli.run_figures import write_by_suffix
    from payment_simulator.cli.run_funds import warn_of_what_waits
    from payment_simulator.cli.scenario_options import dialect_report
    from payment_simulator.cli.waiting import shown_progress
    from payment_simulator.policy.policies import policies_of
    from payment_simulator.scenario.money import decimals_of
    from payment_simulator.sweeps.jobs import carry_out
    from payment_simulator.sweeps.running import Place
    from payment_simulator.sweeps.sweeping import scenarios_of, sweep_job
    from payment_simulator.sweeps.tasks import Draws

    indicators = files["--indicators"]
    if asked := [option for option, path in files.items() if path is not None and path is not indicators]:
        raise ConfigError(f"{asked[0]}: is of one run, and --samples makes many; leave one of them out")
    source = scenarios_of(scenario)
    changed = source.told(changes)
    warn_of_what_waits(changed, policies_of(changed))
    used = changed.simulation.rng_seed if seed is None else seed
    measure = "indicators" if indicators is not None or samples <= MOST_UNASKED else "costs"
    job = sweep_job(source, [], [Draws(used, number) for number in range(samples)], measure)
    with shown_progress() as progress:
        table = carry_out(replace(job, changes=[tuple(changes)]), None, Place(on, workers), progress)
    rows = table.to_pylist()
    report = _report(scenario, used, samples, rows, measure) | dialect_report(changed)
    if json:
        print_json(dump_json(report))
    else:
        _print(scenario, used, samples, rows, decimals_of(changed), has_indicators=measure == "indicators")
        print_facts("", [*dialect_report(changed).items()])
    if indicators is not None:
        own = [name for name in table.column_names if "_difference" not in name]  # those are of several cells
        write_by_suffix(indicators, lambda: report, lambda: table.select(own))
        print_answer(f"written: {indicators}", to_stderr=json)


def _report(scenario: Path, seed: int, samples: int, rows: Sequence[Mapping[str, Any]], measure: str) -> dict[str, Any]:
    from payment_simulator.sweeps.measures import MEASURES

    names = MEASURES[measure].names
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


def _print(
    scenario: Path, seed: int, samples: int, rows: Sequence[Mapping[str, Any]], decimals: int, *, has_indicators: bool
) -> None:
    from labledger.console import print_answer, print_table
    from payment_simulator.sweeps.figure_words import cells_of, style_of, words_of

    tables = [SHOWN, SHOWN_INDICATORS] if has_indicators else [SHOWN]
    style = style_of(rows, [name for names in tables for name in names], decimals)
    print_answer(
        f"{scenario}, seed {seed}: means over {samples:,} samples ± half their 95 % interval; money in {style.words}"
    )
    ordered = [*rows[1:], rows[0]]
    for names in tables:
        cells = [[row["bank"] or "system", *cells_of(row, names, style)] for row in ordered]
        print_table(["bank", *map(words_of, names)], cells)
    if not has_indicators:
        print_answer(f"indicators of more than {MOST_UNASKED:,} samples take long: --indicators FILE asks for them")
