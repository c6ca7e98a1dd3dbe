"""The `llem` command and its subcommands."""

from labledger.commands import make_app, run_program
from llenergymeasure.cli.calibrate import calibrate
from llenergymeasure.cli.config import config_app
from llenergymeasure.cli.doctor import doctor
from llenergymeasure.cli.meter import SETTINGS, meter
from llenergymeasure.cli.results import results_app
from llenergymeasure.cli.run import run

HELP = "Measure what a deployment of an LLM costs: joules, seconds and FLOPs, each with its error bound."

app = make_app("llem", HELP)
app.command()(run)
app.command(context_settings=SETTINGS)(meter)
app.command()(doctor)
app.command()(calibrate)
app.add_typer(config_app, name="config")
app.add_typer(results_app, name="results")


def main() -> None:
    """Run the command line and exit."""
    run_program(app)
