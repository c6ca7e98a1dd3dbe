"""`payment-sim template`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from labledger.commands import reporting_errors


class Kind(StrEnum):
    """A kind of file that a user writes."""

    SCENARIO = "scenario"
    EXPERIMENT = "experiment"
    POLICY = "policy"
    PAYMENTS = "payments"


@reporting_errors
def template(
    ctx: typer.Context,
    kind: Annotated[Kind, typer.Argument(help="The kind of file; payments: a day of them in CSV.")] = Kind.SCENARIO,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it to this new file.", show_default=False)
    ] = None,
) -> None:
    """Print a file to start from, which runs as it is; an experiment is of scenario.yaml beside it."""
    import os

    from labledger.console import print_answer
    from labledger.errors import ConfigError
    from labledger.files import write_durably
    from payment_simulator.cli.outputs import check_place
    from payment_simulator.cli.template_texts import TEMPLATES

    text = TEMPLATES[kind]
    if output is None:
        print_answer(text, end="")
        return
    check_place("--output", output)
    if os.path.lexists(output):
        raise ConfigError(f"--output: {output} is there already; name another, or remove it")
    write_durably(output, text.encode())
    print_answer(f"written: {output}", to_stderr=True)
