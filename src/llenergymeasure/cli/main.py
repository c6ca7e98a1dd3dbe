"""The `llem` command and its subcommands."""

from labledger.commands import make_app, run_program
from labledger.notices import show_notices
from llenergymeasure.cli.calibrate import calibrate
from llenergymeasure.cli.config import config_app
from llenergymeasure.cli.doctor import doctor
from llenergymeasure.cli.meter import SETTINGS, meter
from llenergymeasure.cli.results import results_app
from llenergymeasure.cli.run import run
from llenergymeasure.cli.study import study_app
from llenergymeasure.run.boards.left import restore_left_boards

HELP = "Measure what a deployment of an LLM costs: joules, seconds and FLOPs, each with its error bound."

app = make_app("llem", HELP)
app.command()(run)
app.command(context_settings=SETTINGS)(meter)
app.command()(doctor)
app.command()(calibrate)
app.add_typer(config_app, name="config")
app.add_typer(results_app, name="results")
app.add_typer(study_app, name="study")


def main() -> None:
    """Run the command line and exit, once what a killed run has left set on this machine's boards is put back."""
    show_notices()
    restore_left_boards()
    run_program(app)
