"""`llem run` with servers: launched ones that end with it, whoever is killed, and what is then kept."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from data_parallel_runs import until

from labledger.schema_versions import parse_record
from llenergymeasure.domain.experiment import ExperimentResult, RawProcessResult
from real_servers import free_port

STANDIN = Path(__file__).parents[1] / "standins" / "streaming_server.py"
PLAN = {"ttft_s": 0.05, "itl_s": 0.005, "tokens": 4}
NOT_A_SERVERS = ("random_model", "device", "precision", "max_input_tokens", "decoder", "random_seed")
DEADLINE_S = 60


@pytest.fixture
def served(user):
    """The YAML of an experiment with a stand-in server that is launched, in the user's folder; its port."""

    def served(*, server=STANDIN, arguments=("{port}",), **changes):
        port = free_port()
        path = user.experiment(
            **{
                **dict.fromkeys(NOT_A_SERVERS),
                "model": "stand-in",
                "backend": "openai",
                "openai": {"base_url": f"http://127.0.0.1:{port}/v1"},
                "launch": [sys.executable, str(server), *arguments],
                "num_prompts": 200,
                "load": {"concurrency": 2},
                "passthrough_kwargs": {"standin": PLAN},
                **changes,
            }
        )
        return path, port

    return served


def processes_of(port):
    """The processes whose command line has this port; a stand-in's has."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(port) in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def check_gone(port):
    """No process of the server is left."""
    until_s = time.monotonic() + DEADLINE_S
    while processes_of(port):
        assert time.monotonic() < until_s, f"still there: {processes_of(port)}"
        time.sleep(0.1)


def the_log(user):
    (log,) = user.folder.glob("results/.logs/*.log")
    return log.relative_to(user.folder)


def kept(user, name="process_0.json"):
    (path,) = user.folder.glob(f"results/.state/*/{name}")
    raw, _ = parse_record(RawProcessResult, path.read_bytes(), str(path))
    return raw, path.relative_to(user.folder)


def test_a_launched_server_is_measured_and_stopped_and_its_log_stays(user, served):
    path, port = served(num_prompts=6)
    ended = user.llem("run", path)
    assert ended.code == 0, ended.stderr
    check_gone(port)
    (file,) = user.folder.glob("results/*/result.json")
    result = ExperimentResult.from_json(file)
    assert result.output_tokens == 6 * 4
    assert result.energy_source == "estimate"
    assert result.energy_uncertainty_j > 0
    assert the_log(user).stem == result.experiment_id
    assert "2 requests in flight" in ended.stdout
    assert result.effective_config["launch"]["command"][1] == str(STANDIN)
    listed = user.llem("results", "list")
    assert "stand-in" in listed.stdout
    assert ".logs" not in listed.stdout + listed.stderr


def test_a_server_that_is_killed_ends_the_run_with_one_message_and_keeps_what_was_measured(user, served):
    path, port = served()
    with user.watch("run", path) as command:
        command.wait_for("/200 (")
        (server,) = processes_of(port)
        server.kill()
        ended = command.end()
    assert ended.code == 1
    raw, file = kept(user)
    assert raw.is_partial
    finished = len(raw.requests.output_tokens)
    assert finished > 0
    message = ended.stderr[ended.stderr.index("error: ") :].replace("\r", "")
    assert message.startswith("error: the server was killed by SIGKILL; ")
    assert str(the_log(user)) in message
    assert f"{finished} finished requests are kept in {file}" in message
    assert "Traceback" not in ended.stderr
    check_gone(port)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"])
def test_a_run_that_is_stopped_stops_its_server_and_keeps_what_was_measured(user, served, number, code):
    path, port = served()
    with user.watch("run", path) as command:
        command.wait_for("/200 (")
        ended = command.end(number)
    assert ended.code == code
    check_gone(port)
    raw, file = kept(user)
    finished = len(raw.requests.output_tokens)
    assert raw.requests.output_tokens == [4] * finished
    assert set(raw.failed_requests.kind) == {"cancelled"}
    assert len(raw.failed_requests.kind) <= 2
    assert f"{finished} finished requests are kept in {file}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_run_that_is_killed_leaves_no_server_and_its_log_and_what_was_measured(user, served):
    path, port = served()
    with user.watch("run", path) as command:
        command.wait_for("/200 (")
        assert processes_of(port)
        time.sleep(2.0)  # of six: the server's CPU time is told in hundredths of a second
        command.end(signal.SIGKILL)
    check_gone(port)
    assert (user.folder / the_log(user)).exists()
    shown = user.llem("results", "recover")
    raw, file = kept(user, "process_0.recovered.json")
    finished = len(raw.requests.output_tokens)
    assert shown.stdout.startswith(f"{file.parent}: {finished} finished requests of 1 process(es); it ended early\n")
    assert raw.requests.output_tokens == [4] * finished
    assert raw.is_partial
    assert 0 < raw.inference_metrics.output_tokens <= 4 * finished
    assert raw.energy_metrics.total_energy_j > 0
    assert raw.energy_metrics.duration_sec == raw.inference_metrics.inference_time_sec > 0


def test_a_run_that_is_killed_while_its_server_takes_its_time_to_end_is_recovered_whole(user, served):
    stubborn = user.folder / "stubborn.py"
    stubborn.write_text(
        f"import runpy, signal, sys\nsys.path.insert(0, {str(STANDIN.parent)!r})\n"
        f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\nrunpy.run_path({str(STANDIN)!r}, run_name='__main__')\n"
    )
    path, port = served(server=stubborn, num_prompts=6)
    with user.watch("run", path) as command:
        command.wait_for("summing up …")
        time.sleep(1.0)
        while_it_lives = user.llem("results", "recover", "--remove")
        left = processes_of(port)
        assert left
        command.process.kill()
        for process in left:  # they would be killed in ten seconds
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        command.end()
    assert while_it_lives.stdout == "nothing to recover in results\n"
    shown = user.llem("results", "recover")
    assert ": 6 finished requests of 1 process(es); it ended early\n" in shown.stdout
    raw, _ = kept(user, "process_0.recovered.json")
    assert not raw.is_partial
    assert raw.inference_metrics.output_tokens == 6 * 4
    check_gone(port)


def test_ctrl_c_while_the_server_starts_stops_it_and_leaves_its_log_alone(user, served):
    mute = user.folder / "mute.py"
    mute.write_text("import sys, time\nprint('loading', flush=True)\ntime.sleep(600)\n")
    path, port = served(server=mute)
    with user.watch("run", path) as command:
        command.wait_for("the server does not answer yet")
        until(lambda: (user.folder / the_log(user)).read_text() == "loading\n", "the server has begun to load")
        ended = command.end(signal.SIGINT)
    assert ended.code == 130
    assert ended.stderr.rstrip().endswith("error: interrupted")
    check_gone(port)
    assert (user.folder / the_log(user)).read_text() == "loading\n"
    assert not (user.folder / "results" / ".state").exists()


def test_a_server_that_ends_at_once_is_reported_with_the_last_lines_of_its_log(user, served):
    broken = user.folder / "broken.py"
    broken.write_text("import sys\nsys.exit('CUDA error: no kernel image')\n")
    path, port = served(server=broken)
    ended = user.llem("run", path)
    assert ended.code == 1
    log = the_log(user)
    assert f"error: the server ended with exit code 1 before it was ready; last lines of {log}:" in ended.stderr
    assert ended.stderr.rstrip().endswith("CUDA error: no kernel image")
    check_gone(port)


def test_a_server_that_does_not_answer_in_time_is_stopped(user, served):
    mute = user.folder / "mute.py"
    mute.write_text("import time\ntime.sleep(600)\n")
    path, port = served(
        launch={"command": [sys.executable, str(mute), "{port}"], "ready_timeout_s": 1.5}, num_prompts=2
    )
    ended = user.llem("run", path)
    assert ended.code == 1
    assert (
        f"error: the server did not answer at http://127.0.0.1:{port} within 1.5 s (Connection refused); "
        in ended.stderr
    )
    check_gone(port)


def test_a_program_that_is_not_there_is_named(user, served):
    path, _ = served(launch=["vlm", "serve"])
    ended = user.llem("run", path)
    assert ended.code == 1
    assert "error: launch: vlm is not on the PATH: install it, or name its full path" in ended.stderr


def test_a_port_that_is_taken_is_reported_before_anything_is_started(user, served):
    path, port = served()
    other = subprocess.Popen([sys.executable, STANDIN, str(port)], stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        ended = user.llem("run", path)
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    assert ended.code == 1
    assert f"error: something already listens at 127.0.0.1:{port}: attach to it (remove launch)" in ended.stderr


def test_two_runs_at_once_each_have_their_server_and_result(user, served):
    runs = []
    for _ in range(2):
        path, port = served(num_prompts=20)
        own = user.folder / f"{port}.yaml"
        os.replace(user.folder / path, own)
        runs.append((user.start("run", own.name), port))
    for process, port in runs:
        stdout, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
        assert "saved in" in stdout
        check_gone(port)
    assert len(list(user.folder.glob("results/*/result.json"))) == 2


def test_an_interrupted_attached_run_leaves_the_server_alone(user, served):
    path, port = served(launch=None)
    server = subprocess.Popen([sys.executable, STANDIN, str(port)], stdout=subprocess.PIPE)
    try:
        server.stdout.readline()
        with user.watch("run", path) as command:
            command.wait_for("/200 (")
            ended = command.end(signal.SIGINT)
        assert ended.code == 130
        assert server.poll() is None
        assert not (user.folder / "results" / ".logs").exists()
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def test_a_dry_run_starts_nothing(user, served):
    path, port = served()
    ended = user.llem("run", path, "--dry-run")
    assert ended.code == 0, ended.stderr
    assert "checked: it can run" in ended.stderr
    assert not processes_of(port)
    assert user.made() == []
