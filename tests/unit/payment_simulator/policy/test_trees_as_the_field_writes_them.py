"""Decision trees in the words of other simulators: other names, comments, timers, budgets by counterparty."""

import json
from pathlib import Path

import pytest
from scenarios import act, agents, ask, happened, make_scenario, pay, play, released, settled, trees

from labledger.errors import ConfigError
from payment_simulator import load_scenario
from payment_simulator.cli.scenario_options import with_options
from payment_simulator.policy.advice import advice_on_trees
from payment_simulator.policy.documents import document_of
from payment_simulator.policy.policies import load_policy, policies_of, read_policy
from payment_simulator.sweeps.sweeping import scenarios_of

FIELD = Path(__file__).parents[5] / "shared" / "data" / "simcash" / "policies"


def alike(scenario):
    """The outcome of a scenario, the same in both engines to the event."""
    found, other = play(scenario), play(scenario, "kernel")
    assert found.rows.tolist() == other.rows.tolist()
    return found


def run(policy, *payments, ticks=1, days=1, others=None, further=None, **fields):
    banks = {**agents(policy, **fields), **(others or {})}
    return alike(make_scenario(banks, *payments, ticks=ticks, days=days, **(further or {})))


def amounts(outcome, *kinds):
    return [(row[0], row[4]) for row in happened(outcome, *kinds)]


@pytest.mark.skipif(not FIELD.is_dir(), reason="the field's files are not beside the repository")
def test_every_policy_of_the_fields_other_simulator_is_read_as_it_is(tmp_path):
    folder = tmp_path / "simulator" / "policies"
    folder.mkdir(parents=True)
    files = sorted(FIELD.glob("*.json"))
    assert len(files) > 10
    for path in files:
        (folder / path.name).write_text(path.read_text())
        policy = load_policy(folder / path.name)
        assert read_policy(document_of(policy)) == (policy, [])


def test_what_only_comments_means_nothing():
    plain = trees(ask("amount", ">", 5, act("Hold"), act("Release")))
    noted = json.loads(json.dumps(plain))
    noted |= {"description": "d", "comment": "c", "_author": {"any": 1}, "bank_tree": None}
    noted["payment_tree"] |= {"description": "d", "name": "root", "_x": [1]}
    noted["payment_tree"]["on_true"] |= {"hold_reason": "late", "parameters": {"reason": {"value": "Because"}, "_y": 1}}
    assert read_policy(noted) == read_policy(plain)


def test_a_parameter_that_is_unknown_and_no_text_is_refused():
    _, problems = read_policy(trees(act("Hold", ticks={"value": 3})))
    assert [path for path, _ in problems] == ["payment_tree.parameters.ticks"]


@pytest.mark.parametrize(
    ("kind", "alias", "name"),
    [
        ("payment_tree", act("ReleaseWithCredit"), act("Release")),
        ("payment_tree", act("PaceAndRelease", num_splits=2), act("Split", num_splits=2)),
        ("bank_tree", act("Hold", reason={"value": "r"}), act("NoAction")),
        (
            "bank_tree",
            act("SetState", key={"value": "bank_state_x"}, value=1),
            act("SetState", key="bank_state_x", value=1),
        ),
    ],
)
def test_another_name_of_an_action_is_that_action(kind, alias, name):
    assert read_policy({**trees(), kind: alias}) == read_policy({**trees(), kind: name})


def test_the_strategic_collateral_tree_is_the_collateral_tree_and_not_both():
    post = act("PostCollateral", amount=5)
    assert read_policy(trees(strategic_collateral_tree=post)) == read_policy(trees(collateral_tree=post))
    _, problems = read_policy(trees(strategic_collateral_tree=post, collateral_tree=post))
    assert problems == [("strategic_collateral_tree", "is another name of collateral_tree, which stands there, too")]


def test_the_tree_at_the_ticks_end_sees_what_settled_and_its_collateral_is_charged_in_that_tick():
    """A has paid 10 of nothing when it posts 40: 5 % of that is 2 cents in tick 0, not in the one before."""
    tree = ask("balance", "<", 0, act("PostCollateral", amount=40), act("HoldCollateral"))
    banks = {
        "A": {"policy": trees(end_of_tick_collateral_tree=tree), "unsecured_cap": 10, "max_collateral_capacity": 90}
    }
    costs = {"collateral_cost_per_tick_bps": 500}
    outcome = alike(make_scenario({**banks, "B": {}}, pay("A", "B", 10, tick=1), ticks=2, costs=costs))
    assert amounts(outcome, "CollateralPosted") == [(1, 40)]
    assert outcome.costs[0].sum() == 2


def test_collateral_with_a_timer_is_withdrawn_so_many_ticks_later_before_trees_are_asked():
    tree = ask(
        "current_tick", "==", 0, act("PostCollateral", amount=40, auto_withdraw_after_ticks=2), act("HoldCollateral")
    )
    outcome = run(trees(collateral_tree=tree), ticks=4, max_collateral_capacity=90)
    assert amounts(outcome, "CollateralPosted", "CollateralWithdrawn") == [(0, 40), (2, 40)]


def test_timers_that_end_in_one_tick_withdraw_their_sum():
    """20 in tick 0 for 2 ticks, 5 in tick 1 for 1 (a number below 1 is taken as 1)."""
    later = ask(
        "current_tick", "==", 1, act("PostCollateral", amount=5, auto_withdraw_after_ticks=-3), act("HoldCollateral")
    )
    tree = ask("current_tick", "==", 0, act("PostCollateral", amount=20, auto_withdraw_after_ticks=2), later)
    outcome = run(trees(collateral_tree=tree), ticks=4, max_collateral_capacity=90)
    assert amounts(outcome, "CollateralPosted", "CollateralWithdrawn") == [(0, 20), (1, 5), (2, 25)]


def test_collateral_that_was_withdrawn_before_its_timer_ends_is_withdrawn_once():
    withdraw = ask("current_tick", "==", 1, act("WithdrawCollateral", amount=30), act("HoldCollateral"))
    tree = ask("current_tick", "==", 0, act("PostCollateral", amount=40, auto_withdraw_after_ticks=2), withdraw)
    outcome = run(trees(collateral_tree=tree), ticks=4, max_collateral_capacity=90)
    assert amounts(outcome, "CollateralPosted", "CollateralWithdrawn") == [(0, 40), (1, 30), (2, 10)]


def test_what_the_credit_in_use_needs_stays_when_a_timer_ends():
    tree = ask(
        "current_tick", "==", 0, act("PostCollateral", amount=40, auto_withdraw_after_ticks=1), act("HoldCollateral")
    )
    outcome = run(trees(collateral_tree=tree), pay("A", "B", 30), ticks=4, max_collateral_capacity=90)
    assert amounts(outcome, "CollateralPosted", "CollateralWithdrawn") == [(0, 40), (1, 10)]


@pytest.mark.parametrize(("flag", "priority"), [("HIGH", 10), ("MEDIUM", 5), ("LOW", 1)])
def test_a_release_with_a_flag_has_its_priority(flag, priority):
    outcome = run(trees(act("Release", priority_flag={"value": flag})), pay("A", "B", 4, priority=3))
    rows = outcome.events().to_pylist()
    assert [row["priority"] for row in rows if row["event"] == "PolicyReprioritize"] == [priority]
    assert released(outcome) == [(0, 4)]


def budget(**parameters):
    return trees(bank_tree=ask("current_tick", "==", 0, act("SetReleaseBudget", **parameters), act("NoAction")))


def test_a_budget_of_a_tick_ends_with_it_and_one_of_an_amount_is_used_up():
    payments = [pay("A", "B", 4), pay("A", "B", 3), pay("A", "B", 9, tick=1)]
    assert released(run(budget(max_value_to_release=5), *payments, ticks=2)) == [(0, 4), (1, 3), (1, 9)]
    assert released(run(budget(amount=5), *payments, ticks=2)) == [(0, 4)]


def test_a_budget_may_be_for_some_banks_alone_and_for_each_so_much():
    others = {"C": {}, "D": {}}
    payments = [pay("A", "B", 4), pay("A", "C", 3), pay("A", "C", 2), pay("A", "D", 1)]
    focused = budget(max_value_to_release=100, focus_cpty_list={"value": ["C", "D"]}, max_per_cpty=4)
    assert released(run(focused, *payments, others=others)) == [(0, 3), (0, 1)]
    open_to_all = budget(max_value_to_release=100, focus_counterparties=[], max_per_counterparty=4)
    assert released(run(open_to_all, *payments, others=others)) == [(0, 4), (0, 3), (0, 1)]


@pytest.mark.parametrize(("registers", "days"), [("keep", [1]), ("daily", [])])
def test_registers_survive_midnight_unless_they_are_daily(registers, days):
    """A counts the ticks of two days of two, and pays in the second once it has counted 3."""
    counts = trees(
        ask("bank_state_n", ">=", 3, act("Release"), act("Hold")),
        bank_tree=act("AddState", key="bank_state_n", value=1),
    )
    further = {"registers": registers}
    outcome = run(counts, pay("A", "B", 1), ticks=2, days=2, further=further, opening_balance=9)
    assert [row[0] // 2 for row in settled(outcome)] == days


def test_a_tree_sees_what_waits_in_the_central_queue_between_its_bank_and_the_receiver():
    """A owes B 30 and 20 there, B owes A 40: A sends the last 1 in tick 1, for 50 - 40 is 10."""
    sends = ask("my_bilateral_net_q2", "==", 10, act("Release"), act("Hold"))
    first = trees(ask("current_tick", "==", 0, act("Release"), sends))
    payments = [
        pay("A", "B", 30),
        pay("A", "B", 20),
        pay("B", "A", 40),
        pay("A", "B", 1, tick=1),
        pay("A", "C", 2, tick=1),
    ]
    outcome = run(first, *payments, ticks=2, others={"C": {}})
    assert released(outcome) == [(0, 30), (0, 20), (0, 40), (1, 1)]


def test_the_throughput_of_today_is_what_settled_of_what_was_to_settle():
    """Tick 0: 60 settles, 40 waits. Tick 1: 60 of 100. The next day begins with 0 of 40."""
    shares = ask("my_throughput_fraction_today", "==", 0.6, act("PostCollateral", amount=6), act("HoldCollateral"))
    tree = ask("my_throughput_fraction_today", "==", 0, act("PostCollateral", amount=1), shares)
    early = ask("amount", "==", 60, act("Release"), act("Hold"))
    payments = [pay("A", "B", 60), pay("A", "B", 40)]
    policy = trees(early, collateral_tree=tree)
    outcome = run(policy, *payments, ticks=2, days=2, opening_balance=60, max_collateral_capacity=90)
    assert amounts(outcome, "CollateralPosted") == [(0, 1), (1, 6), (2, 1), (3, 1)]


def test_a_budget_for_a_bank_that_there_is_not_is_refused():
    scenario = make_scenario(agents(budget(amount=5, focus_counterparties=["Z"])))
    with pytest.raises(ConfigError, match="A: policy: focus_counterparties: unknown bank 'Z'"):
        policies_of(scenario)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"amount": 1, "max_value_to_release": 2}, ".max_value_to_release: and amount cannot both be given"),
        ({"max_per_counterparty": 2}, ".max_value_to_release: required, and missing"),
        (
            {"amount": 1, "max_per_cpty": 2, "max_per_counterparty": 2},
            ": max_per_cpty: is another name of max_per_counterparty; write one of them",
        ),
    ],
)
def test_a_budget_has_one_amount_and_each_parameter_one_name(parameters, problem):
    _, problems = read_policy(budget(**parameters))
    assert f"bank_tree.on_true.parameters{problem}" in [": ".join(each) for each in problems]


def test_a_field_of_payments_in_another_tree_is_refused_with_the_tree_that_has_it():
    _, problems = read_policy(trees(bank_tree=ask("ticks_to_deadline", "<", 1, act("NoAction"), act("NoAction"))))
    text = "unknown field 'ticks_to_deadline' of a bank_tree: it is of a payment, and a payment_tree alone has it"
    assert problems == [("bank_tree.condition.left.field", text)]


def test_a_bank_whose_trees_post_collateral_and_that_can_post_none_is_told():
    policy = trees(collateral_tree=act("PostCollateral", amount=5))
    for capacity, told in ((0, ["agents.A"]), (5, [])):
        scenario = make_scenario(agents(policy, max_collateral_capacity=capacity))
        assert [each.split(":")[0] for each in advice_on_trees(scenario, policies_of(scenario))] == told


def test_the_day_ends_in_a_rush_from_the_threshold_on():
    rush = trees(ask("is_eod_rush", "==", 1, act("Release"), act("Hold")))
    scenario = make_scenario(agents(rush, opening_balance=9), pay("A", "B", 9), ticks=4, eod_rush_threshold=0.5)
    assert [row[0] for row in settled(alike(scenario))] == [2]


def test_a_document_with_any_of_these_is_written_back_as_it_was_read():
    policy, problems = read_policy(
        trees(
            ask(
                "is_in_queue2",
                "==",
                1,
                act("ResubmitToRtgs", rtgs_priority="Urgent"),
                act("Release", priority_flag="LOW"),
            ),
            bank_tree=act(
                "SetReleaseBudget", max_value_to_release=5, focus_counterparties=["B"], max_per_counterparty=2
            ),
            collateral_tree=act("PostCollateral", amount=3, auto_withdraw_after_ticks=2),
        )
    )
    assert problems == []
    assert read_policy(document_of(policy)) == (policy, [])


def test_a_tree_that_is_exported_from_a_scenario_is_the_same_policy(tmp_path):
    (tmp_path / "p.json").write_text(json.dumps(budget(max_value_to_release=5)))
    (tmp_path / "s.yaml").write_text(
        "simulation: {ticks_per_day: 1}\nagents: [{id: A, policy: {type: FromJson, json_path: p.json}}, {id: B}]\n"
    )
    assert policies_of(load_scenario(tmp_path / "s.yaml"))[0] == load_policy(tmp_path / "p.json")


def test_a_policys_file_is_also_looked_for_by_its_name_beside_the_scenario_and_may_be_given_params(tmp_path):
    document = trees(ask("amount", ">", 0, act("Release"), act("Hold")), parameters={"least": 50})
    document["payment_tree"]["condition"]["right"] = {"param": "least"}
    (tmp_path / "p.json").write_text(json.dumps(document))
    policy = "{type: FromJson, json_path: simulator/policies/p.json, params: {least: 10}%s}"
    scenario = "simulation: {ticks_per_day: 1}\nagents: [{id: A, policy: %s}, {id: B}]\n"
    (tmp_path / "s.yaml").write_text(scenario % (policy % ""))
    found = policies_of(load_scenario(tmp_path / "s.yaml"))[0]
    assert found == read_policy({**document, "parameters": {"least": 10}})[0]
    (tmp_path / "s.yaml").write_text(scenario % (policy % ", parameters: {least: 1}"))
    with pytest.raises(ConfigError, match="params"):
        load_scenario(tmp_path / "s.yaml")


def test_a_policys_file_is_looked_for_in_the_folder_that_the_scenario_names(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "p.json").write_text(json.dumps(trees(act("Hold"))))
    scenario = (
        "simulation: {ticks_per_day: 1}\nagents: [{id: A, policy: {type: FromJson, json_path: far/p.json}}, {id: B}]\n"
    )
    path = tmp_path / "s.yaml"
    path.write_text(scenario)
    with pytest.raises(ConfigError, match=r"and by its name beside the scenario; --policies DIR names a folder"):
        load_scenario(path)
    path.write_text(f"{scenario}policies: kept\n")
    assert policies_of(load_scenario(path))[0] == read_policy(trees(act("Hold")))[0]
    path.write_text(f"{scenario}policies: s.yaml\n")
    with pytest.raises(ConfigError, match=r"s\.yaml:3: policies: s\.yaml: should be a folder"):
        load_scenario(path)


def test_a_sweep_and_a_command_name_the_folder_of_policies_files(tmp_path):
    folder = tmp_path / "kept, by others"
    folder.mkdir()
    (folder / "p.json").write_text(json.dumps(trees(act("Hold"))))
    path = tmp_path / "s.yaml"
    path.write_text(
        "simulation: {ticks_per_day: 1}\nagents: [{id: A, policy: {type: FromJson, json_path: far/p.json}}]\n"
    )
    found = [load_scenario(path, with_options([], None, folder)), scenarios_of(path, folder).changed(())]
    assert [policies_of(each)[0] for each in found] == [read_policy(trees(act("Hold")))[0]] * 2
    assert "policies" not in found[0].model_dump()


def test_what_waits_between_two_of_very_many_banks_is_the_same_in_both_engines():
    """So many that a pair of them has a row only where it has payments."""
    few = ["B0000", "B0700", "B1499"]
    asks = ask("my_q2_out_value_to_counterparty", ">", 20, act("Hold"), act("Release", priority_flag="HIGH"))
    policy = trees(ask("my_q2_in_value_from_counterparty", ">", 9, act("Release"), asks))
    banks = {name: {"policy": policy} if name in few else {} for name in (f"B{number:04d}" for number in range(1500))}
    ways = [(one, other) for one in few for other in few if one != other and one != "B1499"]
    payments = [pay(*way, 10 + place, tick=tick) for tick in range(4) for place, way in enumerate(ways)]
    outcome = alike(make_scenario(banks, *payments, ticks=4))
    assert 0 < len(released(outcome)) < len(payments)
