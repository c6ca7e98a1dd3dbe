"""Runs of a study whose prompts are the questions of a task: no run changes a question, or finds it in a cache."""

from pathlib import Path

import pytest

from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.parallel.run_process import Separate
from llenergymeasure.study import workers

SERVER = {"model": "m", "backend": "openai", "launch": ["serve"]}
TASK = {"quality": {"task": "sums.jsonl"}}


@pytest.fixture
def tasks(monkeypatch):
    """Stand in for processes of runs; return each task that one got, with the number of the process."""
    got = []

    class Recorded:
        count = 0

        def __init__(self, *_, **__):
            Recorded.count += 1
            self.number, self.is_alive = Recorded.count, True

        def run(self, task, timeout_s):
            got.append((self.number, task))
            return Separate(Path("result.json"))

        def close(self):
            self.is_alive = False

    monkeypatch.setattr(workers, "RunProcess", Recorded)
    return got


@pytest.mark.parametrize(("fields", "processes", "has_marks"), [({}, 1, True), (TASK, 3, False)])
def test_a_launched_server_is_kept_for_prompts_that_begin_otherwise_and_not_for_questions(
    tasks, tmp_path, fields, processes, has_marks
):
    made = workers.Workers(UserConfig(), tmp_path, workers.RunOptions())
    for round_number in (1, 2, 3):
        made.run(ExperimentConfig.model_validate(SERVER | fields), round_number)
    assert len({number for number, _ in tasks}) == processes
    assert all((task.prompt_mark is not None) == has_marks for _, task in tasks)
