"""`payment-sim stress`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labledger.commands import reporting_errors
from labledger.counts import counted
from payment_simulator.cli.run_samples import On, Workers
from payment_simulator.cli.scenario_options import Dialect, Policies, with_options
from payment_simulator.cli.sweep import Csv, OutputTable, Seeds

if TYPE_CHECKING:
    import pyarrow

    from payment_simulator.scenario.schema import Scenario

SHOWN = ("unsettled", "others_unsettled", "others_share", "trapped", "others_delay_indicator", "others_delay_added")


@reporting_errors
def stress(
    ctx: typer.Context,
    scenario: Annotated[Path, typer.Argument(help="YAML file of the scenario.", show_default=False)],
    outage: Annotated[list[str], typer.Option("--outage", help="each, or banks: A,B.")] = ["each"],  # noqa: B006 - typer's
    begin: Annotated[
        str | None,
        typer.Option("--from", help="First tick of the outage, or its time. Default: 0.", show_default=False),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(
            "--to", help="Last tick of it, or the time until which. Default: the day's end.", show_default=False
        ),
    ] = None,
    respond: Annotated[
        int | None,
        typer.Option(
            "--respond", min=0, help="Ticks after which others hold payments to the bank.", show_default=False
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="PATH=VALUE over the scenario, as for run.", show_default=False),
    ] = None,
    dialect: Dialect = None,
    policies: Policies = None,
    seeds: Seeds = None,
    output: OutputTable = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw the ranked outages: .png or .svg.", show_default=False)
    ] = None,
    csv: Csv = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Outages to print and draw.")] = 20,
    workers: Workers = None,
    on: On = "local",
    json: Annotated[bool, typer.Option("--json", help="Print JSON: every row of the table.")] = False,
) -> None:
    """Simulate each bank's outage in turn: what it leaves unsettled, traps and delays, the worst first."""
    from payment_simulator.cli.run_funds import warn_of_what_waits
    from payment_simulator.cli.sweep_outputs import check_csv, check_outputs, print_done, print_rows, write_csv
    from payment_simulator.cli.waiting import shown_progress
    from payment_simulator.policy.policies import policies_of
    from payment_simulator.scenario.money import decimals_of
    from payment_simulator.sweeps.jobs import carry_out
    from payment_simulator.sweeps.running import Place
    from payment_simulator.sweeps.settings import parse_seeds
    from payment_simulator.sweeps.stress import banks_of, stress_job, ticks_of
    from payment_simulator.sweeps.sweeping import draws_of, scenarios_of

    check_outputs(scenario, output, "--plot", plot)
    check_csv(scenario, csv, output, plot)
    with shown_progress() as progress:
        progress.phase("reading the scenario")
        source = scenarios_of(scenario, policies)
        base = source.told(with_options(changes, dialect))
        warn_of_what_waits(base, policies_of(base))
        draws = draws_of(source, None if seeds is None else [*map(str, parse_seeds(seeds))])
        ticks = ticks_of(base, begin, end)
        job = stress_job(str(scenario), base, banks_of(base, outage), ticks, respond, draws)
        table = carry_out(job, output, Place(on, workers), progress)
    about = _about(base, ticks, respond, len(draws))
    try:
        if json:
            print_rows(table)
        else:
            _print(table, about, top, decimals_of(base))
    finally:
        if plot is not None:
            _draw(table, scenario.stem, about, top, plot, decimals_of(base))
        if csv is not None:
            write_csv(table, csv)
    print_done(output, csv, plot, to_stderr=json)


def _about(scenario: "Scenario", ticks: range, respond: int | None, draws: int) -> str:
    from payment_simulator.scenario.payment_files.clock import day_of, time_of

    lasts = f"an outage in {_shown(ticks)}" if len(ticks) == 1 else f"an outage from {_shown(ticks)}"
    section = scenario.payments_section
    if section is not None and section.clock is not None:
        day = day_of(section.clock)
        until = section.clock.close if ticks.stop % day.ticks == 0 else time_of(ticks.stop, day)
        lasts = f"an outage from {time_of(ticks.start, day)} to {until} ({_shown(ticks)})"
    answer = (
        "others go on sending" if respond is None else f"others stop sending to it after {counted(respond, 'tick')}"
    )
    return f"{lasts}, {answer}; " + ("one draw" if draws == 1 else f"means over {draws:,} seeds, 95 % intervals")


def _shown(ticks: range) -> str:
    return f"tick {ticks.start}" if len(ticks) == 1 else f"tick {ticks.start} to {ticks.stop - 1}"


def _draw(table: "pyarrow.Table", name: str, about: str, top: int, path: Path, decimals: int) -> None:
    from payment_simulator.plotting.stress import StressPicture

    StressPicture(name, about, table.slice(1).to_pylist(), top, decimals).draw(path)


def _print(table: "pyarrow.Table", about: str, top: int, decimals: int) -> None:
    from labledger.console import print_answer, print_table
    from payment_simulator.sweeps.figure_words import cells_of, style_of, words_of

    rows = table.slice(0, top + 1).to_pylist()
    style = style_of(rows, SHOWN, decimals)
    print_answer(f"{about}; money in {style.words}")
    cells = [
        ["" if row["rank"] is None else str(row["rank"]), row["bank"] or "none", *cells_of(row, SHOWN, style)]
        for row in rows
    ]
    print_table(["", "bank out", *map(words_of, SHOWN)], cells)
    if len(rows) < len(table):
        print_answer(f"{counted(len(table) - len(rows), 'more outage')}: --top {len(table) - 1}")
