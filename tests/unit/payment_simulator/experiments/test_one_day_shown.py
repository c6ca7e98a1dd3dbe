"""The one day that a run's costs are of is told beside them by every command that shows the run."""

import csv
import json
import re
from pathlib import Path

import pytest
import yaml
from scripted import config_of, run_config
from typer.testing import CliRunner

from payment_simulator.cli.main import app

STREAM = {
    "rate_per_tick": 2.0,
    "amount_distribution": {"type": "Uniform", "min": 100, "max": 300},
    "deadline_range": [1, 2],
}
SCENARIO = {
    "simulation": {"ticks_per_day": 5},
    "cost_rates": {"liquidity_cost_per_tick_bps": 100},
    "agents": [{"id": "A", "liquidity_pool": 100, "arrival_config": STREAM}, {"id": "B", "liquidity_pool": 100}],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with seven runs of one drawn day each."""
    folder = tmp_path_factory.mktemp("days")
    (folder / "game.yaml").write_text(yaml.safe_dump(SCENARIO))
    for _ in range(7):
        run_config(config_of(folder, folder / "game.yaml", 1, 1))
    return folder


def experiment(folder, *command):
    found = CliRunner().invoke(app, ["experiment", *command, "--db", str(folder / "runs.db")])
    assert found.exit_code == 0, found.output
    return found.output


def test_results_tell_the_day_of_a_few_runs_below_the_table_and_of_all_as_json(folder):
    output = experiment(folder, "results")
    assert (
        len(re.findall(r"A sent [\d,]+ payments of [\d,]+ cents that day; 10 ± 3 of 2,000 are expected", output)) == 5
    )
    assert "2 more runs are of one day each" in output
    listed = json.loads(experiment(folder, "results", "--json"))
    assert all(each["one_day"]["banks"]["A"]["expected"]["number"] == 10 for each in listed)


def test_policy_evolution_has_each_banks_day_in_its_json(folder):
    steps = json.loads(experiment(folder, "policy-evolution", "latest", "--json"))
    assert {step["one_day"]["expected"]["value"] for step in steps["A"]} == {2_000}
    assert {step["one_day"]["number"] for step in steps["B"]} == {0}


def test_an_export_has_the_day_in_a_file_beside_the_iterations(folder, tmp_path):
    experiment(folder, "export", "latest", "-o", str(tmp_path / "out"))
    rows = list(csv.DictReader((tmp_path / "out" / "one_day.csv").open()))
    assert [row["bank"] for row in rows] == ["A", "B"]
    assert float(rows[0]["expected_value"]) == 2_000
    assert "one_day.csv" not in Path(tmp_path / "out" / "iterations.csv").read_text()


def test_a_chart_tells_the_day_in_its_heading(folder, tmp_path):
    experiment(folder, "chart", "latest", "-o", str(tmp_path / "day.svg"))
    assert re.search(r"one day: A sent [\d,]+ cents, 2,000 expected", (tmp_path / "day.svg").read_text())
