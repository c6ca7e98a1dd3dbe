"""What an experiment's YAML names is looked for beside it, then in the working directory."""

from pathlib import Path

import pytest

from labledger.errors import ConfigError
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.setup import ExperimentSetup

SCENARIO = """\
simulation: {ticks_per_day: 4, num_days: 1, rng_seed: 1}
agents:
  - {id: BANK_A, liquidity_pool: 50000, policy: {type: FromJson, json_path: policy.json}}
  - {id: BANK_B, liquidity_pool: 50000}
"""
POLICY = '{"version": "1", "payment_tree": {"type": "action", "action": "Release"}}'
LLM = "llm: {model: 'openai:m', system_prompt_file: prompt.txt}"


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "experiment.yaml").write_text(f"name: e\nscenario: scenario.yaml\n{LLM}\n")
    return folder


def setup() -> tuple[ExperimentConfig, ExperimentSetup]:
    config = ExperimentConfig.from_yaml("study/experiment.yaml")
    return config, ExperimentSetup.load(config)


@pytest.mark.parametrize("place", [".", "study"])
def test_its_files_may_lie_beside_it_or_in_the_working_directory(study, place):
    files = {"scenario.yaml": SCENARIO, "policy.json": POLICY, "prompt.txt": "Be brief."}
    for name, text in files.items():
        (Path(place) / name).write_text(text)
    config, loaded = setup()
    assert config.llm.system_prompt == "Be brief."
    assert loaded.profile()["BANK_A"]["document"]["version"] == "1"


def test_a_file_that_is_nowhere_is_refused_with_both_places(study, tmp_path):
    for name, text in {"prompt.txt": "Be brief.", "scenario.yaml": SCENARIO, "policy.json": None}.items():
        with pytest.raises(ConfigError) as refused:
            setup()
        assert f"{name}: no such file (looked for {study}/{name}, then {tmp_path}/{name})" in str(refused.value)
        if text is not None:
            (study / name).write_text(text)
