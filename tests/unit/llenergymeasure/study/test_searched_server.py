"""A load search on a server that is there: its runs are results of the study, and a killed one goes on."""

import itertools

import pytest

from labledger.console import Silent
from llenergymeasure.api import measure_and_save
from llenergymeasure.config.models import UserConfig
from llenergymeasure.config.study.loading import load_study
from llenergymeasure.errors import ConfigError
from llenergymeasure.parallel.separate import Separate
from llenergymeasure.results.catalog import load_results
from llenergymeasure.results.study.runs import read_study
from llenergymeasure.results.study.summary import summarise_study
from llenergymeasure.study.checking import checked
from llenergymeasure.study.runner import make_runs
from llenergymeasure.study.workers import RunOptions
from standins.recording_server import RecordingServer

STUDY = """
model: m
backend: openai
openai: {{base_url: {url}}}
energy: {{source: none}}
warmup: {{iterations: 0}}
num_prompts: 6
max_output_tokens: 3
load: {{search: {{metric: concurrency, goal: "e2e_ms_median <= 60000", between: [1, 3]}}}}
study: {{repeats: 1}}
"""


class InThisProcess:
    """Makes each run here; the one whose number is `killed_at` is interrupted once it is saved."""

    def __init__(self, folder, server, killed_at=None):
        self._folder, self._server, self._killed_at = folder, server, killed_at
        self._numbers = itertools.count()

    def run(self, config, round_number):
        self._server.load = config.load.concurrency
        _, path = measure_and_save(config, UserConfig(), self._folder, Silent())
        if next(self._numbers) == self._killed_at:
            raise KeyboardInterrupt
        return Separate(path)

    def close(self):
        pass


class Watching:
    def waits(self, manifest, number, words):
        pass

    def begins(self, manifest, number):
        pass

    def ended(self, manifest, number, result):
        pass


class UpToTwo:
    """Answers while a load of two requests or less is on it, and else every other request: this is no matter of time,
    so it is the same on a machine that is busy."""

    def __init__(self):
        self.load, self._asked = 0, itertools.count()

    def __call__(self, body):
        return "too many requests" if self.load > 2 and next(self._asked) % 2 else None


def study_at(tmp_path, url="http://127.0.0.1:1/v1", **replaced):
    text = STUDY.format(url=url)
    for before, after in replaced.items():
        text = text.replace(before, after)
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return load_study(path)


@pytest.mark.usefixtures("small_heap")
def test_a_search_finds_how_many_requests_a_server_answers_also_after_a_kill(tmp_path):
    limited = UpToTwo()
    with RecordingServer(refuses=limited, refusal=503) as server:
        study = study_at(tmp_path, server.url)
        folder = tmp_path / "results"
        folder.mkdir()
        with pytest.raises(KeyboardInterrupt):
            make_runs(study, folder, Watching(), RunOptions(), workers=InThisProcess(folder, limited, killed_at=1))
        manifest = make_runs(study, folder, Watching(), RunOptions(), workers=InThisProcess(folder, limited))
    assert [(run.step, run.searched, run.state) for run in manifest.runs] == [
        (1, 1.0, "done"),
        (2, 3.0, "done"),
        (3, 2.0, "done"),
    ]
    loads = [result.effective_config["load"]["concurrency"] for result in load_results(folder)]
    assert sorted(loads) == [1, 2, 3]
    (found,) = summarise_study(read_study(folder)).searches
    assert (found.rounds[0].highest_met, found.rounds[0].lowest_missed) == (2.0, 3.0)
    assert found.sentence.startswith(
        "highest concurrency that meets e2e_ms_median <= 60000: 2 requests in flight (1 round)"
    )


def test_a_goal_that_is_none_is_refused_with_its_line(tmp_path):
    study = study_at(tmp_path, e2e_ms_median="e2e_ms_medium")
    with pytest.raises(ConfigError, match=r"s\.yaml:9: load\.search\.goal: unknown column 'e2e_ms_medium'"):
        checked(study, tmp_path)
