"""The entry point of `llem`, which imports nothing else before Ctrl-C is heeded."""

from labledger.starting import start


def main() -> None:
    """Run the command line and exit."""
    start("llenergymeasure.cli.main")
