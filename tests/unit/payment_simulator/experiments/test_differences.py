"""What tells runs apart: the settings in which they differ, and what makes two configurations one experiment."""

from payment_simulator.experiments.config import ExperimentConfig, identity
from payment_simulator.experiments.differences import Differences, settings_of, without_seed
from payment_simulator.experiments.settings import with_settings


def config(**fields):
    return ExperimentConfig.model_validate({"name": "n", "scenario": "s.yaml", **fields}).to_dict()


def test_the_settings_that_differ_are_named_by_their_keys_the_scenarios_first_and_the_seed_last():
    configs = [
        config(master_seed=1, scenario_settings={"cost_rates.a": 1}),
        config(master_seed=2, evaluation={"nash_gap": "off"}, name="other", output={"directory": "d"}),
        config(master_seed=2, scenario_settings={"cost_rates.a": 1}, description="another text"),
    ]
    differences = Differences.of(configs)
    assert differences.keys == ["scenario.cost_rates.a", "evaluation.nash_gap", "master_seed"]
    assert differences.of_run(settings_of(configs[1])) == {
        "scenario.cost_rates.a": None,
        "evaluation.nash_gap": "off",
        "master_seed": 2,
    }
    assert without_seed(differences.keys) == differences.keys[:2]
    assert without_seed(["master_seed"]) == ["master_seed"]
    assert Differences.of(configs[:1]).keys == []


def test_one_experiment_may_have_another_place_description_and_budget_and_no_other_seed():
    def model(budget):
        return {"model": "openai:m", "max_total_tokens": budget}

    one = config(llm=model(1))
    assert identity(one) == identity(config(llm=model(2), output={"directory": "d"}, description="d"))
    assert identity(one) == identity({key: one[key] for key in ("name", "scenario", "llm", "proposer")})
    assert identity(one) != identity(config(llm=model(1), master_seed=1))


def test_settings_make_the_sections_that_are_not_there_and_leave_the_data_as_it_was():
    data = {"name": "n", "llm": None}
    changed, set_by = with_settings(data, {"llm.model": "openai:m", "scenario.agents.A.b.c": [1]})
    assert changed == {"name": "n", "llm": {"model": "openai:m"}, "scenario_settings": {"agents.A.b.c": [1]}}
    assert data == {"name": "n", "llm": None}
    assert set_by["llm", "model"] == set_by["llm",] == "--set llm.model"
