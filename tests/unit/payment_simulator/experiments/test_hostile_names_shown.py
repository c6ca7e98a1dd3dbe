"""An experiment whose names and texts would command a terminal, shown by every command."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from labledger.commands import run_program
from payment_simulator.cli.main import app
from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.runner import GenericExperimentRunner

EVIL = "B\x9b2J\u202e$x$\u200b"
EXAMPLE = Path(__file__).parents[4] / "examples" / "payments" / "castro_exp1.yaml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a database of one run."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "game.yaml").write_text(EXAMPLE.read_text().replace("BANK_A", json.dumps(EVIL)))
    config = ExperimentConfig.model_validate(
        {
            "name": f"game {EVIL}",
            "description": f"\x1b]0;owned\x07\n{EVIL}",
            "scenario": "game.yaml",
            "convergence": {"max_iterations": 1},
            "output": {"directory": str(folder), "database": "runs.db"},
        }
    )
    asyncio.run(GenericExperimentRunner(config, run_id=f"run {EVIL}", config_dir=folder).run())
    return folder


@pytest.mark.parametrize(
    "command",
    ["results", "show latest", "policy-evolution latest", "compare latest latest", "replay latest", "chart latest"],
)
def test_no_command_prints_a_name_that_a_terminal_would_obey(folder, command, monkeypatch, capsys):
    more = [["-o", str(folder / "chart.svg")]] if command.startswith("chart") else [[], ["--json"]]
    for arguments in more:
        words = ["experiment", *command.split(), "--db", str(folder / "runs.db"), *arguments]
        monkeypatch.setattr(sys, "argv", ["payment-sim", *words])
        with pytest.raises(SystemExit) as ended:
            run_program(app)
        out, err = capsys.readouterr()
        assert ended.value.code == 0
        assert (out + err).replace("\n", "").isprintable()
        assert "--json" not in arguments or EVIL in json.dumps(json.loads(out), ensure_ascii=False)
    if arguments[0] == "-o":
        assert (folder / "chart.svg").read_text().replace("\n", "").isprintable()
