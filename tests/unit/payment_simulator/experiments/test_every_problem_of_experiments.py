"""Every problem of an experiment and of what it names is told at once, by `validate` and before a run."""

import json

import pytest
from typer.testing import CliRunner

from labledger.errors import ConfigError, problems_in
from payment_simulator.cli.main import app
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.reading import read_experiment

SCENARIO = {
    "simulation": {"ticks_per_day": 10, "num_days": 2},
    "agents": [{"id": "A", "liquidity_pool": 5}, {"id": "B", "opening_balance": 5}],
}
RIGHT = {"name": "e", "scenario": "s.yaml"}
BESIDE = {
    "optimized_agents": ["A", "NOBODY"],
    "prompt_customization": {"C": "x"},
    "output": {"directory": "s.yaml", "database": "e.db"},
}
PLACES_BESIDE = ["optimized_agents.1", "output.directory", "prompt_customization.C"]


@pytest.fixture
def told(tmp_path, monkeypatch):
    """The places of the problems of an experiment and its scenario, in their files."""
    monkeypatch.chdir(tmp_path)

    def read(experiment, scenario=SCENARIO):
        for name, data in (("x.yaml", {**RIGHT, **experiment}), ("s.yaml", scenario)):
            (tmp_path / name).write_text(json.dumps(data))
        with pytest.raises(ConfigError) as raised:
            read_experiment(tmp_path / "x.yaml")
        lines = [line.removeprefix(f"{tmp_path}/") for line in problems_in(raised.value)]
        return sorted(line.removeprefix("x.yaml:1: ").partition(": ")[0] for line in lines)

    return read


def test_what_does_not_fit_the_scenario_is_told_together(told):
    threshold, ticks = {"improvement_threshold": 1}, {"ticks": 15, "mode": "bootstrap", "num_samples": 9}
    rest = {"convergence": threshold, "evaluation": {**ticks, "observed": "s.yaml"}}
    own = ["convergence.improvement_threshold", "evaluation.observed", "evaluation.ticks"]
    assert told({**BESIDE, **rest}) == [*own, *PLACES_BESIDE]


def test_parameters_that_no_bank_has_are_told_beside_those_without_a_value(told):
    parameters = [{"name": "nosuch", "min_value": 0, "max_value": 1}]
    parameters += [{"name": "other", "param_type": "int", "min_value": 0.2, "max_value": 0.3}]
    places = told({"policy_constraints": {"allowed_parameters": parameters}})
    assert [each.removeprefix("policy_constraints.allowed_parameters.") for each in places] == ["0.name", "1", "1.name"]


def test_an_experiment_that_is_wrong_hides_nothing_of_its_scenario_names_and_output(told):
    settings = {"scenario_settings": {"agents.B.opening_balance": -1, "agents.Q.opening_balance": 3}}
    own = ["scenario_settings.agents.B.opening_balance", "scenario_settings.agents.Q.opening_balance"]
    assert told({**BESIDE, **settings}) == sorted([*own, *PLACES_BESIDE])
    assert told({**BESIDE, **settings, "master_seed": -1}) == sorted([*own, *PLACES_BESIDE, "master_seed"])
    assert told({**BESIDE, "master_seed": -1}) == sorted([*PLACES_BESIDE, "master_seed"])


def test_a_setting_that_mends_its_scenario_leaves_nothing_to_tell_of_it(told):
    scenario = {**SCENARIO, "cost_rates": {"deadline_penalty": -1}}
    settings = {"scenario_settings": {"cost_rates.deadline_penalty": 1}}
    assert told({"master_seed": -1, **settings}, scenario) == ["master_seed"]


@pytest.mark.parametrize(
    "rest", [{"observed": "s.yaml"}, {"num_samples": 8}, {"num_samples": 8, "observed": "s.yaml"}, {}]
)
def test_where_the_mode_is_wrong_nothing_is_said_that_only_holds_in_another(told, rest):
    assert told({"evaluation": {"mode": "bootstrp", **rest}}) == ["evaluation.mode"]


def test_names_are_not_said_to_be_unknown_where_the_file_of_banks_cannot_be_read(told):
    scenario = {"agents": "from_payments", "payments": {"file": "gone.csv"}}
    (place,) = told({"optimized_agents": ["NOBODY"]}, scenario)
    assert place.startswith("s.yaml")


def test_validate_and_a_run_tell_the_same_problems_with_their_options(told):
    told({**BESIDE, "master_seed": -1})
    outputs = []
    for command in (["experiment", "validate"], ["experiment", "run"], ["validate"]):
        result = CliRunner().invoke(app, [*command, "x.yaml"])
        assert result.exit_code == 2
        outputs.append(result.output)
    assert outputs[0] == outputs[1] == outputs[2]
    options = ["--set", "master_seed=-2", "--set", "scenario.cost_rates.deadline_penalty=-1"]
    output = CliRunner().invoke(app, ["experiment", "run", "x.yaml", *options]).output
    for line in ("--set master_seed: should be", "--set scenario.cost_rates.deadline_penalty: should be", "NOBODY"):
        assert output.count(line) == 1


def test_the_problems_of_an_experiment_do_not_hide_each_other(tmp_path):
    path = tmp_path / "e.yaml"
    bounds = [{"name": "initial_liquidity_fraction", "min_value": 3, "max_value": 1}]
    wrong_ones = {"convergence": {"max_iterations": 0}, "policy_constraints": {"allowed_parameters": bounds}}
    path.write_text(json.dumps({"name": "e", "scenario": "s.yaml", "llm": {"model": "m", "base_url": 5}, **wrong_ones}))
    with pytest.raises(ConfigError) as raised:
        ExperimentConfig.from_yaml(path)
    told = str(raised.value)
    for part in ("max_iterations", "llm.base_url", "allowed_parameters"):
        assert part in told
