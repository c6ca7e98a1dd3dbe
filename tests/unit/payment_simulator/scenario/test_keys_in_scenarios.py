"""A key in a scenario or a policy is refused before anything is simulated, printed or stored."""

import json
import sys

import pytest

from labledger.commands import run_program
from labledger.errors import ConfigError
from payment_simulator import load_policy, load_scenario
from payment_simulator.cli.main import app
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.setup import ExperimentSetup

KEY = "sk-proj-bvjFGE3cZ1celN0PRMz1E9kS2Czo39NHexvHnt5i"
TREE = {"version": "1", "payment_tree": {"type": "action", "action": "Release"}}
WRITTEN = [{"policy_id": KEY}, {"policy_id": "api_key=hunter2"}, {"description": f"mine is {KEY}"}, {KEY: 1}]


def scenario(folder, bank="BANK_A", policy=None):
    path = folder / "scenario.yaml"
    simulation = {"ticks_per_day": 2, "num_days": 1, "rng_seed": 1}
    agents = [{"id": bank, "policy": policy or {"type": "Fifo"}}, {"id": "BANK_B"}]
    path.write_text(json.dumps({"simulation": simulation, "agents": agents}, indent=1))
    return path


def refused(call, place):
    with pytest.raises(ConfigError) as caught:
        call()
    assert str(place) in str(caught.value)
    assert "a key that is written down is no secret" in str(caught.value)
    assert KEY not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("head", WRITTEN, ids=str)
def test_a_key_in_a_policy_is_refused_in_the_scenario_and_in_a_file_of_its_own(tmp_path, head):
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({**TREE, **head}))
    refused(lambda: load_policy(file), file)
    path = scenario(tmp_path, policy={"type": "FromJson", "json_path": "policy.json"})
    refused(lambda: load_scenario(path), file)
    path = scenario(tmp_path, policy={"type": "FromJson", "document": {**TREE, **head}})
    refused(lambda: load_scenario(path), f"{path}:")


def test_a_key_deep_in_a_policys_tree_is_refused(tmp_path):
    node = {"type": "action", "action": "Hold", "node_id": KEY}
    for _ in range(90):
        condition = {"op": "==", "left": {"value": 1}, "right": {"value": 1}}
        node = {"type": "condition", "condition": condition, "on_true": node, "on_false": TREE["payment_tree"]}
    (tmp_path / "policy.json").write_text(json.dumps({"version": "1", "payment_tree": node}))
    refused(lambda: load_policy(tmp_path / "policy.json"), "node_id")


def test_a_bank_named_by_a_key_is_refused_by_an_experiment_too(tmp_path):
    path = scenario(tmp_path, bank=KEY)
    refused(lambda: load_scenario(path), f"{path}:")
    config = ExperimentConfig(name="x", scenario="scenario.yaml")
    refused(lambda: ExperimentSetup.load(config, tmp_path), f"{path}:")


def test_a_key_that_is_set_on_the_command_line_is_refused_with_its_flag(tmp_path):
    path = scenario(tmp_path)
    refused(lambda: load_scenario(path, [f"agents.BANK_B.id={KEY}"]), "--set agents.BANK_B.id: holds")


@pytest.mark.parametrize(
    "bank", ["BANK_KEY", "KeyBank", "SECRET_BANK", "TOKEN_BANK", "sk-bank", "5493001KJTIIGC8Y1R12"]
)
def test_banks_whose_names_resemble_keys_are_taken(tmp_path, bank):
    assert load_scenario(scenario(tmp_path, bank)).agents[0].id == bank


@pytest.mark.parametrize(
    "words",
    [
        ["run", "SCENARIO", "--set", KEY],
        ["run", "SCENARIO", "--set", f"agents.{KEY}.opening_balance=1"],
        ["policy", "validate", "POLICY"],
        ["run", "ALIAS"],
        ["run", "TAG"],
        ["run", "DOUBLED"],
    ],
    ids=str,
)
def test_no_message_repeats_what_has_the_shape_of_a_key(tmp_path, monkeypatch, capsys, words):
    texts = {"ALIAS": f"a: *{KEY}\n", "TAG": f"a: !{KEY} x\n", "DOUBLED": f"{KEY}: 1\n{KEY}: 2\n"}
    texts |= {"POLICY": json.dumps({**TREE, "payment_tree": {"type": "action", "action": KEY}})}
    texts |= {"SCENARIO": scenario(tmp_path).read_text()}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    arguments = [str(tmp_path / word) if word in texts else word for word in words]
    monkeypatch.setattr(sys, "argv", ["payment-sim", *arguments])
    with pytest.raises(SystemExit) as ended:
        run_program(app)
    out, err = capsys.readouterr()
    assert ended.value.code == 2
    assert KEY[:20] not in out + err
