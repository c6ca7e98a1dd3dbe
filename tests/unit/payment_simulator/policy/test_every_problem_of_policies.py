"""Every problem of a policy is told at once, and none that only follows from another."""

from payment_simulator.policy.policies import read_policy

TREE = {
    "type": "condition",
    "condition": {"op": ">", "left": {"field": "balance"}, "right": {"param": "buffer"}},
    "on_true": {"type": "action", "action": "Hold"},
    "on_false": {"type": "action", "action": "Relese"},
}


def test_a_number_that_is_wrong_is_told_where_it_stands_and_not_where_it_is_used():
    places = [place for place, _ in read_policy({"parameters": {"buffer": "x"}, "payment_tree": TREE})[1]]
    assert places == ["parameters.buffer", "payment_tree.on_false.action"]


def test_a_number_that_is_wrong_in_the_document_may_be_set_over_without_another_problem():
    document = {"parameters": {"buffer": "x"}, "payment_tree": TREE}
    policy = {"type": "FromJson", "document": document, "parameters": {"buffer": 5}}
    places = [place for place, _ in read_policy(policy)[1]]
    assert places == ["document.parameters.buffer", "document.payment_tree.on_false.action"]
