"""`payment-sim calibrate`."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import reporting_errors
from labledger.counts import counted
from payment_simulator.cli.run_samples import On, Workers

if TYPE_CHECKING:
    from payment_simulator.calibration.fitting import Amounts, Fit
    from payment_simulator.calibration.goodness import CurveGoodness, Goodness
    from payment_simulator.calibration.surroundings import Surroundings
    from payment_simulator.scenario.given_payments import GivenPayments
    from payment_simulator.scenario.schema import Scenario

SHOWN_BANKS = 20
SCENARIO_CLOCK = re.compile(r'say clock: \{open: "(.*?)", close: "(.*?)", tick: (\w+)\}')
"""A clock as a scenario says it, in a message."""
SAY_AS_OPTION = "\n  keys of payments are options here, as --set reversals=swap or --set 'skip=[\"self\"]'"


@reporting_errors
def calibrate(
    ctx: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(help="Files of payments, or a scenario that names some.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The scenario to write: .yaml.", show_default=False)],
    clock: Annotated[
        str | None,
        typer.Option("--clock", help="HH:MM-HH:MM/TICK, as in 07:00-18:00/60s: payments.clock.", show_default=False),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="PATH=VALUE of the section payments, as in columns.time=entered_at.", show_default=False
        ),
    ] = None,
    amounts: Annotated[str, typer.Option("--amounts", help="empirical or lognormal.")] = "empirical",
    level: Annotated[
        float | None,
        typer.Option(
            "--level",
            min=0,
            help="Balances: lower bound + this x (upper - lower bound); default: the scenario's own, else 0.5.",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Days that are drawn to check the fit.")] = 100,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of these days, and the scenario's rng_seed.")] = 0,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw real days within bands of drawn ones: .png or .svg.", show_default=False),
    ] = None,
    workers: Workers = None,
    on: On = "local",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fit a scenario that draws days like those in files, and check how like the real ones its days are."""
    from labledger.console import print_answer, print_json
    from labledger.errors import ConfigError
    from labledger.executor import check_place_to_run
    from labledger.json_text import dump_json
    from payment_simulator.calibration.fitting import fit_arrivals
    from payment_simulator.calibration.goodness import goodness_of_fit
    from payment_simulator.calibration.writing import write_scenario
    from payment_simulator.cli.waiting import shown_progress
    from payment_simulator.scenario.schema import Scenario

    if amounts not in ("empirical", "lognormal"):
        raise ConfigError(f"--amounts: {amounts!r} is neither empirical nor lognormal")
    check_place_to_run(on)
    beside = output.with_name(f"{output.stem}_amounts.parquet")
    _check_outputs(output, beside, plot, files)
    with shown_progress() as progress:
        progress.phase("reading payments")
        recorded = _recorded(files, clock, changes or [])
        _check_outputs(output, beside, plot, recorded.inputs)
        progress.phase("fitting")
        given = recorded.payments
        kind: Amounts = "empirical" if amounts == "empirical" else "lognormal"
        fit = fit_arrivals(given, kind, level, recorded.around)
        scenario = Scenario.model_validate(fit.scenario(None))
        found = goodness_of_fit(
            fit, scenario, given, samples=samples, seed=seed, on=on, workers=workers, progress=progress
        )
        written = write_scenario(fit, seed, [str(path) for path in files], output, beside, _times(given))
    if json:
        print_json(dump_json(_report(fit, found)))
    else:
        _print(fit, found, given)
    if plot is not None:
        _draw(found, scenario, given, output.stem, plot)
    for path in (*written, *filter(None, [plot])):
        print_answer(f"written: {path}", to_stderr=json)


def _check_outputs(output: Path, beside: Path, plot: Path | None, inputs: Sequence[Path]) -> None:
    from labledger.errors import ConfigError
    from labledger.files import is_same
    from payment_simulator.cli.outputs import check_apart, check_picture, check_place, check_suffix

    check_suffix("--output", output, (".yaml", ".yml"))
    if plot is not None:
        check_picture("--plot", plot, (".png", ".svg"))
        if is_same(plot, output) or is_same(plot, beside):
            raise ConfigError(f"--plot: {plot} is a file of --output; name another")
    for option, path in (("--output", output), ("--output", beside), ("--plot", plot)):
        if path is not None:
            check_place(option, path)
            check_apart(option, path, inputs)


@dataclass(frozen=True)
class _Recorded:
    """Recorded payments, the files that they were read from, and the rest of their scenario."""

    payments: "GivenPayments"
    inputs: Sequence[Path]
    around: "Surroundings"


def _recorded(files: Sequence[Path], clock: str | None, changes: Sequence[str]) -> _Recorded:
    """Return the payments of the files, or of the one scenario among them."""
    from dataclasses import replace

    from labledger.errors import ConfigError
    from payment_simulator.calibration.surroundings import Surroundings
    from payment_simulator.scenario.loader import read_scenario

    if not any(path.suffix.lower() in (".yaml", ".yml") for path in files):
        return _of_files(files, clock, changes)
    if len(files) > 1 or clock is not None:
        raise ConfigError(f"{files[0]}: of scenarios give one alone; its section payments has the clock")
    loaded = read_scenario(files[0], [f"payments.{change}" for change in changes])
    given, length = loaded.scenario.given_payments, loaded.scenario.simulation
    if given is None:
        raise ConfigError(f"{files[0]}: the scenario names no file of payments")
    if given.ticks_per_day is None:  # its times are ticks, and only the scenario says how long a day is
        given = replace(given, ticks_per_day=length.ticks_per_day, num_days=length.num_days)
    return _Recorded(given, loaded.inputs, Surroundings.of(loaded.scenario))


def _of_files(files: Sequence[Path], clock: str | None, changes: Sequence[str]) -> _Recorded:
    from pydantic import ValidationError

    from labledger.errors import ConfigError
    from labledger.yaml_files import Location, describe_errors
    from payment_simulator.calibration.surroundings import Surroundings
    from payment_simulator.scenario.changes import option_of, set_values
    from payment_simulator.scenario.payment_files.building import read_payments
    from payment_simulator.scenario.payment_files.columns import ColumnsError
    from payment_simulator.scenario.payment_files.files import files_of
    from payment_simulator.scenario.payment_files.problems import PaymentsKeyError
    from payment_simulator.scenario.payment_files.sections import Payments

    data: dict[str, Any] = {"file": [str(path) for path in files]}
    set_by: dict[Location, str] = {}
    if clock is not None:
        data["clock"] = _clock(clock)
        set_by["clock",] = "--clock"
    set_by |= set_values(data, changes)

    def place(location: Location) -> str:
        return option_of(set_by, location) or ""

    try:
        section = Payments.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(describe_errors(error, Payments, data, place))) from error
    try:
        return _Recorded(read_payments(section, Path()), files_of(section.file, Path()), Surroundings())
    except ColumnsError as error:
        raise ConfigError(error.with_options()) from None
    except ConfigError as error:
        found = error.placed(lambda location: place(location[1:])) if isinstance(error, PaymentsKeyError) else error
        told = SCENARIO_CLOCK.sub(r"say --clock \1-\2/\3", str(found))
        raise ConfigError(f"{told}{SAY_AS_OPTION if ' say ' in told.replace('say --', '') else ''}") from None


def _clock(text: str) -> dict[str, str]:
    from labledger.errors import ConfigError

    hours, slash, tick = text.partition("/")
    opens, dash, closes = hours.partition("-")
    if not slash or not dash:
        raise ConfigError(f"--clock: {text!r} is not HH:MM-HH:MM/TICK, as in 07:00-18:00/60s")
    return {"open": opens, "close": closes, "tick": tick}


def _report(fit: "Fit", found: "Goodness") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "days": fit.days,
        "ticks_per_day": fit.ticks_per_day,
        "samples": found.samples,
        "seed": found.seed,
        "level": fit.level,
        "own_balances": fit.own_balances,
        "events_left_out": fit.around.events,
        "own_deadlines": found.own_deadlines,
        "drawn_own_deadlines": found.drawn_own_deadlines,
        "banks": [asdict(each) for each in found.banks],
        "silent": list(fit.silent),
        "curves": {each.name.replace(" ", "_"): _curve(each) for each in found.curves},
    }


def _curve(curve: "CurveGoodness") -> dict[str, Any]:
    bands = {name: getattr(curve, name).tolist() for name in ("recorded", "low", "median", "high")}
    return {"in_band": curve.in_band, **bands}


def _print(fit: "Fit", found: "Goodness", given: "GivenPayments") -> None:
    from labledger.console import print_answer, print_facts, print_table
    from payment_simulator.scenario.money import MoneyStyle, decimals_in

    largest = sorted(found.banks, key=lambda bank: -bank.value)
    shown = largest[:SHOWN_BANKS]
    values = [[round(each.value) for each in shown], [round(each.drawn_value) for each in shown]]
    style = MoneyStyle.of([*values[0], *values[1]], decimals_in(given.section))
    days = f"{counted(fit.days, 'real day')}, {found.samples:,} drawn (seed {found.seed})"
    print_answer(f"{days}; money in {style.words}")
    columns = [
        ("bank", [each.bank for each in shown]),
        ("payments a day", [f"{each.payments:,.0f}" for each in shown]),
        ("drawn", [f"{each.drawn_payments:,.0f}" for each in shown]),
        style.column("value a day", values[0]),
        style.column("drawn", values[1]),
        ("KS amounts", [f"{each.ks_amount:.3f}" for each in shown]),
        ("KS times", [f"{each.ks_tick:.3f}" for each in shown]),
    ]
    print_table([name for name, _ in columns], [*zip(*(cells for _, cells in columns), strict=True)])
    if len(largest) > SHOWN_BANKS:
        print_answer(f"and {len(largest) - SHOWN_BANKS:,} more banks: --json has all")
    print_answer("KS: the largest difference of the shares below a value, real and drawn: 0 if alike, at most 1.")
    print_facts("", [*_verdict(fit, found)])


def _verdict(fit: "Fit", found: "Goodness") -> "Iterator[tuple[str, str]]":
    """Yield how like the real days the drawn ones are, how that was tried, and what is left out."""
    from labledger.percentages import rounded_percent

    for each in found.curves:
        share = f"{rounded_percent(each.in_band, 0)} of the ticks"
        yield each.name, f"in the drawn days' 5 to 95 % at {share} (a good fit: about 90 %)"
    at_level, own = len(fit.opening_balance) - fit.own_balances, fit.own_balances
    level = f"at level {fit.level:g}"
    mixed = f"the scenario's own of some ({own:,}), {level} of the others ({at_level:,})"
    yield "opening balances", mixed if own and at_level else "the scenario's own" if own else level
    if found.own_deadlines or found.drawn_own_deadlines:
        shares = (
            f"{rounded_percent(found.own_deadlines)} of payments, drawn {rounded_percent(found.drawn_own_deadlines)}"
        )
        yield "deadlines not at the day's end", f"{shares}: evenly from each bank's range"
    if fit.silent:
        yield "banks that send nothing", f"{len(fit.silent):,}"
    if fit.around.events:
        yield "scenario events left out", f"{fit.around.events:,}"


def _times(given: "GivenPayments") -> str:
    """Return the times of a day's ticks in words; empty where payments came in ticks."""
    from payment_simulator.scenario.payment_files.clock import day_of

    clock = None if given.section is None else given.section.clock
    if clock is None:
        return ""
    day = day_of(clock)
    opens, closes = (f"{each // 3600:02}:{each // 60 % 60:02}:{each % 60:02}" for each in (day.open_s, day.close_s))
    zone = f" ({clock.timezone})" if clock.timezone else ""
    seconds = (day.close_s - day.open_s) / day.ticks
    return (
        f"A day is from {opens} to {closes}{zone}: tick 0 begins at {opens}, each of {day.ticks:,} takes {seconds:g} s"
    )


def _draw(found: "Goodness", scenario: "Scenario", given: "GivenPayments", name: str, path: Path) -> None:
    from payment_simulator.plotting.calibration import draw_calibration

    draw_calibration(found, scenario.with_payments(given.of_day(0)), name, path)
