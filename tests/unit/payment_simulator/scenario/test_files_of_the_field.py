"""The field's own scenarios, laid out as their authors had them, in their dialect; and parameters beside a file."""

import json
import re
import shutil
from pathlib import Path

import pytest
from scenarios import act, ask, trees

from labledger.errors import ConfigError
from payment_simulator import draw_arrivals, load_scenario, simulate

SIMCASH = Path(__file__).parents[4].parent / "shared" / "data" / "simcash"
NAMES = (
    "advanced_policy_crisis",
    "bis_liquidity_delay_tradeoff",
    "crisis_resolution_10day",
    "target2_lsm_features_test",
    "test_priority_escalation",
)
WAITS = ask("ticks_to_deadline", "<=", {"param": "urgency"}, act("Release"), act("Hold"))


@pytest.mark.skipif(not SIMCASH.exists(), reason=f"{SIMCASH} is not here: the field's files are kept beside it")
@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_of_the_field_runs_in_its_dialect_as_it_is(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(SIMCASH / "policies", "simulator/policies")
    path = Path(shutil.copytree(SIMCASH / "scenarios", "scenarios")) / f"{name}.yaml"
    banks = re.findall(r'^ *- id: "?(\w+)', path.read_text(encoding="utf-8"), re.MULTILINE)
    scenario = load_scenario(path, ["dialect=simcash"])
    outcome = simulate(scenario, draw_arrivals(scenario))
    assert len(banks) == len(outcome.agent_ids)
    assert outcome.arrived.sum() > 0


def _with_params(tmp_path, **beside):
    (tmp_path / "p.json").write_text(json.dumps(trees(WAITS, parameters={"urgency": 1})), encoding="utf-8")
    agents = [{"id": "A", "policy": {"type": "FromJson", "json_path": "p.json", **beside}}, {"id": "B"}]
    path = tmp_path / "s.yaml"
    path.write_text(json.dumps({"simulation": {"ticks_per_day": 1}, "agents": agents}), encoding="utf-8")
    return load_scenario(path).agents_by_id()[0].policy


def test_params_beside_a_policys_file_are_its_parameters(tmp_path):
    assert _with_params(tmp_path, params={"urgency": 7}) == _with_params(tmp_path, parameters={"urgency": 7})


def test_params_and_parameters_beside_a_policys_file_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"s.yaml:1: A: params: is another name of parameters; write one of them"):
        _with_params(tmp_path, params={"urgency": 7}, parameters={"urgency": 7})
