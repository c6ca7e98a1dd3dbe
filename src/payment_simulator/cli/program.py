"""The entry point of `payment-sim`, which imports nothing else before Ctrl-C is heeded."""

from labledger.starting import start


def main() -> None:
    """Run the command line and exit."""
    start("payment_simulator.cli.main")
