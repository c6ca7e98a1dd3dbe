"""A run that is killed leaves its board set, and the next command puts it back."""

import json
import os
import time
from pathlib import Path

import pytest

from standins.streaming_server import StreamingServer

SETTABLE = {"power_limits_w": [100, 700], "clocks_mhz": [210, 1410]}
PATIENCE_S = 60


@pytest.fixture
def environment(gpus):
    """Install a board that can be set, with the processes of a server; return what a command has to know."""

    def environment(*pids):
        gpus(gpus.board(seconds=30.0, processes=[[0.0, 1e9, pid] for pid in pids], **SETTABLE))
        return {name: os.environ[name] for name in ("NVML_STANDIN", "PYTHONPATH")}

    return environment


def values():
    """What is set on the board now."""
    file = Path(os.environ["NVML_STANDIN"] + ".set")
    found = json.loads(file.read_text())["GPU-1"] if file.exists() else {}
    return {name: value for name, value in found.items() if name != "history"}


def test_the_next_command_puts_back_what_a_killed_run_has_left_set_and_says_so_once(user, environment):
    with StreamingServer() as server:
        known = environment(server.pid)
        path = user.experiment(
            **dict.fromkeys(("random_model", "device", "precision", "max_input_tokens")),
            model="m",
            backend="openai",
            openai={"base_url": server.url},
            num_prompts=100,
            baseline={"enabled": False},
            gpu={"power_limit_w": 300, "clock_mhz": 1410},
            passthrough_kwargs={"standin": {"ttft_s": 1.0, "tokens": 2}},
        )
        with user.start("run", path, **known) as run:
            until_s = time.monotonic() + PATIENCE_S
            while values() != {"limit_mw": 300_000, "clock_mhz": 1410} and time.monotonic() < until_s:
                time.sleep(0.02)
            beside = user.llem("results", "list", **known)
            assert values() == {"limit_mw": 300_000, "clock_mhz": 1410}
            run.kill()
    after, later = (user.llem("results", "list", **known) for _ in range(2))
    assert values() == {"limit_mw": 700_000}
    assert [each.stderr.count("was killed") for each in (beside, after, later)] == [0, 1, 0]
    line = "had left it set; its power limit is 700 W again and its clock is unlocked"
    assert line in " ".join(after.stderr.split())
