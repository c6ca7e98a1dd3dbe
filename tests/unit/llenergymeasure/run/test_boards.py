"""Power limits and clocks of boards: set before a run loads anything, read back, and put back whatever ends it."""

import contextlib
import json
import os
import socket
import threading
from pathlib import Path

import psutil
import pytest

from labledger.console import Silent
from llenergymeasure import BackendError, ConfigError, PreFlightError, run_experiment
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.domain.model import ModelFacts
from llenergymeasure.energy.sources import find_sources
from llenergymeasure.run import harness
from llenergymeasure.run.boards import control, records
from llenergymeasure.run.boards.left import restore_left_boards
from llenergymeasure.run.boards.problems import board_problems
from llenergymeasure.run.boards.settings import set_boards
from llenergymeasure.run.boards.use import boards_in_use
from llenergymeasure.run.environment import capture
from standins.streaming_server import StreamingServer

pytestmark = pytest.mark.usefixtures("small_heap")

ALWAYS = (0.0, 1e9)
CLOCKS_MHZ = [210, *range(1200, 1981, 15)]
SETTABLE = {"power_limits_w": [100, 700], "clocks_mhz": CLOCKS_MHZ}
BOTH = {"power_limit_w": 300, "clock_mhz": 1410}
BOARD = "GPU 0 (NVIDIA L40S, GPU-1)"


@pytest.fixture(autouse=True)
def own_state(monkeypatch, tmp_path):
    monkeypatch.setattr(control, "SETTLES_S", 0.05)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "state" / "llenergymeasure"


@pytest.fixture
def board(gpus):
    """Install boards that can be set, GPU-1 and so on; each of `more` has further keys of one."""

    def board(*more, **further):
        boards = more or ({},)
        gpus(
            *(
                gpus.board(uuid=f"GPU-{number}", seconds=30.0, **SETTABLE | further | each)
                for number, each in enumerate(boards, 1)
            )
        )

    return board


def values():
    """What is set on each board now, and what has been."""
    file = Path(os.environ["NVML_STANDIN"] + ".set")
    return json.loads(file.read_text()) if file.exists() else {}


def history(uuid="GPU-1"):
    return [tuple(each) for each in values().get(uuid, {}).get("history", [])]


def config(gpu=BOTH, **fields):
    return ExperimentConfig.model_validate({"model": "random:llama", "gpu": gpu, **fields})


def problems(gpu=BOTH, **fields):
    return list(board_problems(config(gpu, **fields), find_sources()))


def served(server, **fields):
    """The fields of a run on a server that answers at once."""
    quick = {"num_prompts": 2, "warmup": {"iterations": 0}, "baseline": {"enabled": False}}
    return {"model": "m", "backend": "openai", "openai": {"base_url": server.url}, "gpu": BOTH, **quick, **fields}


PROBED, BACK = ("limit_mw", 700_000), [("limit_mw", 700_000), ("clock_mhz", None)]
IS_BACK = [PROBED, ("limit_mw", 300_000), ("clock_mhz", 1410), *BACK]
"""What is set in a run: once what is set already, to see if that is permitted; then both; then neither."""


# Set, read back, put back


def test_a_run_is_at_the_limit_and_clock_that_were_asked_for_and_the_board_is_as_before_after_it(board, own_state):
    with StreamingServer() as server:
        board({"processes": [[*ALWAYS, server.pid]]}, {})
        result = run_experiment(**served(server))
    (gpu, other) = result.environment_snapshot.gpus
    assert (gpu.power_limit_w, gpu.locked_clock_mhz) == (300.0, 1410)
    assert (other.power_limit_w, other.locked_clock_mhz) == (700.0, None)
    assert "gpus[0].locked_clock_mhz" not in result.environment_snapshot.not_known
    assert result.environment_snapshot.not_known["gpus[1].locked_clock_mhz"] == "the run has locked no clock"
    assert result.effective_config["gpu"] == {"power_limit_w": 300.0, "clock_mhz": 1410}
    assert history() == IS_BACK
    assert history("GPU-2") == []
    assert not (own_state / "boards").exists()


@pytest.mark.parametrize("ending", [KeyboardInterrupt, BackendError])
def test_a_run_that_ends_early_leaves_the_board_as_it_was(ending, board, own_state, monkeypatch):
    def stopped(*_):
        assert values()["GPU-1"]["limit_mw"] == 300_000
        assert len(list((own_state / "boards").iterdir())) == 1
        raise ending

    monkeypatch.setattr(harness, "_prepare", stopped)
    board()
    launched = config(model="m", backend="openai", launch=["sleep", "1"], openai={"base_url": "http://127.0.0.1:9/v1"})
    with pytest.raises(ending):
        harness.run(launched, UserConfig(), Silent())
    assert history() == IS_BACK
    assert not (own_state / "boards").exists()


def test_a_run_without_settings_sets_nothing_and_leaves_nothing(board, own_state):
    board()
    assert problems({}) == []
    assert read_back({})[0].power_limit_w == 700.0
    assert values() == {}
    assert not own_state.exists()


def read_back(gpu):
    """The first board as a run reads it back after its warm-up, and what it warns of."""
    with set_boards(config(gpu), find_sources()) as settings:
        environment, notes = settings.read_back(capture(False))
    return environment.gpus[0], notes


@pytest.mark.parametrize(
    ("gpu", "further", "read"),
    [
        ({"clock_mhz": 1417}, {"rounds_to_mhz": 15}, {"locked_clock_mhz": 1410}),
        ({"power_limit_w": 300.4}, {"rounds_to_w": 1}, {"power_limit_w": 300.0}),
    ],
)
def test_what_a_board_has_rounded_to_is_what_the_result_has(gpu, further, read, board):
    board(**further)
    found, notes = read_back(gpu)
    assert {name: getattr(found, name) for name in read} == read
    assert notes == []


@pytest.mark.parametrize(
    ("gpu", "message"),
    [
        ({"power_limit_w": 300}, "has a limit of 700 W in force after 300 W was set"),
        ({"clock_mhz": 1410}, "runs at 210 MHz after it was locked to 1410"),
    ],
)
def test_a_board_that_does_not_heed_what_is_set_ends_the_run(gpu, message, board, own_state):
    board(ignores=True)
    with pytest.raises(BackendError, match=message):
        read_back(gpu)
    assert not (own_state / "boards").exists()


def test_a_clock_that_power_or_heat_keep_down_is_a_warning(board):
    board(ignores=True, throttle=[[*ALWAYS, 0x40]])
    found, (note,) = read_back({"clock_mhz": 1410})
    assert found.locked_clock_mhz == 210
    assert "power or heat keep its clock at 210 MHz, below gpu.clock_mhz: 1410" in note


# Refused before anything runs


def test_who_may_not_set_a_board_is_told_before_anything_runs_and_what_to_do(board, own_state):
    board(not_permitted=True)
    (line,) = problems()
    assert line.startswith(f"gpu: {BOARD}: this user may not set it (NVML: Insufficient Permissions); run llem as root")
    assert line.endswith("or leave gpu out and set it by hand: sudo nvidia-smi -i GPU-1 -pl WATTS and -lgc MHZ")
    with pytest.raises(PreFlightError, match="this user may not set it"), set_boards(config(), find_sources()):
        pass
    assert values() == {}
    assert not (own_state / "boards").exists()


def test_a_clock_that_the_driver_refuses_to_lock_is_not_unlocked(board, own_state):
    board(not_permitted=True, power_limits_w=None)
    with pytest.raises(PreFlightError), set_boards(config({"clock_mhz": 1410}), find_sources()):
        pass
    assert not (own_state / "boards").exists()


@pytest.mark.parametrize(
    ("gpu", "further", "line"),
    [
        ({"power_limit_w": 701}, {}, f"gpu.power_limit_w: {BOARD} takes 100 to 700 W, not 701"),
        ({"power_limit_w": 99.5}, {}, f"gpu.power_limit_w: {BOARD} takes 100 to 700 W, not 99.5"),
        ({"clock_mhz": 2500}, {}, f"gpu.clock_mhz: {BOARD} takes 210 to 1980 MHz, not 2500"),
        (
            {"power_limit_w": 300},
            {"limit_w": None},
            f"gpu.power_limit_w: {BOARD} has no power limit that can be set; leave it out",
        ),
        (
            {"clock_mhz": 300},
            {"clocks_mhz": []},
            f"gpu.clock_mhz: {BOARD} lists no clocks that it could be locked to; leave it out",
        ),
        (
            {"clock_mhz": 300},
            {"mig": 1},
            f"gpu: {BOARD} is cut into MIG slices, which share its power limit and clock; leave gpu out",
        ),
        ({"clock_mhz": 300}, {"lost_handle": True}, f"gpu: {BOARD} cannot be set: NVML: Not Found"),
    ],
)
def test_what_a_board_does_not_take_is_refused_with_its_limits(gpu, further, line, board):
    board(**further)
    assert problems(gpu) == [line]
    assert values() == {}


def test_settings_of_gpus_are_refused_where_there_is_none(monkeypatch):
    with pytest.raises(ConfigError, match="gpu: has no effect on device: cpu"):
        run_experiment(model="random:llama", device="cpu", gpu={"power_limit_w": 300})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (line,) = problems()
    assert line.startswith("gpu: cannot be set: no GPU is seen (")


@pytest.mark.parametrize(
    ("device", "uuids", "message"),
    [("cpu", (), "gpu: has no effect: the model runs on cpu"), ("cuda:0", ("GPU-2",), "and the model runs on GPU-2")],
)
def test_a_model_that_is_not_on_the_boards_that_were_set_ends_the_run(device, uuids, message, board):
    board({}, {})
    facts = ModelFacts(device, "a", None, None, (), None, None, uuids)
    with set_boards(config(), find_sources()) as settings, pytest.raises(BackendError, match=message):
        settings.require(facts)


# Which boards


def in_use(**fields):
    found = boards_in_use(config(**fields), find_sources())
    return found.unknown or [board.uuid for board in found.boards]


def test_the_boards_of_a_run_are_those_that_its_model_will_be_on(board, monkeypatch):
    board({}, {}, {})
    server = {"backend": "openai", "model": "m"}
    assert in_use() == ["GPU-1"]
    assert in_use(pytorch={"data_parallel": 2}) == ["GPU-1", "GPU-2"]
    assert in_use(**server, launch=["serve"]) == ["GPU-1", "GPU-2", "GPU-3"]
    assert "on another machine" in in_use(**server, openai={"base_url": "http://192.0.2.7:8000/v1"})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-3,GPU-1")
    assert in_use() == ["GPU-3"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    board({}, {"name": "NVIDIA H100"})
    assert "GPUs of several models are visible" in in_use()


def test_the_boards_of_a_server_that_ran_before_are_those_of_its_processes_or_unknown(board):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        at = {"backend": "openai", "model": "m", "openai": {"base_url": url}}
        board({}, {"processes": [[*ALWAYS, os.getpid()]]})
        assert in_use(**at) == ["GPU-2"]
        board({}, {"processes": [[*ALWAYS, os.getppid()]]})
        assert "cannot be seen from here" in in_use(**at)


# Two at once, and after a kill


def test_a_second_run_on_a_board_is_refused_and_names_the_first(board):
    board({}, {})
    first = config({"power_limit_w": 300})
    with set_boards(first, find_sources()):
        assert problems({"power_limit_w": 500}) == []  # it neither waits nor sets anything
        named = rf"{os.getpid()}.* until that ends"
        with pytest.raises(PreFlightError, match=named), set_boards(config({"power_limit_w": 500}), find_sources()):
            pass
        restore_left_boards()
        assert values()["GPU-1"]["limit_mw"] == 300_000
    assert values()["GPU-1"]["limit_mw"] == 700_000


def test_a_run_waits_for_the_moment_in_which_another_command_only_looks_at_the_board(board):
    board()
    looks, looked = threading.Event(), threading.Event()

    def look():
        with records.free_board("GPU-1") as is_free:
            assert is_free
            looks.set()
            looked.wait(0.1)

    other = threading.Thread(target=look)
    other.start()
    looks.wait()
    with set_boards(config(), find_sources()):
        assert values()["GPU-1"]["limit_mw"] == 300_000
    other.join()


@contextlib.contextmanager
def left_by_a_killed_run(monkeypatch, gpu=BOTH, **changes):
    """Leave what a run on GPU-1 has set, as a kill does; `changes` are of the record."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(set_boards(config(gpu), find_sources()))
        (path,) = records.records_folder().iterdir()
        left = json.loads(path.read_text())
        before = values()
        stack.close()
    Path(os.environ["NVML_STANDIN"] + ".set").write_text(json.dumps(before))
    path.parent.mkdir()
    path.write_text(json.dumps({**left, "started_s": 1.0, **changes}))
    yield path


def test_a_board_that_a_killed_run_has_left_set_is_put_back_once_and_told(board, monkeypatch, caplog):
    board()
    with left_by_a_killed_run(monkeypatch) as path:
        restore_left_boards()
    assert history()[-2:] == BACK
    assert not path.parent.exists()
    assert [record.message for record in caplog.records] == [
        f"NVIDIA L40S (GPU-1): a run that was killed, process {os.getpid()}, had left it set; its power limit is 700 W "
        "again and its clock is unlocked"
    ]
    restore_left_boards()
    assert len(caplog.records) == 1


def test_a_limit_that_somebody_else_has_set_since_stays(board, monkeypatch, caplog):
    board()
    with left_by_a_killed_run(monkeypatch, {"power_limit_w": 300}) as path:
        file = Path(os.environ["NVML_STANDIN"] + ".set")
        file.write_text(json.dumps({"GPU-1": {"limit_mw": 450_000}}))
        restore_left_boards()
    assert values()["GPU-1"] == {"limit_mw": 450_000}
    assert not path.exists()
    assert "450 W, was set by somebody else meanwhile, and stays" in caplog.text


@pytest.mark.parametrize(
    ("further", "why"),
    [({"lost_handle": True}, "NVML: Not Found"), ({"not_permitted": True}, "NVML: Insufficient Permissions")],
)
def test_what_cannot_be_put_back_is_told_and_kept_for_later(further, why, board, monkeypatch, caplog):
    board()
    with left_by_a_killed_run(monkeypatch) as path:
        before = values()
        board(**further)
        Path(os.environ["NVML_STANDIN"] + ".set").write_text(json.dumps(before))
        restore_left_boards()
    assert f"cannot be put back now ({why}); run llem as root, or sudo nvidia-smi -i GPU-1 -pl 700" in caplog.text
    assert path.exists()


def test_a_run_on_a_board_that_was_left_set_puts_it_back_to_what_it_was_before_both(board, monkeypatch):
    board()
    with left_by_a_killed_run(monkeypatch), set_boards(config({"power_limit_w": 500}), find_sources()):
        assert values()["GPU-1"]["limit_mw"] == 500_000
    assert values()["GPU-1"]["limit_mw"] == 700_000


def test_a_record_of_a_living_run_another_machine_or_before_a_restart_sets_nothing(board, monkeypatch, caplog):
    board()
    monkeypatch.setattr(records, "_machine_id", lambda: "this")
    alive = {"pid": os.getppid(), "started_s": psutil.Process(os.getppid()).create_time()}
    elsewhere = {"boot_id": "another", "machine_id": "another"}
    for changes, stays in ((alive, True), (elsewhere, True), ({"boot_id": "another", "machine_id": "this"}, False)):
        with left_by_a_killed_run(monkeypatch, **changes) as path:
            before = history()
            restore_left_boards()
        assert (history(), path.exists()) == (before, stays)
        if stays:
            path.unlink()
            path.parent.rmdir()
    assert caplog.records == []


def test_a_damaged_record_and_odd_files_are_no_reason_to_fail(board, own_state, caplog):
    board()
    folder = own_state / "boards"
    folder.mkdir(parents=True)
    (folder / "gpu-1.json").write_text("{")
    (folder / "gpu-2.json").mkdir()
    (folder / "odd").write_text("")
    restore_left_boards()
    folder.rename(own_state / "moved")
    folder.write_text("a file")
    restore_left_boards()
    assert values() == {}
