"""A hub model, from the local cache as the hub's library lays it out, without a network."""

import os
import shutil
import subprocess
import sys

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RUN = """
import json, sys
from llenergymeasure import run_experiment
result = run_experiment(
    model="someone/tiny", precision="fp32", num_prompts=2, max_input_tokens=8, max_output_tokens=2,
    warmup={"iterations": 0}, pytorch=json.loads(sys.argv[1]),
)
print(result.environment_snapshot.model_revision, result.output_tokens)
"""


@pytest.fixture
def hub_home(model_folder, tmp_path):
    repository = tmp_path / "hub" / "models--someone--tiny"
    shutil.copytree(model_folder, repository / "snapshots" / COMMIT)
    for name in ("main", "v1"):
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / name).write_text(COMMIT)
    return tmp_path


def run(hub_home, pytorch):
    environment = {**os.environ, "HF_HOME": str(hub_home), "HF_HUB_OFFLINE": "1", "HOME": str(hub_home)}
    return subprocess.run([sys.executable, "-c", RUN, pytorch], env=environment, capture_output=True, text=True)


def test_a_cached_model_runs_and_its_commit_is_recorded(hub_home):
    assert run(hub_home, '{"revision": "v1"}').stdout.split()[0] == COMMIT


def test_a_revision_that_is_not_there_is_refused_before_anything_is_loaded(hub_home):
    found = run(hub_home, '{"revision": "v2"}')
    assert "PreFlightError: model: someone/tiny: no folder here, not in the local cache" in found.stderr
