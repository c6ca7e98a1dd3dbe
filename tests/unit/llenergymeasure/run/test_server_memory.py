"""The memory of a server: its processes' on this machine, or what they have of their boards."""

import os
import subprocess
import sys

import pytest

from llenergymeasure.api import run_experiment
from llenergymeasure.energy.sensors.nvml import BoardUse, board_use, probe
from llenergymeasure.run.server_memory import NOT_TOLD, UNSEEN, DeviceMemory, NoServerMemory, ResidentMemory
from standins.streaming_server import StreamingServer

ALWAYS = (0.0, 1e9)
GROWS = """
print(flush=True)
input()
more = bytearray(60_000_000)
more[::4096] = b"x" * len(more[::4096])
del more
print(flush=True)
input()
"""


def test_the_peak_of_a_server_on_the_cpu_is_of_the_window_and_holds_what_was_given_back():
    with subprocess.Popen([sys.executable, "-S", "-c", GROWS], stdin=-1, stdout=-1, text=True, bufsize=1) as server:
        server.stdout.readline()
        memory = ResidentMemory(lambda: frozenset({server.pid}))
        memory.reset()
        before_mb, _ = memory.peak()
        server.stdin.write("\n")
        server.stdout.readline()
        peak_mb, why = memory.peak()
        server.communicate("\n")
    assert 50 < peak_mb - before_mb < 80
    assert why is None
    assert memory.peak() == (None, UNSEEN)


@pytest.mark.parametrize("pids", [None, frozenset()])
def test_the_memory_of_processes_that_cannot_be_seen_is_unknown_with_the_reason(pids):
    memory = ResidentMemory(lambda: pids)
    memory.reset()
    assert memory.peak() == (None, UNSEEN)
    assert NoServerMemory("it is elsewhere").peak() == (None, "it is elsewhere")


def on_boards(gpus, before=None, pids=frozenset({7}), **board):
    library = gpus(gpus.board(uuid="GPU-1", **board))

    def use():
        now = board_use(library, probe(library).boards)
        return [(now["GPU-1"], before)]

    memory = DeviceMemory(use, lambda: pids)
    memory.reset()
    return memory.peak()


def test_the_memory_of_a_server_on_gpus_is_that_of_its_processes_as_the_driver_tells(gpus):
    used = {"processes": [[*ALWAYS, 7], [*ALWAYS, 8]], "process_memory": {"7": 3_000_000_000, "8": 5_000_000_000}}
    assert on_boards(gpus, **used) == (3000.0, None)
    assert on_boards(gpus, pids=frozenset({7, 8}), **used) == (8000.0, None)


def test_the_memory_of_a_launched_server_of_other_numbers_is_what_its_board_has_more_than_before(gpus):
    before = BoardUse(frozenset(), 1_500_000_000)
    assert on_boards(gpus, before, memory=[[*ALWAYS, 2_000_000_000]]) == (1500.0, None)


def test_memory_on_a_board_that_the_driver_does_not_tell_is_unknown_with_the_reason(gpus):
    assert on_boards(gpus, processes=[[*ALWAYS, 7]]) == (None, NOT_TOLD)
    assert on_boards(gpus, processes=[[*ALWAYS, 9]]) == (None, UNSEEN)


def test_a_served_model_on_a_gpu_has_the_memory_that_its_processes_take_there(gpus):
    with StreamingServer() as server:
        used = {str(server.pid): 3_000_000_000, str(os.getpid()): 9_000_000_000}
        here = [[*ALWAYS, server.pid], [*ALWAYS, os.getpid()]]
        gpus(gpus.board(100.0, processes=here, process_memory=used))
        found = run_experiment(
            model="m",
            backend="openai",
            openai={"base_url": server.url},
            num_prompts=1,
            warmup={"iterations": 0},
            baseline={"enabled": False},
            passthrough_kwargs={"standin": {"ttft_s": 0.05, "tokens": 2}},
        )
    assert found.peak_memory_mb == found.process_results[0].compute_metrics.peak_memory_mb == 3000.0
    assert found.model_memory_mb is None
    assert found.not_known["model_memory_mb"].startswith("the server does not tell what its model takes")
    assert found.not_known["backend_version"].startswith("the server tells no version at ")
    reasons = found.environment_snapshot.not_known
    assert reasons["model_revision"] == "the server does not tell its model's commit (TGI does at /info)"
    assert reasons["model_weights_sha256"] == "the server reads the weights"
    assert found.not_known.keys() <= type(found).model_fields.keys()
