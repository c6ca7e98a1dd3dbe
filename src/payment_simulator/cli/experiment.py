"""`payment-sim experiment`: its commands."""

import typer

from payment_simulator.cli.experiment_run import run, template, validate

experiment_app = typer.Typer(help="Let banks look for the policy that costs them least.", no_args_is_help=True)
for each in (run, validate, template):
    experiment_app.command()(each)
