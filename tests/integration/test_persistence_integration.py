"""The seed plan's tests, under its names: what an experiment stores as it runs."""

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from payment_simulator.cli.main import app
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.persistence import ExperimentRepository
from payment_simulator.experiments.proposers.protocol import Interaction
from payment_simulator.experiments.runner import GenericExperimentRunner

EXAMPLES = Path(__file__).parents[2] / "examples" / "payments"


def create_test_experiment_config(
    *, name="test_exp", output_directory=None, output_database=None, max_iterations=2, **further
):
    return ExperimentConfig.model_validate(
        {
            "name": name,
            "scenario": "castro_exp1.yaml",
            "evaluation": {"nash_gap": "off"},
            "convergence": {"max_iterations": max_iterations},
            "output": {"directory": output_directory, "database": output_database},
            "master_seed": 42,
            **further,
        }
    )


def create_test_experiment_config_with_llm(**settings):
    return create_test_experiment_config(**settings, llm={"model": "openai:some-model"})


def get_test_config_dir():
    return EXAMPLES


class CountingClient:
    """Stands for a paid model: it borrows less each time that it is asked."""

    def __init__(self):
        self.asked = 0

    async def generate_policy(self, *, agent_id, prompt, current_policy, context):
        self.asked += 1
        return {"type": "Fifo", "parameters": {"initial_liquidity_fraction": 0.5 / (1 + self.asked)}}

    def get_last_interaction(self):
        return Interaction(prompt_tokens=100, completion_tokens=10, latency_seconds=0.25)


@pytest.fixture
def mock_llm_client():
    return CountingClient()


@pytest.fixture
def run_experiment_fixture():
    def run(database):
        config = create_test_experiment_config(output_directory=str(database.parent), output_database=database.name)
        asyncio.run(GenericExperimentRunner(config=config, config_dir=get_test_config_dir()).run())

    return run


def test_runner_creates_repository_when_output_configured(tmp_path):
    config = create_test_experiment_config(output_directory=str(tmp_path), output_database="test.db")
    runner = GenericExperimentRunner(config=config, config_dir=Path())
    assert runner._repository is not None
    assert isinstance(runner._repository, ExperimentRepository)


def test_runner_no_repository_when_output_not_configured():
    config = create_test_experiment_config(output_directory=None, output_database=None)
    runner = GenericExperimentRunner(config=config, config_dir=Path())
    assert runner._repository is None


def test_database_created_in_output_directory(tmp_path):
    config = create_test_experiment_config(output_directory=str(tmp_path), output_database="experiments.db")
    GenericExperimentRunner(config=config, config_dir=Path())
    assert (tmp_path / "experiments.db").exists()


@pytest.mark.asyncio
async def test_experiment_record_saved_at_start(tmp_path):
    config = create_test_experiment_config(output_directory=str(tmp_path), output_database="test.db", max_iterations=1)
    runner = GenericExperimentRunner(config=config, config_dir=get_test_config_dir())
    await runner.run()
    experiments = runner._repository.list_experiments()
    assert len(experiments) == 1
    assert experiments[0].experiment_name == config.name


@pytest.mark.asyncio
async def test_experiment_record_has_metadata(tmp_path):
    config = create_test_experiment_config(
        name="test_exp", output_directory=str(tmp_path), output_database="test.db", max_iterations=1
    )
    runner = GenericExperimentRunner(config=config, config_dir=get_test_config_dir())
    await runner.run()
    record = runner._repository.list_experiments()[0]
    assert record.experiment_name == "test_exp"
    assert record.experiment_type == "generic"
    assert record.config is not None
    assert "master_seed" in str(record.config)


@pytest.mark.asyncio
async def test_iteration_records_saved(tmp_path):
    config = create_test_experiment_config(output_directory=str(tmp_path), output_database="test.db", max_iterations=3)
    runner = GenericExperimentRunner(config=config, config_dir=get_test_config_dir())
    await runner.run()
    iterations = runner._repository.get_iterations(runner._run_id)
    assert len(iterations) >= 1


@pytest.mark.asyncio
async def test_iteration_records_have_costs(tmp_path):
    config = create_test_experiment_config(output_directory=str(tmp_path), output_database="test.db", max_iterations=1)
    runner = GenericExperimentRunner(config=config, config_dir=get_test_config_dir())
    await runner.run()
    iterations = runner._repository.get_iterations(runner._run_id)
    assert len(iterations) == 1
    assert isinstance(iterations[0].total_cost, int)
    assert iterations[0].iteration_number == 1
    assert (iterations[0].total_cost, iterations[0].per_agent_costs) == (10_000, {"BANK_A": 5_000, "BANK_B": 5_000})


@pytest.mark.asyncio
async def test_experiment_marked_complete(tmp_path):
    config = create_test_experiment_config(output_directory=str(tmp_path), output_database="test.db", max_iterations=2)
    runner = GenericExperimentRunner(config=config, config_dir=get_test_config_dir())
    await runner.run()
    record = runner._repository.list_experiments()[0]
    assert record.completed_at is not None
    assert record.converged is not None


@pytest.mark.asyncio
async def test_final_costs_saved(tmp_path):
    config = create_test_experiment_config(output_directory=str(tmp_path), output_database="test.db", max_iterations=2)
    runner = GenericExperimentRunner(config=config, config_dir=get_test_config_dir())
    result = await runner.run()
    record = runner._repository.list_experiments()[0]
    assert record.final_cost == result.final_costs
    assert record.final_costs_by_agent == result.final_costs_by_agent


@pytest.mark.asyncio
async def test_llm_events_saved(tmp_path, mock_llm_client):
    config = create_test_experiment_config_with_llm(
        output_directory=str(tmp_path), output_database="test.db", max_iterations=1
    )
    runner = GenericExperimentRunner(config=config, config_dir=get_test_config_dir())
    runner._llm_client = mock_llm_client
    await runner.run()
    events = runner._repository.get_events(runner._run_id)
    llm_events = [e for e in events if e.event_type == "llm_interaction"]
    assert len(llm_events) > 0
    for event in llm_events:
        assert event.event_data["prompt_tokens"] == 100
        assert event.event_data["completion_tokens"] == 10
        assert event.event_data["latency_seconds"] == 0.25


@pytest.mark.asyncio
async def test_policy_events_saved(tmp_path, mock_llm_client):
    config = create_test_experiment_config_with_llm(
        output_directory=str(tmp_path), output_database="test.db", max_iterations=2
    )
    runner = GenericExperimentRunner(config=config, config_dir=get_test_config_dir())
    runner._llm_client = mock_llm_client
    await runner.run()
    events = runner._repository.get_events(runner._run_id)
    policy_events = [e for e in events if "policy" in e.event_type]
    assert len(policy_events) > 0


def test_results_command_lists_experiments(tmp_path, run_experiment_fixture):
    db_path = tmp_path / "test.db"
    run_experiment_fixture(db_path)
    result = CliRunner().invoke(app, ["experiment", "results", str(db_path)])
    assert result.exit_code == 0
    assert "test_exp" in result.output
