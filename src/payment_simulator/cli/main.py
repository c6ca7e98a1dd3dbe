"""`payment-sim`: its commands."""

from labledger.commands import make_app, run_program
from payment_simulator.cli.experiment import experiment_app
from payment_simulator.cli.policy import policy_app
from payment_simulator.cli.run import run

HELP = "Simulate real-time gross settlement exactly: what liquidity and delay cost each bank."

app = make_app("payment-sim", HELP)
app.command()(run)
app.add_typer(policy_app, name="policy")
app.add_typer(experiment_app, name="experiment")


def main() -> None:
    """Run the command line and exit."""
    run_program(app)
