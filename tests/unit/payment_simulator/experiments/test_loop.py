"""The loop: when it accepts, when it is quiet, when it ends, and what it stores."""

import asyncio
import io
import json

import pytest
from scripted import EXAMPLES, FRACTION, Scripted, borrow, config_of, run_config

from labledger.console import StderrProgress
from labledger.errors import ConfigError
from payment_simulator.experiments.proposers.protocol import UnusableAnswerError
from payment_simulator.experiments.runner import GenericExperimentRunner, VerboseConfig


def solution():
    """Proposes the equilibrium of Castro's first game at once, and then again and again."""
    return Scripted(BANK_A=[borrow(0.0)], BANK_B=[borrow(0.2)])


@pytest.fixture
def run(tmp_path):
    def ran(proposer=None, name="castro_exp1", **further):
        return run_config(config_of(tmp_path, f"{name}.yaml", **further), proposer)

    return ran


def decisions(events):
    return [
        (event.iteration, event.event_data["agent_id"], event.event_type.removeprefix("policy_"))
        for event in events
        if event.event_type in ("policy_accepted", "policy_rejected") and event.event_data["final"]
    ]


@pytest.mark.parametrize(
    ("name", "fractions", "costs"),
    [("castro_exp1", (0.0, 0.2), (0, 2_000)), ("castro_exp3", (0.2, 0.2), (1_998, 1_998))],
)
def test_the_search_ends_at_the_only_equilibrium(run, name, fractions, costs):
    result, iterations, events = run(name=name, evaluation={"nash_gap": "every"})
    found = [policy["parameters"][FRACTION] for policy in result.final_policies.values()]
    assert found == pytest.approx(fractions, abs=0.01)
    assert tuple(result.final_costs_by_agent.values()) == costs
    assert (result.final_nash_gap, result.final_nash_gap_half_width) == (0, 0)
    assert (result.converged, result.convergence_reason) == (True, "stability")
    assert [each.nash_gap for each in iterations][1:] == [0] * (len(iterations) - 1)
    assert [event.event_type for event in events][-2:] == ["converged", "experiment_completed"]
    quiet = [kind for number, _, kind in decisions(events) if number > len(iterations) - 6]
    assert set(quiet) == {"rejected"}


def test_with_too_few_iterations_it_has_not_converged_though_the_last_one_decides_too(run):
    result, iterations, events = run(solution(), iterations=2)
    assert (result.converged, result.convergence_reason, result.num_iterations) == (False, "max_iterations", 2)
    assert len(iterations) == 2
    assert [each[:2] for each in decisions(events)] == [(n, bank) for n in (1, 2) for bank in ("BANK_A", "BANK_B")]
    assert "converged" not in {event.event_type for event in events}


def test_it_converges_in_the_last_iteration_too_after_its_decisions(run):
    result, iterations, _ = run(solution(), iterations=6)
    assert (result.converged, len(iterations)) == (True, 6)
    result, _, _ = run(solution(), iterations=5)
    assert not result.converged


def test_where_payments_are_drawn_the_gap_that_is_left_is_within_its_half_width(run):
    result, _, _ = run(
        name="castro_exp2",
        iterations=5,
        window=2,
        evaluation={"mode": "monte_carlo", "num_samples": 80, "nash_gap": "final"},
    )
    assert result.final_nash_gap <= result.final_nash_gap_half_width


def test_banks_decide_one_after_another_each_seeing_what_was_accepted_before_it(run):
    proposer = solution()
    _, iterations, events = run(proposer, iterations=1)
    assert decisions(events) == [(1, "BANK_A", "accepted"), (1, "BANK_B", "accepted")]
    first, second = proposer.contexts
    assert first.policies["BANK_A"] == {"type": "Fifo"}
    assert second.policies["BANK_A"] == borrow(0.0)
    assert iterations[0].policies == {"BANK_A": {"type": "Fifo"}, "BANK_B": {"type": "Fifo"}}


def test_only_the_banks_that_are_optimized_decide(run):
    result, _, events = run(solution(), iterations=2, optimized_agents=["BANK_B"])
    assert decisions(events) == [(1, "BANK_B", "accepted"), (2, "BANK_B", "rejected")]
    assert result.final_policies["BANK_A"] == {"type": "Fifo"}


def test_a_proposal_that_saves_nothing_is_rejected_with_both_costs(run):
    _, _, events = run(Scripted(BANK_A=[borrow(0.9)], BANK_B=[borrow(0.5)]), iterations=1)
    found = [event.event_data for event in events if event.event_type == "policy_rejected"]
    assert [(each["old_cost"], each["new_cost"]) for each in found] == [(5_000, 9_000), (5_000, 5_000)]
    assert [each["reason"] for each in found] == ["costs 4,000 cents more", "saves 0 cents"]


def test_a_saving_must_be_more_than_the_improvement_threshold(run):
    proposer = Scripted(BANK_A=[borrow(0.4)], BANK_B=[borrow(0.5)])
    _, _, events = run(proposer, iterations=1, convergence={"improvement_threshold": 0.2})
    assert decisions(events)[0] == (1, "BANK_A", "rejected")
    _, _, events = run(proposer, iterations=1, convergence={"improvement_threshold": 0.19})
    assert decisions(events)[0] == (1, "BANK_A", "accepted")


def test_an_iteration_without_an_evaluated_proposal_is_not_quiet(run):
    nothing = Scripted(BANK_A=[UnusableAnswerError("no policy")], BANK_B=[borrow(0.5)])
    result, _, events = run(nothing, iterations=4, window=2)
    assert not result.converged
    assert decisions(events)[0] == (1, "BANK_A", "rejected")
    same = Scripted(BANK_A=[borrow(0.5)], BANK_B=[borrow(0.5)])
    result, iterations, _ = run(same, iterations=4, window=2)
    assert (result.converged, len(iterations)) == (True, 3)


def test_a_small_accepted_saving_is_no_move_under_the_stability_threshold(run):
    creeping = [borrow(0.5 - step / 100) for step in range(1, 9)]
    for threshold, reason in ((0.03, "nobody moved for 3 iterations"), (0.01, "max_iterations")):
        proposer = Scripted(BANK_A=creeping, BANK_B=[borrow(0.5)])
        result, _, events = run(proposer, iterations=4, window=3, convergence={"stability_threshold": threshold})
        assert result.convergence_reason.startswith(reason)
        assert (1, "BANK_A", "accepted") in decisions(events)


def test_the_proposer_gets_the_earlier_proposals_and_their_verdicts(run):
    proposer = Scripted(BANK_A=[borrow(0.9), borrow(0.0)], BANK_B=[borrow(0.5)])
    run(proposer, iterations=2)
    (attempt,) = proposer.contexts[2].history
    assert (attempt.iteration, attempt.policy, attempt.accepted) == (1, borrow(0.9), False)
    assert (attempt.old_cost, attempt.new_cost) == (5_000, 9_000)
    assert proposer.contexts[2].costs["BANK_A"]["liquidity"] == 5_000


def test_a_policy_whose_cost_cannot_be_counted_is_refused_and_the_run_goes_on(run):
    hungry = {"policy_id": "x", "parameters": {FRACTION: 1.0}, "payment_tree": {"type": "action", "action": "Fly"}}
    proposer = Scripted(BANK_A=[hungry, borrow(0.0)], BANK_B=[borrow(0.2)])
    result, _, events = run(proposer, iterations=1)
    assert result.final_costs == 2_000
    refused = next(event.event_data for event in events if event.event_type == "policy_rejected")
    assert (refused["final"], refused["old_cost"]) == (False, None)
    assert "unknown action 'Fly' of a payment_tree" in refused["reason"]


def test_the_gap_is_worked_out_when_it_is_asked_for(run):
    for when, every, final in (("every", True, True), ("final", False, True), ("off", False, False)):
        result, iterations, _ = run(iterations=1, evaluation={"nash_gap": when})
        assert (iterations[0].nash_gap is not None) is every
        assert (result.final_nash_gap is not None) is final


def test_the_result_is_in_a_file_too(run, tmp_path):
    result, _, _ = run(solution(), iterations=2)
    kept = json.loads(result.result_file.read_text())
    assert result.result_file.parent.parent == tmp_path
    assert kept["final_costs_by_agent"] == result.final_costs_by_agent
    assert kept["config"]["master_seed"] == 42
    assert kept["final_policies"] == result.final_policies
    again, _, _ = run(solution(), iterations=2)
    assert again.result_file != result.result_file


def test_costs_past_two_to_the_31_are_kept_exactly(run, tmp_path):
    scenario = (EXAMPLES / "castro_exp1.yaml").read_text().replace("100000", "1000000000000")
    (tmp_path / "large.yaml").write_text(scenario)
    result, iterations, _ = run(name=tmp_path / "large", iterations=1)
    assert iterations[0].per_agent_costs == {"BANK_A": 50_000_000_000, "BANK_B": 50_000_000_000}
    assert result.final_costs == sum(result.final_costs_by_agent.values())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"optimized_agents": ["BANK_C"]}, r"optimized_agents.0: unknown bank 'BANK_C' \(did you mean"),
        ({"prompt_customization": {"BANK_Z": ""}}, "prompt_customization.BANK_Z: unknown bank 'BANK_Z'"),
        ({"evaluation": {"ticks": 5}}, "evaluation.ticks: 5 is more than the 2 of the scenario"),
        ({"name": "nosuch"}, "scenario: .*nosuch.yaml: no such file"),
    ],
)
def test_what_does_not_fit_the_scenario_is_reported_before_anything_is_stored(run, tmp_path, wrong, words):
    with pytest.raises(ConfigError, match=words):
        run(**wrong)
    assert not list(tmp_path.glob("*/result.json"))


def test_the_progress_shows_how_far_a_run_is_and_what_it_works_on(monkeypatch):
    monkeypatch.setattr("labledger.console.LOG_EVERY_S", 0.0)
    stream = io.StringIO()
    with StderrProgress(stream) as progress:
        progress.phase("running")
        config = config_of(None, iterations=2)
        verbose = VerboseConfig(progress=progress)
        runner = GenericExperimentRunner(config, verbose, config_dir=EXAMPLES, proposer=solution())
        asyncio.run(runner.run())
    parts = ["0/2 (costs)", "1/2 (BANK_A)", "1/2 (BANK_B)", "1/2 (costs)", "2/2 (BANK_A)", "2/2 (BANK_B)"]
    assert stream.getvalue().splitlines()[:-1] == [f"running: {part}" for part in parts]


def test_a_proposal_that_saves_less_than_nothing_is_told_as_what_it_costs_with_its_interval(run):
    evaluation = {"nash_gap": "off", "mode": "monte_carlo", "num_samples": 5}
    idle = Scripted(BANK_A=[borrow(0.0)], BANK_B=[borrow(0.0)])
    _, _, events = run(idle, name="castro_exp2", iterations=1, evaluation=evaluation)
    verdict = next(each.event_data for each in events if each.event_type == "policy_rejected")
    more = verdict["new_cost"] - verdict["old_cost"]
    assert more > 0
    least, most = verdict["saving_interval"]
    assert verdict["reason"] == f"costs {more:,} cents more (95% interval {-most:,.0f} to {-least:,.0f})"
