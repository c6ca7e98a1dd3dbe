"""Both published games, from the field's own experiment files, with a search in the place of the model."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from payment_simulator import ExperimentConfig, ExperimentRunner
from payment_simulator.experiments.config import Evaluation
from payment_simulator.experiments.llm_config import Llm
from payment_simulator.experiments.policy_constraints import AllowedParameter

SIMCASH = Path(__file__).parents[4].parent / "shared" / "data" / "simcash"
BY_SEARCH = {"proposer": "search", "scenario.dialect": "simcash", "output.database": None, "output.verbose": False}


@pytest.mark.skipif(not SIMCASH.exists(), reason=f"{SIMCASH} is not here: the field's files are kept beside it")
@pytest.mark.parametrize(("name", "game"), [("exp1", "exp1_2period"), ("exp3", "exp3_joint")])
def test_a_published_game_ends_where_no_bank_saves_alone_by_the_other_simulators_costs(
    name, game, tmp_path, monkeypatch
):
    monkeypatch.chdir(shutil.copytree(SIMCASH / "experiments", tmp_path / "experiments"))
    config = ExperimentConfig.from_yaml(f"{name}.yaml", BY_SEARCH)
    result = asyncio.run(ExperimentRunner(config).run())
    shares = [policy["parameters"]["initial_liquidity_fraction"] for policy in result.final_policies.values()]
    points = json.loads((SIMCASH / "peer_costs.json").read_text())["games"][game]
    costs = {(a, b): [sum(kinds) for kinds in each] for a, b, each in points}
    assert result.converged
    assert [*result.final_costs_by_agent.values()] == costs[tuple(shares)]
    one, other = shares
    assert costs[one, other][0] == min(cost[0] for (_, b), cost in costs.items() if b == other)
    assert costs[one, other][1] == min(cost[1] for (a, _), cost in costs.items() if a == one)


def test_a_deterministic_temporal_evaluation_is_one_draw_whatever_its_samples():
    found = Evaluation.model_validate({"mode": "deterministic-temporal", "num_samples": 50, "ticks": 2})
    assert found == Evaluation(mode="deterministic", ticks=2)


def test_what_only_comments_in_an_experiment_of_others_is_read_and_means_nothing():
    plain = {"name": "x", "min_value": 0, "max_value": 1}
    assert AllowedParameter(**plain, description="y").model_dump(exclude={"description"}) == AllowedParameter(
        **plain
    ).model_dump(exclude={"description"})
    assert Llm(model="openai:some", reasoning_summary="detailed").reasoning_effort is None
