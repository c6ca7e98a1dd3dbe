"""Several starts: every resting point, and the same ending wherever a run is broken off."""

import asyncio
import dataclasses
import secrets

import pytest
from scripted import EXAMPLES, FIVE, FRACTION, ROUND, borrow, config_of, run_config

from payment_simulator.experiments.persistence import Ending, ExperimentRepository
from payment_simulator.experiments.proposers.protocol import Interaction, UnusableAnswerError
from payment_simulator.experiments.replay import replay
from payment_simulator.experiments.runner import GenericExperimentRunner
from payment_simulator.experiments.stored_run import StoredRun

COARSE = {"allowed_parameters": [{"name": FRACTION, "allowed_values": [0, 0.2, 0.5]}]}
ROUNDS = {"allowed_parameters": FIVE}
OF_THE_CLOCK = ("completed_at", "total_duration_seconds")


IMMEDIATE = EXAMPLES / "castro_immediate.yaml"
"""Either bank may pay first, and the other wait for its money."""


def starting(folder, scenario, starts, **further):
    rules = {"convergence": {"starts": starts}, "window": 1, "evaluation": {"nash_gap": "final"}}
    return config_of(folder, scenario, **{"policy_constraints": COARSE, **rules, **further})


def shares(policies):
    return tuple(policy["parameters"][FRACTION] for policy in policies.values())


def test_with_immediate_credit_both_equilibria_are_found_whichever_bank_lends_to_the_other():
    result, _, _ = run_config(starting(None, IMMEDIATE, 8, policy_constraints={}))
    found = {shares(point["policies"]): point for point in result.resting_points}
    assert set(found) == {(0, 0.2), (0.2, 0)}
    assert found[0, 0.2]["costs_by_agent"] == {"BANK_A": 0, "BANK_B": 1_998}
    assert found[0.2, 0]["costs_by_agent"] == {"BANK_A": 1_998, "BANK_B": 0}
    for point in found.values():
        assert (point["converged"], point["at_rest"], point["nash_gap"]) == (True, True, 0)
        assert point["reached"] == len(point["starts"])
        assert point["total_cost"] == 1_998
    assert sorted(start for point in found.values() for start in point["starts"]) == list(range(1, 9))
    assert (result.converged, result.convergence_reason) == (True, "stability")


def test_the_first_start_is_the_scenarios_own_and_the_others_fill_the_ranges(tmp_path):
    _, iterations, events = run_config(starting(tmp_path, IMMEDIATE, 9, iterations=1))
    begun = {event.event_data["start"]: event.event_data["policies"] for event in events if "begun" in event.event_type}
    assert list(begun) == list(range(2, 10))
    profiles = {each.start: each.policies for each in reversed(iterations)}
    assert profiles == {1: {"BANK_A": {"type": "Fifo"}, "BANK_B": {"type": "Fifo"}}, **begun}
    values = list(zip(*map(shares, begun.values()), strict=True))
    assert [set(each) for each in values] == [{0, 0.2, 0.5}] * 2
    assert [each.iteration_number for each in iterations] == [each.start for each in iterations] == list(range(1, 10))


def test_max_iterations_is_of_each_start_and_those_that_do_not_come_to_rest_are_told():
    result, _, _ = run_config(starting(None, IMMEDIATE, 3, iterations=1, policy_constraints={}))
    assert (result.converged, result.num_iterations) == (False, 3)
    told = "3 of 3 starts did not come to rest: max_iterations (start 1, 2, 3)"
    assert result.convergence_reason == f"max_iterations; {told}"


class ByIteration:
    """A model that answers by the iteration: what it is told to, and from then on the policy that holds."""

    def __init__(self, *answers):
        self.answers = answers
        self.contexts = []

    async def generate_policy(self, *, agent_id, prompt, current_policy, context):
        self.contexts.append(context)
        place = context.iteration - 1
        answer = self.answers[place] if place < len(self.answers) else current_policy
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def get_last_interaction(self):
        return Interaction(prompt_tokens=7, completion_tokens=3, latency_seconds=0.0)


def test_a_model_starts_anew_and_knows_nothing_of_the_starts_before():
    model = ByIteration(borrow(0.2), borrow(0.5), borrow(0.5), UnusableAnswerError("no policy"))
    result, _, _ = run_config(starting(None, IMMEDIATE, 3), model)
    known = {context.iteration: len(context.history) for context in model.contexts if context.agent_id == "BANK_A"}
    assert [number for number in known if not known[number]] == [1, 4, 6]
    assert sum(len(point["starts"]) for point in result.resting_points) == 3
    assert result.refused_proposals == 8


def alone(*answers):
    """The result of two starts of BANK_B's model in Castro's first game; the last iteration of each only evaluates."""
    rules = {"policy_constraints": {}, "optimized_agents": ["BANK_B"]}
    return run_config(starting(None, EXAMPLES / "castro_exp1.yaml", 2, **rules), ByIteration(*answers))[0]


def test_shares_of_the_pool_that_are_as_many_cents_are_one_resting_point():
    result = alone(borrow(0.2), borrow(0.2), None, borrow(0.200001))
    (point,) = result.resting_points
    assert (point["starts"], point["reached"], point["converged"]) == ([1, 2], 2, True)
    other = alone(borrow(0.2), borrow(0.2), None, borrow(0.20001))
    assert [point["starts"] for point in other.resting_points] == [[1], [2]]


def test_the_result_is_a_point_at_which_it_has_converged_before_one_that_only_rests():
    result = alone(borrow(0.9), None, borrow(0.2))
    assert (result.converged, result.convergence_reason) == (True, "stability")
    assert result.final_policies["BANK_B"] == borrow(0.2)
    found, rests = result.resting_points
    assert (found["starts"], found["at_rest"], found["converged"]) == ([2], True, True)
    assert (rests["starts"], rests["at_rest"], rests["converged"]) == ([1], True, False)
    assert "a bank could still save 3,000 cents (exact)" in rests["reason"]


def steps(events):
    """The number of events after each transaction of a run."""
    whole = ("evaluation", "start_begun", "llm_interaction")
    return [
        count
        for count, event in enumerate(events, start=1)
        if event.event_type in whole or event.event_data.get("final") is True
    ]


def break_off(folder, run_id, stored, count):
    """Store the run once more, as if it had come to its event number `count` and been killed."""
    kept = stored.events[:count]
    reached = {event.iteration for event in kept if event.event_type == "evaluation"}
    with ExperimentRepository(folder / "runs.db") as repository, repository.transaction() as step:
        nothing = {field.name: None for field in dataclasses.fields(Ending)}
        record = dataclasses.replace(stored.record, **nothing, status="interrupted", experiment_id=run_id)
        step.save_experiment(record)
        for each in stored.iterations:
            if each.iteration_number in reached:
                step.save_iteration(dataclasses.replace(each, experiment_id=run_id))
        step.save_events([dataclasses.replace(event, experiment_id=run_id) for event in kept])


def ending_of(record):
    return {
        field.name: getattr(record, field.name)
        for field in dataclasses.fields(Ending)
        if field.name not in OF_THE_CLOCK
    }


def story(events):
    """All that happened, but for the resuming and the last event, which names the folder of the result."""
    return [(each.iteration, each.event_type, each.event_data) for each in events if "resumed" not in each.event_type][
        :-1
    ]


def search():
    return None


def model():
    return ByIteration(borrow(0.2), UnusableAnswerError("no policy"), borrow(0.5))


CASES = {
    "search": (IMMEDIATE.read_text(), search, COARSE),
    "model": (IMMEDIATE.read_text(), model, COARSE),
    "cycle": (ROUND, search, ROUNDS),
}
PLACES = {"model": 4, "cycle": 9}
"""The steps to break them off at: within a start, and where another begins."""


@pytest.fixture(params=CASES, scope="module")
def case(request, tmp_path_factory):
    """A run of three starts: its folder, its configuration, its proposer, and what it has stored."""
    scenario, proposer, constraints = CASES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "scenario.yaml").write_text(scenario)
    config = starting(folder, folder / "scenario.yaml", 3, policy_constraints=constraints)
    result, *_ = run_config(config, proposer())
    with ExperimentRepository(folder / "runs.db") as repository:
        stored = StoredRun.load(repository, result.experiment_id)
    return folder, config, proposer, stored


def check_resumed(case, places):
    folder, config, proposer, stored = case
    for place in places:
        run_id = f"broken-{place}-{secrets.token_hex(4)}"
        break_off(folder, run_id, stored, steps(stored.events)[place])
        runner = GenericExperimentRunner(config, run_id=run_id, proposer=proposer())
        asyncio.run(runner.resume())
        with ExperimentRepository(folder / "runs.db") as repository:
            again = StoredRun.load(repository, run_id)
        assert ending_of(again.record) == ending_of(stored.record)
        assert story(again.events) == story(stored.events)
        assert [each.start for each in again.iterations] == [each.start for each in stored.iterations]
        assert [check for check in replay(again) if check.is_same is False] == []


@pytest.mark.parametrize(("case", "place"), PLACES.items(), indirect=["case"])
def test_a_run_of_several_starts_ends_alike_wherever_it_was_broken_off(case, place):
    check_resumed(case, [place])


@pytest.mark.slow
def test_a_run_of_several_starts_ends_alike_at_whichever_step_it_was_broken_off(case):
    check_resumed(case, range(len(steps(case[-1].events))))


@pytest.mark.parametrize("case", ["cycle"], indirect=True)
def test_a_run_that_began_before_there_were_starts_and_budgets_is_resumed(case):
    folder, config, proposer, stored = case
    rules, evaluation = dict(stored.record.config["convergence"]), dict(stored.record.config["evaluation"])
    del rules["starts"], evaluation["nash_gap_budget"]
    old = {**stored.record.config, "convergence": rules, "evaluation": evaluation}
    record = dataclasses.replace(stored.record, config=old)
    break_off(folder, "old", dataclasses.replace(stored, record=record), steps(stored.events)[2])
    one = config.model_copy(update={"convergence": config.convergence.model_copy(update={"starts": 1})})
    result = asyncio.run(GenericExperimentRunner(one, run_id="old", proposer=proposer()).resume())
    assert result.num_iterations == [each.start for each in stored.iterations].count(1)
