"""`payment-sim experiment`."""

from labledger.commands import make_group
from payment_simulator.cli.experiment_chart import chart
from payment_simulator.cli.experiment_compare import compare
from payment_simulator.cli.experiment_evolution import policy_evolution
from payment_simulator.cli.experiment_export import export
from payment_simulator.cli.experiment_replay import replay
from payment_simulator.cli.experiment_report import report
from payment_simulator.cli.experiment_results import results
from payment_simulator.cli.experiment_run import run, template, validate
from payment_simulator.cli.experiment_show import show
from payment_simulator.cli.experiment_sweep import sweep

experiment_app = make_group("Let banks look for the policy that costs them least, and read what came of it.")
experiment_app.command()(run)
experiment_app.command()(sweep)
experiment_app.command()(validate)
experiment_app.command()(template)
experiment_app.command()(results)
experiment_app.command()(show)
experiment_app.command("policy-evolution")(policy_evolution)
experiment_app.command()(chart)
experiment_app.command()(report)
experiment_app.command()(compare)
experiment_app.command()(replay)
experiment_app.command()(export)
