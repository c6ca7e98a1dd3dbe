"""A database with one short run of Castro et al.'s first game, to copy, to damage or to show."""

import asyncio
from pathlib import Path

from payment_simulator.experiments.config import ExperimentConfig
from payment_simulator.experiments.runner import GenericExperimentRunner

SCENARIO = Path(__file__).parents[3] / "examples" / "payments" / "castro_exp1.yaml"


def store_game(folder):
    """Run one iteration of the game in a folder, as the run "one", and return the database."""
    (folder / "game.yaml").write_text(SCENARIO.read_text())
    config = ExperimentConfig.model_validate(
        {
            "name": "game",
            "scenario": "game.yaml",
            "evaluation": {"nash_gap": "off"},
            "convergence": {"max_iterations": 1},
            "output": {"directory": str(folder), "database": "runs.db"},
        }
    )
    asyncio.run(GenericExperimentRunner(config, run_id="one", config_dir=folder).run())
    return folder / "runs.db"
