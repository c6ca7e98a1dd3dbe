"""A hub model, from the local cache as the hub's library lays it out, without a network."""

import os
import shutil
import subprocess
import sys

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RUN = """
import sys
from llenergymeasure import run_experiment
from llenergymeasure.errors import PreFlightError
for revision in ("v2", "v1"):
    try:
        result = run_experiment(
            model="someone/tiny", precision="fp32", num_prompts=2, max_input_tokens=8, max_output_tokens=2,
            warmup={"iterations": 0}, pytorch={"revision": revision},
        )
        print(result.environment_snapshot.model_revision, result.output_tokens)
    except PreFlightError as error:
        print(error, "torch" in sys.modules)
"""


@pytest.fixture
def hub_home(model_folder, tmp_path):
    repository = tmp_path / "hub" / "models--someone--tiny"
    shutil.copytree(model_folder, repository / "snapshots" / COMMIT)
    for name in ("main", "v1"):
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / name).write_text(COMMIT)
    return tmp_path


def test_a_cached_model_runs_with_its_commit_recorded_and_a_revision_that_is_not_there_is_refused_at_once(hub_home):
    environment = {**os.environ, "HF_HOME": str(hub_home), "HF_HUB_OFFLINE": "1", "HOME": str(hub_home)}
    ended = subprocess.run([sys.executable, "-c", RUN], env=environment, capture_output=True, text=True)
    refused, found = ended.stdout.splitlines()
    assert refused.startswith("model: someone/tiny: no folder here, not in the local cache")
    assert refused.endswith(" False"), "it was loaded before it was refused"
    assert found == f"{COMMIT} 4"
