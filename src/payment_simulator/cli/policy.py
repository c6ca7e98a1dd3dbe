"""`payment-sim policy`."""

from pathlib import Path
from typing import Annotated

import typer

from labledger.commands import make_group, reporting_errors

policy_app = make_group("Show the fields and actions of decision trees; check a policy.")


@policy_app.command()
@reporting_errors
def schema(ctx: typer.Context) -> None:
    """Print every field with its unit, every action with its parameters, and every operator."""
    print_words()


@policy_app.command()
@reporting_errors
def validate(
    ctx: typer.Context, file: Annotated[Path, typer.Argument(help="A policy in JSON.", show_default=False)]
) -> None:
    """Check a policy; every error is listed, with its path in the tree."""
    from labledger.console import print_answer
    from payment_simulator.policy.policies import load_policy

    load_policy(file)
    print_answer(f"{file}: a policy that can be run")


def print_words() -> None:
    """Print the fields, actions and operators of decision trees."""
    from labledger.console import print_answer, print_table
    from payment_simulator.policy.derived_fields import DERIVED
    from payment_simulator.policy.fields_and_actions import (
        ACTION_MEANINGS,
        ACTIONS,
        COMMON_FIELDS,
        COMPARISONS,
        MANY_SIDED,
        ONE_SIDED,
        PAYMENT_FIELDS,
        STATE_PREFIX,
        TWO_SIDED,
    )

    heads = ("field", "unit", "what it is")
    print_answer("Fields that every tree may ask, and registers: " + STATE_PREFIX + "NAME, 0 until set\n")
    common = {**COMMON_FIELDS, **{name: each[:2] for name, each in DERIVED.items() if not each.of_payment}}
    print_table(heads, [(name, *field) for name, field in common.items()])
    print_answer("Fields that a payment_tree may ask, too\n")
    of_payments = {**PAYMENT_FIELDS, **{name: each[:2] for name, each in DERIVED.items() if each.of_payment}}
    print_table(heads, [(name, *field) for name, field in of_payments.items()])
    print_answer("Actions\n")
    rows = [
        (kind, name, ", ".join([*parameters, *_further(name)]), ACTION_MEANINGS[name])
        for kind, actions in ACTIONS.items()
        for name, parameters in actions.items()
    ]
    print_table(("tree", "action", "parameters", "what it does"), rows)
    print_answer(
        f"Conditions: {' '.join(COMPARISONS)} (left, right), and, or (conditions), not (condition)\n"
        f"Computations: {' '.join(TWO_SIDED)} (left, right), {' '.join(MANY_SIDED)} (values), "
        f"{' '.join(ONE_SIDED)} (value), clamp (value, min, max)\n"
        "Values: {field: NAME}, {param: NAME}, {value: NUMBER}, {compute: …}"
    )


def _further(action: str) -> list[str]:
    """Return the parameters that an action need not have, in brackets."""
    from payment_simulator.policy.fields_and_actions import FURTHER_PARAMETERS

    return [f"[{each}]" for each in FURTHER_PARAMETERS.get(action, ())]
