"""Every command and example of README and docs works as it stands there."""

import re
import sys
from pathlib import Path

import pytest
import typer

from labledger.yaml_files import read_yaml
from llenergymeasure.cli.main import app as llem
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.config.study.loading import is_study, load_study
from payment_simulator.cli.main import app as payment_sim
from payment_simulator.experiments.config import ExperimentConfig as PaymentExperiment
from payment_simulator.experiments.setup import ExperimentSetup
from payment_simulator.scenario.loader import load_scenario

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"(?:\.venv/bin/|`|^\$ )((?:llem|payment-sim) [^`\n#|]+)", re.M)
SAVES = re.compile(r'save\("results"\)|ExperimentRunner\(config\)')
WARNINGS_ARE_ERRORS = "import warnings; warnings.simplefilter('error', UserWarning)\n"
APPS = {"llem": llem, "payment-sim": payment_sim}


def blocks(language):
    return [
        pytest.param(text, id=f"{page.name}-{number}")
        for page in PAGES
        for number, text in enumerate(re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.S | re.M))
    ]


def commands():
    return sorted({match.strip() for page in PAGES for match in COMMAND.findall(page.read_text())})


@pytest.mark.parametrize("code", blocks("python"))
def test_python_runs(code, user):
    (user.folder / "examples").symlink_to(ROOT / "examples")
    ended = user.run(sys.executable, "-c", WARNINGS_ARE_ERRORS + code)
    assert ended.code == 0, ended.stderr
    assert len(list(user.folder.glob("results/*/result.json"))) == len(re.findall(SAVES, code))


@pytest.mark.parametrize("text", blocks("yaml"))
def test_yaml_is_an_experiment_a_study_or_a_scenario(text, tmp_path):
    path = tmp_path / "experiment.yaml"
    path.write_text(text)
    if "simulation:" in text:
        assert load_scenario(path).agents
        return
    if "scenario:" in text:
        assert PaymentExperiment.from_yaml(path).scenario
        return
    if is_study(read_yaml(path)):
        assert len(load_study(path).cells) > 1
        return
    assert ExperimentConfig.model_validate(read_yaml(path).data).model


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_examples_are_experiments_or_studies(example):
    if is_study(read_yaml(example)):
        assert len(load_study(example).cells) > 1
        return
    assert ExperimentConfig.model_validate(read_yaml(example).data).model


@pytest.mark.parametrize("example", sorted((ROOT / "examples/payments").glob("*.yaml")), ids=lambda path: path.name)
def test_examples_are_scenarios_or_experiments_on_one(example, ledger, monkeypatch):
    monkeypatch.chdir(ledger)  # one of them reads it
    if example.name.startswith("experiment_"):
        assert ExperimentSetup.load(PaymentExperiment.from_yaml(example)).scenario.agents
    else:
        assert load_scenario(example).agents


@pytest.mark.parametrize("command", commands())
def test_commands_are_known(command):
    program, *words = command.partition(" -- ")[0].split()
    node = typer.main.get_command(APPS[program])
    while words and hasattr(node, "commands") and not words[0].startswith("-"):
        assert words[0] in node.commands
        node = node.commands[words.pop(0)]
    options = {option for parameter in node.params for option in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("-")} <= options


def test_every_page_that_is_linked_is_there():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"
