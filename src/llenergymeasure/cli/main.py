"""The `llem` command and its subcommands."""

from typing import Annotated

import typer

from labledger.commands import run_program, show_version
from llenergymeasure.cli.config import config_app
from llenergymeasure.cli.doctor import doctor
from llenergymeasure.cli.meter import SETTINGS, meter
from llenergymeasure.cli.results import results_app
from llenergymeasure.cli.run import run

HELP = "What a deployment of an LLM costs: joules, seconds and FLOPs, each with its error bound."

app = typer.Typer(name="llem", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(run)
app.command(context_settings=SETTINGS)(meter)
app.command()(doctor)
app.add_typer(config_app, name="config")
app.add_typer(results_app, name="results")


def _show_version(value: bool) -> None:
    show_version(value, "llem")


@app.callback(help=HELP)
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Take the options before a command's name."""


def main() -> None:
    """Run the command line and exit."""
    run_program(app)
