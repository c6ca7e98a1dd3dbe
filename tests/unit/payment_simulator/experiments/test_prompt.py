"""The prompt of a language model."""

import json
import re

import pytest
from contexts import FRACTION, constrained, make_context
from scenarios import make_scenario, once, pay

from payment_simulator.experiments.proposers.constraints import stored_policy
from payment_simulator.experiments.proposers.prompt import prompt_for
from payment_simulator.experiments.proposers.protocol import Attempt
from payment_simulator.policy.fields_and_actions import ACTIONS, FIELDS


def section(prompt, title):
    """The lines under a title."""
    return prompt.partition(f"# {title}\n")[2].partition("\n\n# ")[0].splitlines()


def test_a_bank_sees_its_costs_by_kind_and_the_others_totals():
    prompt = prompt_for(make_context(), {})
    lines = section(prompt, "Costs under the policies that hold now")
    assert lines == [
        "A, yours: 4,821 cents, of which",
        "- liquidity: 4,500",
        "- delay: 321",
        "The other banks: B 4,821",
    ]


def test_a_bank_sees_the_game_its_own_facts_and_what_happens_to_it():
    events = [pay("A", "B", 15_000, deadline=1), pay("B", "C", 777), once("GlobalArrivalRateChange", multiplier=0.5)]
    scenario = make_scenario(
        {"A": {"liquidity_pool": 90_000, "unsecured_cap": 123}, "B": {"liquidity_pool": 70_000}, "C": {}},
        *events,
        ticks=12,
        days=3,
        lsm={"enable_bilateral": True, "enable_cycles": True, "max_cycle_length": 5},
        deferred_crediting=True,
        deadline_cap_at_eod=True,
    )
    game = "\n".join(section(prompt_for(make_context(scenario=scenario), {}), "The game"))
    for fact in (
        "You decide for A, one of 3 banks",
        "3 day(s) of 12 ticks",
        "can be used in the next tick",
        "offsets payments both ways between two banks and in cycles of 3 to 5 banks",
        "at the latest the last tick of the day",
        '"unsecured_cap": 123, "liquidity_pool": 90000',
        "Liquidity pools of the others: B 70,000, C 0",
        '"amount": 15000',
        '"multiplier": 0.5',
    ):
        assert fact in game
    assert "777" not in game


def test_a_bank_sees_what_is_charged_and_what_is_not():
    scenario = make_scenario(
        {"A": {}, "B": {}},
        costs={
            "overdraft_bps_per_tick": 0.8,
            "deadline_penalty": {"mode": "rate", "bps_per_event": 5},
            "priority_delay_multipliers": {"urgent_multiplier": 2},
        },
    )
    charged, multiplied, free = (
        section(prompt_for(make_context(scenario=scenario), {}), "What is charged")[index] for index in (0, 2, 3)
    )
    assert charged == "- overdraft_bps_per_tick = 0.8 (bps per tick): of credit_used"
    assert '"urgent_multiplier": 2.0' in multiplied
    assert "liquidity_cost_per_tick_bps, " in free
    assert "overdraft" not in free


def test_a_bank_sees_its_policy_and_what_the_experimenter_adds_for_all_and_for_it():
    prompt = prompt_for(make_context(), {"all": "Be careful.", "A": "You are small.", "B": "You are large."})
    assert section(prompt, "Your policy now") == ['{"type": "Fifo", "parameters": {"initial_liquidity_fraction": 0.5}}']
    assert section(prompt, "From the experimenter") == ["Be careful.", "You are small."]
    assert "From the experimenter" not in prompt_for(make_context(), {"B": "You are large."})


def test_a_bank_sees_what_was_tried_and_what_came_of_it():
    history = [
        Attempt(1, {"type": "Deadline"}, True, "saves 120 cents", 5_000, 4_880),
        Attempt(2, {"type": "Fifo"}, False, "saves nothing", 4_880, 5_000),
        Attempt(3, None, False, "no usable answer"),
    ]
    assert section(prompt_for(make_context(history=history), {}), "What was tried") == [
        '- iteration 1, accepted: saves 120 cents; your cost 5,000 -> 4,880; {"type": "Deadline"}',
        '- iteration 2, rejected: saves nothing; your cost 4,880 -> 5,000; {"type": "Fifo"}',
        "- iteration 3, rejected: no usable answer; no policy",
    ]
    assert "What was tried" not in prompt_for(make_context(), {})


def test_a_bank_sees_its_refused_answers_to_this_question_with_the_reasons():
    rejected = [("no JSON", "the answer has no JSON object in it"), ('{"policy": 1}', "policy: should be a section")]
    lines = section(prompt_for(make_context(rejected=rejected), {}), "Your answers to this question that were refused")
    assert lines[1:] == [
        "Answer: no JSON",
        "Refused because: the answer has no JSON object in it",
        'Answer: {"policy": 1}',
        "Refused because: policy: should be a section",
    ]


def test_a_bank_sees_the_latest_of_what_was_tried_and_a_prompt_is_bounded():
    policy = {"type": "Fifo", "description": "x" * 90_000}
    agents = {f"BANK_{number:04}": {"liquidity_pool": number} for number in range(2_000)}
    scenario = make_scenario(agents, *(pay("BANK_0000", "BANK_0001", 5) for _ in range(1_000)))
    context = make_context(
        "BANK_0000",
        scenario,
        policies=dict.fromkeys(agents, policy),
        history=[Attempt(number, policy, False, "r" * 50_000, 1, 2) for number in range(1_000)],
        rejected=[("a" * 200_000, "b" * 20_000)] * 20,
    )
    prompt = prompt_for(context, {})
    assert len(prompt) < 120_000
    tried = section(prompt, "What was tried")
    assert tried[0] == "The latest 12 of 1000 proposals for your bank, oldest first."
    assert [line.partition(",")[0] for line in tried[1:]] == [f"- iteration {number}" for number in range(988, 1_000)]
    assert "and 1974 more" in prompt


def test_every_field_and_action_that_is_free_is_explained_with_its_unit():
    lines = section(prompt_for(make_context(), {}), "What you may propose")
    for name, (unit, _) in FIELDS["payment_tree"].items():
        assert any(line.startswith(f"- {name} ({unit}): ") for line in lines)
    for actions in ACTIONS.values():
        for name in actions:
            assert any(re.match(rf"- {name}\b.*: ", line) for line in lines)
    assert any(line.startswith(f"- {FRACTION}: share of its liquidity pool") for line in lines)


def test_only_what_is_allowed_is_offered():
    limits = constrained(
        allowed_parameters=[
            {"name": FRACTION, "min_value": 0.1, "max_value": 0.6},
            {"name": "limit", "param_type": "int", "allowed_values": [1, 2, 5]},
        ],
        allowed_fields=["amount", "bank_state_x"],
        allowed_actions={"payment_tree": ["Release", "Drop"], "bank_tree": []},
    )
    text = "\n".join(section(prompt_for(make_context(constraints=limits), {}), "What you may propose"))
    assert f"- {FRACTION}: from 0.1 to 0.6; share of its liquidity pool" in text
    assert "- limit: whole number, one of 1, 2, 5" in text
    assert "- amount (cents): of the payment" in text
    assert "- bank_state_x: a register" in text
    assert "- Drop: " in text
    assert "There may be no bank_tree." in text
    assert not re.search(r"- (Hold|NoAction|balance|bank_state_NAME)\b", text)


def test_a_bank_is_told_what_it_may_keep_and_which_numbers_may_not_change():
    keep, again = "your policy has now may stay, listed or not", "may not change: write it again"
    for limits, told in (
        ({}, (False, False)),
        ({"allowed_fields": ["amount"]}, (True, False)),
        ({"allowed_parameters": [{"name": FRACTION, "min_value": 0, "max_value": 1}]}, (True, True)),
    ):
        text = prompt_for(make_context(constraints=constrained(**limits)), {})
        assert (keep in text, again in text) == told


def test_where_no_payment_tree_may_act_trees_are_not_spoken_of():
    prompt = prompt_for(make_context(constraints=constrained(allowed_actions={"payment_tree": []})), {})
    assert "tree" not in "\n".join(section(prompt, "What you may propose"))


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"allowed_parameters": [{"name": FRACTION, "min_value": 0.2, "max_value": 0.3}]},
        {"allowed_parameters": [{"name": FRACTION, "allowed_values": [0.0, 0.7]}]},
        {"allowed_parameters": [{"name": FRACTION, "param_type": "int", "min_value": 0, "max_value": 1}]},
        {"allowed_parameters": [{"name": "limit", "min_value": 3, "max_value": 4}]},
        {"allowed_fields": ["balance"]},
        {"allowed_fields": []},
        {"allowed_fields": ["bank_state_x"], "allowed_actions": {"payment_tree": ["Split"]}},
        {"allowed_actions": {"payment_tree": ["Reprioritize", "Hold"]}},
        {"allowed_actions": {"payment_tree": []}},
    ],
)
def test_the_examples_in_a_prompt_are_allowed(limits):
    constraints = constrained(**limits)
    context = make_context(constraints=constraints)
    prompt = prompt_for(context, {})
    stored_policy(json.loads(section(prompt, "Your answer")[-1])["policy"], constraints, context.bank)
    documents = [json.loads(line) for line in prompt.splitlines() if line.startswith('{"version"')]
    assert len(documents) == (0 if limits.get("allowed_actions") == {"payment_tree": []} else 1)
    for document in documents:
        stored_policy(document, constraints, context.bank)
