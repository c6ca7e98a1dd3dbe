"""`llem meter` and `measure_energy`: the energy of any command, or of any stretch of Python."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path

import psutil
import pytest

import llenergymeasure
import warm
from llenergymeasure.energy.sources import find_sources
from llenergymeasure.errors import MeterError

LLEM = Path(sys.executable).with_name("llem")
STANDIN = Path(__file__).parents[1] / "standins" / "nvml"
PATIENCE_S = 20.0
ESTIMATE = ("meter", "--source", "estimate")
HEEDS = """
import signal, sys
def heed(number, frame):
    sys.exit(signal.Signals(number).name + " came")
signal.signal(signal.SIGTERM, heed)
signal.signal(signal.SIGINT, heed)
print("ready", flush=True)
signal.pause()
"""
COUNTS = """
import signal, sys, time
came = []
signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
print("ready", flush=True)
while not came:
    time.sleep(0.01)
time.sleep(0.3)
sys.exit(len(came))
"""


@pytest.fixture
def board(gpus):
    """A machine with one GPU at 400 W, as the environment of a command."""
    gpus(gpus.board(400.0))
    return {name: os.environ[name] for name in ("NVML_STANDIN", "PYTHONPATH")}


@contextlib.contextmanager
def started(user, *arguments, **environment):
    """`llem`, running without a terminal, in a session of its own; what is left of that is killed in the end."""
    with warm.Popen(
        [LLEM, *arguments],
        cwd=user.folder,
        env=user.environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def samplers(environment):
    """The sampler processes that read the boards of `environment`."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("NVML_STANDIN") != environment["NVML_STANDIN"]:
                continue
            if "llenergymeasure.energy.sampler" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def waited_for(condition):
    until_s = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < until_s:
        time.sleep(0.02)
    return condition()


def test_a_commands_energy_power_time_bound_and_verdict_are_printed_beside_its_own_output(user, board):
    ended = user.llem("meter", "--", "sh", "-c", "echo out; echo err >&2; sleep 0.5", **board)
    assert (ended.code, ended.stdout) == (0, "out\n")
    said, *shown = ended.stderr.splitlines()
    rows = {line.split("  ")[0].strip(): line for line in shown}
    assert said == "err"
    assert re.search(r"\d+ ± [\d.]+ J \(nvml_counter, gpu\)", rows["energy"])
    assert re.search(r"(39|40)\d W, \d{3} W", rows["mean, peak power"])
    assert re.search(r"0\.5\d* s", rows["duration"])
    assert re.search(r"edge [\d.]+ J, disagreement [\d.e-]+ J, gain [\d.]+ J", rows["bound"])
    assert "a value every 100 ms, the mean of the last 100 ms (table)" in rows["power sensor"]
    assert "invalid: the window's edges are sure to" in rows["verdict"]
    assert "(exit 0)" in rows["command"]


def test_with_json_standard_output_is_json_alone(user, board):
    ended = user.llem("meter", "--json", "--", "sh", "-c", "echo out; sleep 0.3; exit 3", **board)
    found = json.loads(ended.stdout)
    assert (ended.code, ended.stderr) == (3, "out\n")
    assert (found["command"][0], found["exit_code"]) == ("sh", 3)
    assert found["energy_j"] == pytest.approx(400.0 * found["duration_s"], rel=0.2)
    assert found["energy_uncertainty_j"] == pytest.approx(
        sum(part_j or 0.0 for part_j in found["energy_uncertainty"].values())
    )
    assert (found["verdict"], found["energy_source"]) == ("invalid", "nvml_counter")
    assert found["sensor"] == {"period_ms": 100.0, "window_ms": 100.0, "shape": "boxcar", "source": "table"}
    assert found["calibration"] is None
    assert [device["device"] for device in found["devices"] if device["kind"] == "gpu"] == ["GPU-1"]
    assert set(found["sources_not_used"]) >= {"nvml_power", "zeus"}


@pytest.mark.parametrize(
    ("line", "code"),
    [("exit 0", 0), ("exit 41", 41), ("kill -KILL $$", 128 + 9)],
)
def test_llem_ends_as_the_command_does(user, line, code):
    ended = user.llem(*ESTIMATE, "--", "sh", "-c", line)
    assert ended.code == code
    assert f"(exit {code})" in ended.stderr


def test_a_command_that_is_not_there_is_one_message_and_exit_code_127(user):
    ended = user.llem(*ESTIMATE, "--", "no-such-command")
    assert (ended.code, ended.stdout) == (127, "")
    assert ended.stderr == "error: no-such-command: No such file or directory\n"


def test_a_command_that_cannot_be_run_is_one_message_and_exit_code_126(user):
    ended = user.llem(*ESTIMATE, "--", f"./{user.write('notes', 'no program')}")
    assert (ended.code, ended.stdout) == (126, "")
    assert ended.stderr == "error: ./notes: Permission denied\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--", "python", "-c", "import sys; print(sys.argv[1:])", "--json", "--source", "x", "--help", "-n"],
        ["python", "-c", "import sys; print(sys.argv[1:])", "--json", "--source", "x", "--help", "-n"],
    ],
    ids=["after --", "without --"],
)
def test_options_of_the_command_are_its_own(user, arguments):
    ended = user.llem(*ESTIMATE, *arguments)
    assert (ended.code, ended.stdout) == (0, "['--json', '--source', 'x', '--help', '-n']\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_is_sent_to_llem_reaches_the_command(user, number):
    with started(user, *ESTIMATE, "--", "python", "-c", HEEDS) as llem:
        assert llem.stdout.readline() == "ready\n"
        llem.send_signal(number)
        _, stderr = llem.communicate(timeout=PATIENCE_S)
    assert llem.returncode == 1
    assert stderr.splitlines()[0] == f"{number.name} came"
    assert "energy" in stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_dies_of_a_signal_that_was_passed_on_gives_its_code(user, number):
    with started(user, *ESTIMATE, "--", "sh", "-c", "echo ready; exec sleep 60") as llem:
        assert llem.stdout.readline() == "ready\n"
        llem.send_signal(number)
        _, stderr = llem.communicate(timeout=PATIENCE_S)
    assert llem.returncode == 128 + number
    assert "energy" in stderr


def test_ctrl_c_at_a_terminal_reaches_the_command_once(user):
    terminal, its_side = pty.openpty()

    def take_the_terminal():
        os.setsid()
        ioctl(its_side, termios.TIOCSCTTY, 0)

    with subprocess.Popen(
        [LLEM, *ESTIMATE, "--", "python", "-c", COUNTS],
        env=user.environment(),
        stdin=its_side,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=take_the_terminal,
    ) as llem:
        os.close(its_side)
        assert llem.stdout.readline() == "ready\n"
        os.write(terminal, b"\x03")
        try:
            llem.communicate(timeout=PATIENCE_S)
        finally:
            llem.kill()
            os.close(terminal)
    assert llem.returncode == 1


def test_a_source_that_does_not_exist_is_one_message_that_names_those_that_do(user):
    ended = user.llem("meter", "--source", "wattmeter", "--", "true")
    assert (ended.code, ended.stdout) == (2, "")
    assert "Traceback" not in ended.stderr
    assert "defect" not in ended.stderr
    assert "nvml_counter" in ended.stderr


def test_a_source_that_is_not_available_is_one_line_with_the_reason(user):
    ended = user.llem("meter", "--source", "nvml_counter", "--", "true", PYTHONPATH=str(STANDIN))
    assert (ended.code, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert "nvml_counter cannot be read" in line


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to a process that asks for them")
def test_a_command_that_leaves_its_work_without_a_parent_is_metered_with_it(user):
    fifo = user.folder / "ended"
    os.mkfifo(fifo)
    burns = "import time\nwhile time.process_time() < 0.3: pass\n"
    leaves = f"""(setsid sh -c '"$0" -S -c "$1"; echo > "{fifo}"' "$@" &) ; read -r ended < "{fifo}" """
    ended = user.llem(*ESTIMATE, "--", "sh", "-c", leaves, "sh", sys.executable, burns)
    assert ended.code == 0
    assert float(re.search(r"energy +([\d.]+) ± [\d.]+ J", ended.stderr)[1]) > 10.0 * 0.25


def test_an_option_that_llem_does_not_know_is_no_command(user):
    ended = user.llem(*ESTIMATE, "--jsn", "--", "true")
    assert ended.code == 2
    assert "No such option: --jsn" in ended.stderr


@pytest.mark.skipif(find_sources().rapl.unavailable is None, reason="the CPU has a sensor here")
def test_without_a_sensor_the_energy_is_an_estimate_and_named_one(user):
    ended = user.llem("meter", "--", "true", PYTHONPATH=str(STANDIN))
    assert "(estimate, cpu)" in ended.stderr
    assert "not_measured: energy is an estimate" in ended.stderr
    assert "W, " not in ended.stderr


def test_live_a_line_a_second_shows_each_devices_power_until_ctrl_c_and_then_its_joules(user, board):
    with started(user, "meter", **board) as llem:
        lines = [(llem.stdout.readline(), time.monotonic()) for _ in range(2)]
        llem.send_signal(signal.SIGINT)
        rest, stderr = llem.communicate(timeout=PATIENCE_S)
    assert llem.returncode == 0
    assert len(rest.splitlines()) <= 1  # a line that was due while the signal was on its way
    shown_s, joules, bound_j, mean_w = map(
        float,
        re.search(r"duration\s+([\d.]+) s\s+GPU-1\s+(\S+) ± (\S+) J \(nvml_counter\), (\S+) W mean", stderr).groups(),
    )
    assert shown_s > 2
    assert joules == pytest.approx(400.0 * shown_s, abs=bound_j)
    assert mean_w == pytest.approx(joules / shown_s, rel=0.02)
    assert lines[1][1] - lines[0][1] == pytest.approx(1.0, abs=0.5)
    for line, _ in lines:
        assert re.search(r"GPU-1 (39|40)\d ± \d+\.?\d* W \(nvml_counter\)", line)
        assert re.search(r"\((estimate|rapl)\)", line)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)])
@pytest.mark.parametrize("seconds", [0, 1], ids=["while it starts", "while it shows power"])
def test_live_ends_with_its_joules_and_an_error_only_where_it_was_terminated(user, number, code, seconds):
    with user.start("meter", "--source", "estimate") as llem:
        for _ in range(seconds):
            llem.stdout.readline()
        assert waited_for(lambda: heeds_sigterm(llem.pid))
        llem.send_signal(number)
        _, stderr = llem.communicate(timeout=PATIENCE_S)
    assert (llem.returncode, "error" in stderr) == (code, code != 0)
    assert ("W mean" in stderr) >= (seconds > 0)


def heeds_sigterm(pid):
    """True once a command has begun: its program has come so far as to hear signals."""
    caught = re.search(r"^SigCgt:\s*(\S+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_live_json_is_a_line_a_second_of_every_device(user, board):
    with started(user, "meter", "--json", **board) as llem:
        gpu, cpu, *_ = json.loads(llem.stdout.readline())
        llem.send_signal(signal.SIGINT)
        llem.communicate(timeout=PATIENCE_S)
    assert llem.returncode == 0
    assert gpu["energy_j"] == pytest.approx(400.0 * gpu["seconds"], rel=0.1)
    assert (gpu["device"], cpu["kind"]) == ("GPU-1", "cpu")


def test_live_ends_without_a_message_when_its_reader_has_left(user):
    assert user.shell("llem meter --source estimate | head -n 1").stderr == ""


@pytest.mark.parametrize("command", ["true", "no-such-command"])
def test_no_sampler_is_left_after_a_command(user, board, command):
    user.llem("meter", "--", command, **board)
    assert samplers(board) == []


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ([], signal.SIGINT),
        ([], signal.SIGKILL),
        (["--", "sleep", "60"], signal.SIGTERM),
        (["--", "sleep", "60"], signal.SIGKILL),
    ],
    ids=["live, ctrl-c", "live, killed", "command, terminated", "command, killed"],
)
def test_no_sampler_is_left_however_llem_is_ended(user, board, command, number):
    with started(user, "meter", *command, **board) as llem:
        assert waited_for(lambda: samplers(board))
        llem.send_signal(number)
        llem.wait(PATIENCE_S)
        assert waited_for(lambda: not samplers(board))


def test_in_python_a_block_has_its_energy_bound_power_and_verdict_afterwards(gpus):
    gpus(gpus.board(400.0))
    with llenergymeasure.measure_energy() as window:
        time.sleep(0.5)
    assert window.duration_s == pytest.approx(0.5, abs=0.2)
    assert window.energy_j == pytest.approx(400.0 * window.duration_s, abs=window.energy_uncertainty.edge_j)
    assert window.energy_uncertainty_j > window.energy_uncertainty.gain_j
    assert window.mean_power_w == pytest.approx(window.energy_j / window.duration_s)
    assert window.peak_power_w == pytest.approx(400.0, rel=0.2)
    assert (window.energy_source, window.energy_scope, window.verdict) == ("nvml_counter", "gpu", "invalid")
    assert json.loads(json.dumps(window.found.to_dict()))["energy_j"] == window.energy_j


def test_in_python_asking_before_the_block_has_ended_is_a_clear_error():
    with (
        llenergymeasure.measure_energy(source="estimate") as window,
        pytest.raises(MeterError, match="read its figures after the with block"),
    ):
        _ = window.energy_j
    assert window.energy_j is not None
    with pytest.raises(AttributeError, match="no attribute 'energy'"):
        _ = window.energy


def test_in_python_the_energy_of_a_block_that_raises_is_found_and_its_error_goes_on(gpus):
    def fails():
        with window:
            time.sleep(0.3)
            raise ZeroDivisionError

    gpus(gpus.board(400.0))
    window = llenergymeasure.measure_energy()
    with pytest.raises(ZeroDivisionError):
        fails()
    assert window.energy_j == pytest.approx(400.0 * window.duration_s, abs=window.energy_uncertainty.edge_j)
    assert warm.without_interpreter(psutil.Process().children()) == []


def test_in_python_ctrl_c_while_a_window_opens_leaves_no_sampler(gpus):
    gpus(gpus.board(0.0))  # its counter does not tick, and a window waits for that for a while
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    with pytest.raises(KeyboardInterrupt):
        llenergymeasure.measure_energy(source="nvml_counter").__enter__()
    signal.signal(signal.SIGALRM, before)
    left = warm.without_interpreter(psutil.Process().children())
    for process in left:
        process.kill()
    assert left == []
