"""GPUs where there are none: a stand-in for NVIDIA's library that plays back recorded boards, here and in children."""

import gc
import importlib.util
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import properties  # noqa: F401 - it sets how many examples are tried

STANDIN = Path(__file__).parent / "standins" / "nvml"
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup too, for what a hangup does is tested
signal.signal(signal.SIGINT, signal.default_int_handler)  # in a shell's background too, where it would be ignored
TICK_S = 0.1
STEPS_A_TICK = 20


def recorded_board(power_w=400.0, *, uuid="GPU-1", seconds=120.0, tick_s=TICK_S, temperature_c=45.0, **further):
    """A board's rows: a counter that ticks every `tick_s` and is exact then, and the mean power since the last tick.

    `power_w` is a number or a function of time; `temperature_c` too. `further` are keys of the stand-in's board.
    """
    power = power_w if callable(power_w) else lambda _: power_w
    temperature = temperature_c if callable(temperature_c) else lambda _: temperature_c
    rows, joules, watts, step_s = [], 1000.0, power(0.0), tick_s / STEPS_A_TICK
    for tick in range(int(seconds / tick_s)):
        start_s = tick * tick_s
        rows.append([start_s, joules, watts, temperature(start_s)])
        watts = sum(power(start_s + (step + 0.5) * step_s) for step in range(STEPS_A_TICK)) / STEPS_A_TICK
        joules += watts * tick_s
    return {"uuid": uuid, "name": "NVIDIA L40S", "limit_w": 700.0, "rows": rows, **further}


@pytest.fixture
def gpus(tmp_path, monkeypatch, boards_in):
    """Put recorded boards in the place of NVIDIA's: `gpus(gpus.board(...), ...)`; their time begins at `began_s`."""
    return boards_in(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def boards_in():
    """What `gpus` is, for a folder and a patch of any scope: `boards_in(folder, monkeypatch)`."""
    return _boards_in


def _boards_in(folder, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def install(*boards, **further):
        file = folder / "nvml_standin.json"
        install.began_s = time.monotonic()
        file.write_text(json.dumps({"began_s": install.began_s, "boards": boards, **further}))
        monkeypatch.setenv("NVML_STANDIN", str(file))
        monkeypatch.setenv("PYTHONPATH", str(STANDIN))
        spec = importlib.util.spec_from_file_location("pynvml", STANDIN / "pynvml.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setitem(sys.modules, "pynvml", module)
        for name in [name for name in sys.modules if name.partition(".")[0] == "zeus"]:
            monkeypatch.delitem(sys.modules, name)  # it keeps the library that it was imported with
        return module

    install.board = recorded_board
    return install


@pytest.fixture(scope="session")
def ledger(tmp_path_factory):
    """The folder in which `examples/payments/ledger.py` wrote its day of payments, ledger.csv."""
    folder = tmp_path_factory.mktemp("ledger")
    script = Path(__file__).parents[1] / "examples" / "payments" / "ledger.py"
    subprocess.run([sys.executable, script], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def what_is_frozen_stays_so():
    """Take the tests themselves from the collector of garbage, and let no run give back what was taken from it."""
    gc.freeze()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(gc, "unfreeze", lambda: None)
        yield


@pytest.fixture(scope="module")
def small_heap():
    """For a module of many runs: their own collections of garbage see what they have made, and not all of the tests.

    A run collects garbage before it measures, and freezes what it finds; with every test and library in memory, each
    time takes longer than the rest of a small run. Here all of that is frozen, and stays so: each module's turn costs
    what was made since the one before.
    """
    gc.collect()
    gc.freeze()
