"""`payment-sim show`: a kept day, as `run` printed it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import reporting_errors
from labledger.json_text import dump_json
from payment_simulator.cli.run_days import read_day

if TYPE_CHECKING:
    from payment_simulator.days.loading import Day
    from payment_simulator.days.record import InputFile, StoredDay

DayFolder = Annotated[Path, typer.Argument(help="Folder of a kept day.", show_default=False)]
SHOWN_DIGEST = 12
SHOWN_INPUTS = 5


@reporting_errors
def show(
    ctx: typer.Context,
    day: DayFolder,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw balances, queues and costs: .png or .svg.", show_default=False),
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Show every bank of a large system.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a day that `payment-sim run -o DIR` kept: what `run` printed, and what it was read from."""
    from labledger.console import print_answer, print_json
    from payment_simulator.cli.outputs import check_picture, check_place
    from payment_simulator.cli.run_printing import print_report
    from payment_simulator.plotting.day import draw_day

    if plot is not None:
        check_picture("--plot", plot, (".png", ".svg"))
        check_place("--plot", plot)
    found = read_day(day)
    try:
        if json:
            print_json(dump_json({**found.record.report, "kept": _kept(found.record)}))
        else:
            printed(found, lambda: print_report(found.record.report, show_all=show_all))
            _print_kept(found.record)
    finally:
        if plot is not None:
            draw_day(found, plot)
    if plot is not None:
        print_answer(f"written: {plot}", to_stderr=json)


def printed(day: "Day", write: Callable[[], None]) -> None:
    """Print what a day's report says.

    Raises:
        UnreadableFileError: it is not as a run has it: another version wrote it, or somebody changed it.
    """
    from labledger.errors import UnreadableFileError
    from labledger.untrusted_text import reason_of
    from payment_simulator.days.folders import DOCUMENT

    try:
        write()
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        problem = f"report: is not as this version writes it ({type(error).__name__}: {reason_of(error)})"
        raise UnreadableFileError(f"{day.folder / DOCUMENT}: {problem}; --json prints it") from error


def _kept(record: "StoredDay") -> dict[str, Any]:
    names = {"simulated_by", "saved_at", "inputs", "skipped", "remarks"}
    found: dict[str, Any] = record.model_dump(mode="json", include=names)
    return found


def _print_kept(record: "StoredDay") -> None:
    from labledger.console import print_facts
    from labledger.untrusted_text import SHOWN, clean

    saved = "at an unknown time" if record.saved_at is None else f"{record.saved_at:%Y-%m-%d %H:%M} UTC"
    facts = [("saved", f"{saved}, by labledger {clean(str(record.simulated_by), SHOWN)}")]
    facts += [("read from", _input(each)) for each in record.inputs[:SHOWN_INPUTS]]
    if len(record.inputs) > SHOWN_INPUTS:
        facts.append(("", f"and {len(record.inputs) - SHOWN_INPUTS:,} files more: --json names them"))
    print_facts("", facts)


def _input(file: "InputFile") -> str:
    from labledger.regular_files import in_words
    from labledger.untrusted_text import SHOWN, clean

    size = (
        "size unknown"
        if file.bytes is None
        else f"{file.bytes:,} bytes"
        if file.bytes < 100_000
        else in_words(file.bytes)
    )
    return f"{clean(str(file.name), SHOWN)} ({size}, SHA-256 {clean(str(file.sha256), SHOWN)[:SHOWN_DIGEST]}…)"
