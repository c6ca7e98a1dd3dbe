"""Endings of runs: the reason, and when it has converged."""

import pytest
import yaml
from scenarios import act, ask, make_scenario, pay, trees
from scripted import FIVE, FRACTION, ROUND, Scripted, borrow, config_of, run_config

from payment_simulator.experiments.proposers.protocol import UnusableAnswerError

REFUSED = UnusableAnswerError("no policy")


def run(proposer=None, **further):
    """The result of a run that keeps nothing."""
    return run_config(config_of(None, **further), proposer)[0]


@pytest.fixture
def go_round(tmp_path):
    (tmp_path / "round.yaml").write_text(ROUND)

    def gone(proposer=None, folder=None, **further):
        rules = {"evaluation": {"nash_gap": "final"}, "policy_constraints": {"allowed_parameters": FIVE}, **further}
        return run_config(config_of(folder, tmp_path / "round.yaml", **rules), proposer)

    return gone


def shares(policies):
    return tuple(policy["parameters"][FRACTION] for policy in policies.values())


def test_a_search_that_comes_back_to_a_profile_ends_at_once_in_the_cycles_profile_of_least_gap(go_round, tmp_path):
    result, iterations, _ = go_round(folder=tmp_path, evaluation={"nash_gap": "every"})
    assert (result.converged, result.convergence_reason) == (False, "cycle of length 2 since iteration 2")
    assert iterations[-1].policies == iterations[1].policies
    assert result.num_iterations == len(iterations) == 4
    gaps = {shares(each.policies): each.nash_gap for each in iterations[1:]}
    assert len(gaps) == 2
    assert result.final_nash_gap == min(gaps.values()) > 0
    assert gaps[shares(result.final_policies)] == result.final_nash_gap


def test_the_gaps_of_a_cycle_are_worked_out_where_they_were_not_stored_unless_they_are_off(go_round, tmp_path):
    every, _, _ = go_round(evaluation={"nash_gap": "every"})
    final, iterations, _ = go_round(folder=tmp_path)
    assert (final.final_policies, final.final_nash_gap) == (every.final_policies, every.final_nash_gap)
    assert {each.nash_gap for each in iterations} == {None}
    off, _, _ = go_round(evaluation={"nash_gap": "off"})
    assert off.convergence_reason == every.convergence_reason
    assert (off.final_policies, off.final_nash_gap) == (iterations[-1].policies, None)


def test_a_cycle_of_small_moves_ends_in_stability_and_not_as_a_cycle(go_round):
    result, _, _ = go_round(convergence={"stability_threshold": 1.0}, window=3)
    assert (result.converged, result.convergence_reason) == (True, "stability")
    assert result.num_iterations == 4


def there_and_back():
    return Scripted(A=[borrow(1), borrow(0.5)] * 9, B=[borrow(0), borrow(0.25)] * 9)


@pytest.mark.parametrize(
    ("iterations", "reason"), [(5, "cycle of length 2 since iteration 2"), (3, "max_iterations"), (2, "max_iterations")]
)
def test_other_proposers_are_heard_to_the_end_and_cycle_only_if_two_periods_are_equal(go_round, iterations, reason):
    result, _, _ = go_round(there_and_back(), iterations=iterations)
    assert (result.convergence_reason, result.num_iterations) == (reason, iterations)


def test_a_model_that_only_proposes_worse_has_converged_at_an_equilibrium():
    worse = Scripted(BANK_A=[borrow(0), borrow(0.9)], BANK_B=[borrow(0.2), borrow(0.9)])
    result = run(worse, window=2, evaluation={"nash_gap": "final"})
    assert (result.converged, result.convergence_reason, result.final_nash_gap) == (True, "stability", 0)


def test_a_model_that_only_proposes_worse_has_not_converged_where_a_bank_could_still_save():
    worse = Scripted(BANK_A=[borrow(0.9)], BANK_B=[borrow(0.9)])
    result = run(worse, window=2, evaluation={"nash_gap": "final"})
    reason = f"nobody moved for 2 iterations, and a bank could still save 5,000 cents ({result.final_nash_gap_kind})"
    assert (result.converged, result.convergence_reason.replace("at least ", "")) == (False, reason)
    assert (result.num_iterations, result.final_nash_gap) == (3, 5_000)


def test_without_a_gap_a_model_must_have_proposed_the_policies_that_hold():
    worse = Scripted(BANK_A=[borrow(0), borrow(0.9)], BANK_B=[borrow(0.2), borrow(0.9)])
    result = run(worse, window=2)
    reason = "nobody moved for 2 iterations, and it is not known what a bank could still save"
    assert (result.converged, result.convergence_reason) == (False, reason)
    same = Scripted(BANK_A=[borrow(0.0), {**borrow(0.0), "type": "Fifo"}], BANK_B=[borrow(0.2), borrow(0.200001)])
    result = run(same, window=2)
    assert (result.converged, result.convergence_reason) == (True, "stability")
    result = run(window=2)  # the search
    assert result.converged


def test_the_stability_threshold_is_allowed_of_each_banks_own_cost():
    """BANK_A would save all of its 5,000 cents, BANK_B 3,000 of as many."""
    for threshold, converged in ((1.0, True), (0.99, False)):
        same = Scripted(BANK_A=[borrow(0.5)], BANK_B=[borrow(0.5)])
        rules = {"evaluation": {"nash_gap": "final"}, "convergence": {"stability_threshold": threshold}}
        result = run(same, window=2, **rules)
        assert result.converged is converged
    rules = {"evaluation": {"nash_gap": "final"}, "convergence": {"stability_threshold": 0.7}}
    only_b = run(Scripted(BANK_B=[borrow(0.5)]), window=2, optimized_agents=["BANK_B"], **rules)
    assert (only_b.converged, only_b.final_nash_gap) == (True, 3_000)


def test_where_costs_are_sampled_the_whole_interval_of_the_gap_must_lie_above_the_threshold():
    sampled = {"mode": "monte_carlo", "num_samples": 12, "nash_gap": "final"}
    for share, converged in ((0.9, False), (0.12, True)):
        same = Scripted(BANK_A=[borrow(share)], BANK_B=[borrow(share)])
        few = {"allowed_parameters": [{"name": FRACTION, "allowed_values": [0.05, 0.12, 0.5, 0.9]}]}
        rules = {"window": 2, "iterations": 5, "policy_constraints": few}
        result = run(same, scenario="castro_exp2.yaml", evaluation=sampled, **rules)
        assert result.converged is converged
        assert (result.final_nash_gap > result.final_nash_gap_half_width) is not converged


def test_a_bound_contradicts_by_the_best_that_was_seen_and_leaves_the_rest_to_the_proposer(tmp_path):
    """A pays 1,000 as soon as it has so much, which its tree asks; so each of its 5,001 allocations would be run."""

    def holding(fraction):
        tree = ask("balance", ">=", 1_000, act("Release"), act("Hold"))
        return trees(tree, parameters={FRACTION: fraction})

    game = make_scenario(
        {"A": {"liquidity_pool": 5_000, "policy": holding(0.5)}, "B": {}},
        pay("A", "B", 1_000, deadline=3),
        ticks=4,
        costs={"liquidity_cost_per_tick_bps": 500, "delay_cost_per_tick_per_cent": 0.1},
    )
    (tmp_path / "game.yaml").write_text(yaml.safe_dump(game.model_dump(mode="json")))
    rules = {"scenario": tmp_path / "game.yaml", "optimized_agents": ["A"], "window": 2, "iterations": 4}
    for answers, converged, reason in (
        (
            [holding(0.9)],
            False,
            "nobody moved for 2 iterations, and a bank could still save at least 300 cents (bounded)",
        ),
        ([holding(0.2), holding(0.9)], False, "nobody moved for 2 iterations, and it is not known"),
        ([holding(0.2)], True, "stability"),
        (None, True, "stability"),
    ):
        proposer = None if answers is None else Scripted(A=answers)
        result = run(proposer, **rules, evaluation={"nash_gap": "final", "nash_gap_budget": 2_000})
        assert result.final_nash_gap_kind == "bounded"
        assert result.converged is converged
        assert result.convergence_reason.startswith(reason)


def test_a_bank_without_a_valid_proposal_ends_a_run_in_which_nobody_moves_with_its_first_refusal():
    answers = [UnusableAnswerError("not JSON"), borrow(2.0)]
    result = run(Scripted(BANK_A=answers, BANK_B=[REFUSED, borrow(0.5)]), window=2, iterations=9)
    assert (result.converged, result.convergence_reason) == (False, "no_valid_proposal")
    assert result.first_refusal == "BANK_A in iteration 1: not JSON"
    assert result.num_iterations == 3
    assert result.refused_proposals == 9  # BANK_A's 4 answers in each of 2 iterations, and one of BANK_B


def test_the_refusal_that_is_told_is_of_the_bank_that_was_never_heard():
    refused = Scripted(BANK_A=[REFUSED, borrow(0.5)], BANK_B=[UnusableAnswerError("not JSON")])
    result = run(refused, window=2)
    assert (result.convergence_reason, result.first_refusal) == (
        "no_valid_proposal",
        "BANK_B in iteration 1: not JSON",
    )
    heard = Scripted(BANK_A=[REFUSED, borrow(0.5)], BANK_B=[borrow(0.5)])
    result = run(heard, window=2)
    assert (result.refused_proposals, result.first_refusal) == (1, "BANK_A in iteration 1: no policy")


def test_a_bank_that_was_never_heard_to_the_end_is_the_reason_though_others_moved():
    creeping = [borrow(0.5 - step / 10) for step in range(1, 9)]
    result = run(Scripted(BANK_A=creeping, BANK_B=[REFUSED]), window=2, iterations=3)
    assert (result.convergence_reason, result.num_iterations) == ("no_valid_proposal", 3)
    assert result.first_refusal == "BANK_B in iteration 1: no policy"


def test_it_is_not_stable_while_a_banks_last_proposal_was_refused():
    four = [REFUSED] * 4  # an answer and its retries
    late = Scripted(BANK_A=[borrow(0.9), *four, borrow(0.9)], BANK_B=[borrow(0.9)])
    result = run(late, window=2, evaluation={"nash_gap": "final"})
    assert "nobody moved for 2 iterations" in result.convergence_reason
    assert result.num_iterations == 4  # after the third, in which the proposal is valid again


def test_without_a_refusal_none_is_told():
    result = run(Scripted(BANK_A=[borrow(0)], BANK_B=[borrow(0.2)]), iterations=2)
    assert (result.refused_proposals, result.first_refusal) == (0, None)
