"""`payment-sim sweep`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import reporting_errors
from payment_simulator.cli.run_samples import On, Workers
from payment_simulator.cli.scenario_options import Dialect, Policies, with_options

if TYPE_CHECKING:
    import pyarrow

    from payment_simulator.plotting.sweep import SweepPicture
    from payment_simulator.sweeps.settings import Axis

SHOWN = ("total_cost", "settled_share", "delay_indicator", "used")
"""The figures that are printed and drawn unless others are asked for."""

OutputTable = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Write the table to this .parquet file; ended early, it goes on.", show_default=False
    ),
]
Seeds = Annotated[
    str | None,
    typer.Option("--seeds", help="1..100, or 3,5,8; the same in every cell. Default: the file's.", show_default=False),
]
Csv = Annotated[Path | None, typer.Option("--csv", help="Write the table as CSV, too.", show_default=False)]
Picture = Annotated[
    Path | None,
    typer.Option("--picture", help="Draw it here: .png or .svg. Default: beside the output.", show_default=False),
]


@reporting_errors
def sweep(
    ctx: typer.Context,
    scenario: Annotated[Path, typer.Argument(help="YAML file of the scenario.", show_default=False)],
    settings: Annotated[
        list[str],
        typer.Option(
            "--set",
            help="PATH=VALUE,VALUE,... or PATH=0..1:0.25; several give their product.",
            show_default=False,
        ),
    ],
    dialect: Dialect = None,
    policies: Policies = None,
    seeds: Seeds = None,
    output: OutputTable = None,
    plot: Annotated[
        str | None,
        typer.Option("--plot", help="Draw against PATH, or PATH,PATH: a heat map.", show_default=False),
    ] = None,
    picture: Picture = None,
    csv: Csv = None,
    figures: Annotated[
        list[str] | None,
        typer.Option("--figure", help=f"Figures to print and draw. Default: {', '.join(SHOWN)}.", show_default=False),
    ] = None,
    banks: Annotated[
        list[str] | None,
        typer.Option("--bank", help="Banks to print and draw, in place of the system.", show_default=False),
    ] = None,
    workers: Workers = None,
    on: On = "local",
    json: Annotated[bool, typer.Option("--json", help="Print JSON: every row of the table.")] = False,
) -> None:
    """Simulate a scenario with each combination of settings, all with the same seeds: means with intervals."""
    from payment_simulator.cli.sweep_outputs import (
        check_csv,
        check_outputs,
        place_of_picture,
        print_done,
        print_rows,
        write_csv,
    )
    from payment_simulator.cli.waiting import shown_progress
    from payment_simulator.scenario.money import decimals_of
    from payment_simulator.sweeps.jobs import carry_out
    from payment_simulator.sweeps.running import Place
    from payment_simulator.sweeps.settings import changes_of, parse_axes, parse_seeds
    from payment_simulator.sweeps.sweeping import draws_of, scenarios_of, sweep_job

    axes = parse_axes(with_options(settings, dialect))
    drawn = None if plot is None else _picture(scenario, axes, plot, figures or SHOWN, banks)
    place = place_of_picture(output, picture, is_drawn=plot is not None)
    check_outputs(scenario, output, "--picture", place)
    check_csv(scenario, csv, output, place)
    _check_figures(figures or SHOWN)
    source = scenarios_of(scenario, policies)
    if banks:
        _check_banks(source.changed(()).agent_ids, banks)
    decimals = decimals_of(source.told(next(changes_of(axes))))
    chosen = draws_of(source, None if seeds is None else [*map(str, parse_seeds(seeds))])
    with shown_progress() as progress:
        table = carry_out(sweep_job(source, axes, chosen), output, Place(on, workers), progress)
    try:
        if json:
            print_rows(table)
        else:
            _print(table, [axis.path for axis in axes], figures or SHOWN, banks or [None], len(chosen), decimals)
    finally:
        if drawn is not None and place is not None:
            _draw(drawn, table, place, decimals)
        if csv is not None:
            write_csv(table, csv)
    print_done(output, csv, place, to_stderr=json)


def _check_figures(names: Sequence[str]) -> None:
    from labledger.errors import ConfigError
    from labledger.yaml_files import did_you_mean
    from payment_simulator.sweeps.measures import MEASURES

    known = MEASURES["indicators"].names
    if unknown := [name for name in names if name not in known]:
        hint = did_you_mean(unknown[0], [*known])
        raise ConfigError(f"--figure: unknown figure {unknown[0]!r}{hint or f'; one of {chr(44).join(known)}'}")


def _check_banks(known: Sequence[str], banks: Sequence[str]) -> None:
    from labledger.errors import ConfigError
    from labledger.yaml_files import did_you_mean

    if unknown := [bank for bank in banks if bank not in known]:
        raise ConfigError(f"--bank: unknown bank {unknown[0]!r}{did_you_mean(unknown[0], sorted(known))}")


def _picture(
    scenario: Path, axes: "Sequence[Axis]", plot: str, figures: Sequence[str], banks: Sequence[str] | None
) -> "SweepPicture":
    from payment_simulator.plotting.sweep import SweepPicture

    settings = {axis.path: axis.values for axis in axes}
    whole = [plot] if plot in settings else [name.strip() for name in plot.split(",")]
    found = SweepPicture(scenario.stem, (), settings, whole, figures, banks or (None,))
    found.check()
    return found


def _draw(picture: "SweepPicture", table: "pyarrow.Table", path: Path, decimals: int) -> None:
    from dataclasses import replace

    wanted = [*picture.settings, "bank", *(f"{name}{part}" for name in picture.figures for part in _PARTS)]
    settings = {name: _as_stored(table, name, values) for name, values in picture.settings.items()}
    replace(picture, rows=table.select(wanted).to_pylist(), settings=settings, decimals=decimals).draw(path)


_PARTS = ("", "_low", "_high", "_n")


def _as_stored(table: "pyarrow.Table", name: str, values: Sequence[Any]) -> list[Any]:
    """Return the values of a setting as the table has them, in the order of the sweep."""
    found = table[name].unique().to_pylist()
    return found if len(found) == len(values) else list(values)


def _print(
    table: "pyarrow.Table",
    settings: Sequence[str],
    figures: Sequence[str],
    banks: Sequence[str | None],
    draws: int,
    decimals: int,
) -> None:
    from labledger.console import print_answer, print_table
    from payment_simulator.sweeps.figure_words import cells_of, style_of, words_of, written_setting

    rows = [row for row in table.to_pylist() if row["bank"] in banks]
    compared = figures[:1] if len(rows) > len(banks) else []
    style = style_of(rows, figures, decimals)
    header = [*settings, "bank", *map(words_of, figures)]
    header += [f"difference of {words_of(name)} from the first" for name in compared]
    means = "one draw, so no intervals" if draws == 1 else f"means over {draws:,} seeds ± half their 95 % interval"
    print_answer(f"{means}; money in {style.words}")
    print_table(
        header,
        [
            [
                *(written_setting(row[name]) for name in settings),
                row["bank"] or "system",
                *cells_of(row, figures, style),
                *cells_of(row, compared, style, difference=True),
            ]
            for row in rows
        ],
    )
