"""`payment-sim`: its commands."""

from typing import Annotated

import typer

from labledger.commands import run_program, show_version
from payment_simulator.cli.experiment import experiment_app
from payment_simulator.cli.policy import policy_app
from payment_simulator.cli.run import run

HELP = "Real-time gross settlement, simulated exactly: what liquidity and delay cost each bank."

app = typer.Typer(name="payment-sim", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(run)
app.add_typer(policy_app, name="policy")
app.add_typer(experiment_app, name="experiment")


def _show_version(value: bool) -> None:
    show_version(value, "payment-sim")


@app.callback(help=HELP)
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """What stands before a command's name."""


def main() -> None:
    """Run the command line and exit."""
    run_program(app)
