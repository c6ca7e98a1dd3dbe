"""`payment-sim experiment policy-evolution`, as it is printed."""

from scripted import FRACTION, Scripted, borrow, config_of, run_config
from typer.testing import CliRunner

from payment_simulator.cli.main import app
from payment_simulator.experiments.persistence import ExperimentRepository
from small_experiment import experiment


def evolution(database):
    ended = CliRunner().invoke(app, ["experiment", "policy-evolution", "latest", "--db", str(database)])
    assert ended.exit_code == 0
    return ended.output


def test_a_run_without_iterations_says_so(tmp_path):
    with ExperimentRepository(tmp_path / "runs.db") as repository:
        repository.save_experiment(experiment())
    assert "no iteration of it is stored" in evolution(tmp_path / "runs.db")


def test_where_policies_have_one_parameter_its_name_stands_once_at_the_head(tmp_path):
    run_config(config_of(tmp_path, iterations=1), Scripted(BANK_A=[borrow(0.0)], BANK_B=[borrow(0.2)]))
    table = evolution(tmp_path / "runs.db").splitlines()
    header = [line.split() for line in table if "verdict" in line]
    assert header == [["iteration", FRACTION, "proposed", "verdict", "reason"]] * 2
    rows = [line.split()[:4] for line in table if line.split()[:1] == ["1"]]
    assert rows == [["1", "0.5", "0", "accepted"], ["1", "0.5", "0.2", "accepted"]]
    assert sum(line.count(FRACTION) for line in table) == 2


def test_where_policies_have_several_parameters_each_is_named(tmp_path):
    several = {"type": "Deadline", "parameters": {"urgency_threshold": 2, FRACTION: 0.5}}
    run_config(config_of(tmp_path, iterations=1), Scripted(BANK_A=[several], BANK_B=[borrow(0.2)]))
    text = evolution(tmp_path / "runs.db")
    assert "urgency_threshold 2" in text
    assert f"{FRACTION} 0.5" in text
