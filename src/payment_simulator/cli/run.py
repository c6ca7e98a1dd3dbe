"""`payment-sim run`."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import reporting_errors
from labledger.counts import counted
from labledger.json_text import dump_json
from payment_simulator.cli.run_days import Output
from payment_simulator.cli.run_payments import payments_report
from payment_simulator.cli.run_printing import print_report
from payment_simulator.cli.run_samples import On, Samples, Workers, run_samples
from payment_simulator.cli.scenario_options import Dialect, Policies, dialect_report, with_options

if TYPE_CHECKING:
    from payment_simulator.cli.run_days import Source
    from payment_simulator.engine.outcome import Outcome
    from payment_simulator.engine.simulate import Prepared
    from payment_simulator.engine.vocabulary import Record
    from payment_simulator.scenario.schema import Scenario

SUFFIXES = {"--events": (".parquet",), "--indicators": (".json", ".csv", ".parquet")}


@reporting_errors
def run(
    ctx: typer.Context,
    scenario: Annotated[
        Path, typer.Argument(help="YAML file of the scenario, or the folder of a kept day.", show_default=False)
    ],
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="In place of the scenario's rng_seed.", show_default=False)
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="PATH=VALUE over the scenario, as in agents.BANK_A.unsecured_cap=5.", show_default=False
        ),
    ] = None,
    dialect: Dialect = None,
    policies: Policies = None,
    events: Annotated[
        Path | None, typer.Option("--events", help="Write every event to this Parquet file.", show_default=False)
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw balances, queues and costs: .png or .svg.", show_default=False),
    ] = None,
    output: Output = None,
    indicators: Annotated[
        Path | None,
        typer.Option(
            "--indicators",
            help="Write indicators of each day, bank and the system: .json, .csv or .parquet.",
            show_default=False,
        ),
    ] = None,
    samples: Samples = None,
    workers: Workers = None,
    on: On = "local",
    show_all: Annotated[bool, typer.Option("--all", help="Show every bank of a large system.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Simulate a scenario once, and print costs, liquidity and delay of each bank, and of the system."""
    import time

    from labledger.console import print_answer
    from payment_simulator.cli.run_days import check_output, keep, read_source
    from payment_simulator.cli.run_figures import figures_of
    from payment_simulator.cli.run_funds import warn_of_what_waits
    from payment_simulator.cli.run_rounding import with_rounding
    from payment_simulator.days.report import report_of
    from payment_simulator.engine.simulate import prepare

    files = {"--events": events, "--plot": plot, "--indicators": indicators}
    changes = with_options(changes, dialect, policies)
    if samples is not None:
        of_samples = {**dict.fromkeys(files), "--indicators": indicators}
        _check_outputs(of_samples)
        _check_apart([scenario], of_samples)
        run_samples(scenario, changes, seed, samples, workers, on, json, {**files, "--output": output})
        return
    _check_outputs(files)
    check_output(output, *files.values())
    began_s = time.perf_counter()
    source = read_source(scenario, changes, is_kept=output is not None)
    loaded = source.loaded
    _check_apart(loaded.inputs, files)
    warn_of_what_waits(loaded.scenario, source.policies)
    prepared = prepare(loaded.scenario, source.policies)
    timing = {"read_s": time.perf_counter() - began_s}
    used_seed = source.seed if seed is None else seed
    record: Record = any((events, plot, output)) or ("settlements" if indicators else False)
    outcome = _simulated(source, prepared, seed, timing, record)
    ticks = loaded.scenario.simulation.ticks
    report = report_of(outcome, scenario=str(scenario), seed=used_seed, ticks=ticks, timing=timing)
    report |= dialect_report(loaded.scenario) | payments_report(loaded.scenario)
    report = with_rounding(report | figures_of(outcome, loaded.scenario), outcome)
    try:
        _answer(report, as_json=json, show_all=show_all)
    finally:  # files are kept even if nobody reads the answer to its end
        _write(outcome, loaded.scenario, scenario.stem, files)
        output = keep(outcome, output, source, report)
    for path in (*files.values(), output):
        if path is not None:
            print_answer(f"written: {path}", to_stderr=json)


def _simulated(
    source: "Source", prepared: "Prepared", seed: int | None, timing: dict[str, float], record: "Record"
) -> "Outcome":
    """Draw and simulate, show how far it is, and add the seconds that it took to `timing`."""
    import time

    from payment_simulator.cli.run_figures import recorded_unasked
    from payment_simulator.cli.waiting import shown_progress
    from payment_simulator.engine.simulate import simulate

    began_s = time.perf_counter()
    with shown_progress() as progress:
        progress.phase("drawing payments")
        arrivals = source.arrivals(seed)
        drawn_s = time.perf_counter()
        progress.phase(
            f"simulating {counted(prepared.scenario.simulation.ticks, 'tick')}, {counted(len(arrivals), 'payment')}"
        )
        record = record or recorded_unasked(arrivals)
        outcome = simulate(prepared, arrivals, record_events=record, watch=progress.update)
    timing |= {"draw_s": drawn_s - began_s, "simulate_s": time.perf_counter() - drawn_s}
    return outcome


def _answer(report: dict[str, Any], *, as_json: bool, show_all: bool) -> None:
    from labledger.console import print_json

    if as_json:
        print_json(dump_json(report))
    else:
        print_report(report, show_all=show_all)


def _write(outcome: "Outcome", scenario: "Scenario", name: str, files: Mapping[str, Path | None]) -> None:
    events, plot, indicators = (files[option] for option in ("--events", "--plot", "--indicators"))
    if events is not None:
        from payment_simulator.engine.events import write_events

        write_events(outcome.events(), events)
    if plot is not None:
        from payment_simulator.plotting.run import draw

        draw(outcome, scenario, name, plot)
    if indicators is not None:
        from payment_simulator.cli.run_figures import write_indicators

        write_indicators(outcome, indicators)


def _check_outputs(files: Mapping[str, Path | None]) -> None:
    """Check output paths, by option, before anything is computed: one that cannot be written would cost the run."""
    from payment_simulator.cli.outputs import check_picture, check_place, check_suffix

    plot, given = files["--plot"], {name: path for name, path in files.items() if path is not None}
    if plot is not None:
        check_picture("--plot", plot, (".png", ".svg"))
    for name, suffixes in SUFFIXES.items():
        if name in given:
            check_suffix(name, given[name], suffixes)
    for name, path in given.items():
        check_place(name, path)


def _check_apart(inputs: Sequence[Path], files: Mapping[str, Path | None]) -> None:
    """Refuse to write over a file that was read, or two outputs to one file."""
    from labledger.errors import ConfigError
    from labledger.files import is_same
    from payment_simulator.cli.outputs import check_apart

    given = {name: path for name, path in files.items() if path is not None}
    for (first, path), (second, other) in combinations(given.items(), 2):
        if is_same(path, other):
            raise ConfigError(f"{second}: {other} is the file of {first}; name another")
    for name, path in given.items():
        check_apart(name, path, inputs)
