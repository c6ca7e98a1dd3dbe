"""`payment-sim`: its commands."""

from labledger.commands import make_app, run_program
from payment_simulator.cli.calibrate import calibrate
from payment_simulator.cli.compare import compare
from payment_simulator.cli.experiment import experiment_app
from payment_simulator.cli.export import export
from payment_simulator.cli.policy import policy_app
from payment_simulator.cli.run import run
from payment_simulator.cli.schema import schema
from payment_simulator.cli.show import show
from payment_simulator.cli.stress import stress
from payment_simulator.cli.sweep import sweep
from payment_simulator.cli.template import template
from payment_simulator.cli.validate import validate

HELP = "Simulate real-time gross settlement exactly: what liquidity and delay cost each bank."

app = make_app("payment-sim", HELP)
app.command()(run)
app.command()(validate)
app.command()(template)
app.command()(schema)
app.command()(show)
app.command()(compare)
app.command()(export)
app.command()(sweep)
app.command()(stress)
app.command()(calibrate)
app.add_typer(policy_app, name="policy")
app.add_typer(experiment_app, name="experiment")


def main() -> None:
    """Run the command line and exit."""
    run_program(app)
