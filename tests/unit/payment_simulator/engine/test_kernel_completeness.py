"""The kernel takes its numbers from the enums, and is refused at import where it leaves one out."""

from enum import IntEnum

import pytest

from payment_simulator.engine.kernel import costs, outages, policies, policy_vm, queues, run, scenario_events, workspace
from payment_simulator.engine.kernel.completeness import check_complete
from payment_simulator.engine.kernel.layout import BANK_COLUMNS, COSTS, check_same_order
from payment_simulator.engine.vocabulary import Cost, EventKind
from payment_simulator.policy.compile import Op
from payment_simulator.policy.fields_and_actions import ActionKind

MODULES = [costs, outages, policies, policy_vm, queues, run, scenario_events, workspace]
IDLE = [ActionKind.NoAction, ActionKind.HoldCollateral]


@pytest.mark.parametrize("kind", [Cost, EventKind, ActionKind, Op])
def test_a_kind_that_the_kernel_has_no_code_for_is_refused_by_name(kind):
    members = {each.name: each.value for each in kind}
    extended = IntEnum(kind.__name__, {**members, "Unheard": len(kind)})
    with pytest.raises(ImportError, match=rf"no code for .*{kind.__name__}\.Unheard: add to engine/kernel"):
        check_complete(MODULES, [extended], idle=IDLE)


def test_there_is_a_column_for_each_kind_of_cost_and_it_is_the_last():
    assert len(Cost) == BANK_COLUMNS - COSTS


@pytest.mark.parametrize(
    ("kernel", "found"),
    [
        (["amount"], "has no more where FIELDS of policy/fields_and_actions.py has age;"),
        (["amount", "age", "rank"], "has rank where FIELDS of policy/fields_and_actions.py has no more;"),
        (["age", "amount"], "has age where FIELDS of policy/fields_and_actions.py has amount;"),
    ],
)
def test_fields_of_trees_in_another_order_than_the_policies_are_refused(kernel, found):
    with pytest.raises(ImportError) as refused:
        check_same_order(kernel, ["amount", "age"])
    assert found in str(refused.value)
