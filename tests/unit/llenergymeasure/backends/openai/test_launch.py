"""A server that we launch, and that ends with us: real processes, ended in every way."""

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap

import psutil
import pytest
from launched import MARK_VARIABLE, LaunchSite, running, wait_until

from llenergymeasure.backends.openai.server import launch
from llenergymeasure.backends.openai.server.launch import LaunchedServer
from llenergymeasure.errors import BackendError

LONG_S = 600.0
KEY = "sk-4b1d0c77aa93f4e2"
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
PARENT = """
import sys, time
from pathlib import Path
from llenergymeasure.backends.openai.server.launch import LaunchedServer

base_url, log, grace_s, *command = sys.argv[1:]
keys = ["sk-4b1d0c77aa93f4e2"]
with LaunchedServer(command, base_url=base_url, log=Path(log), keys=keys, grace_s=float(grace_s)) as server:
    print("launched", flush=True)
    {work}
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """The place from which a test launches; nothing of it may be left when the test ends."""
    site = LaunchSite(tmp_path)
    monkeypatch.setenv(MARK_VARIABLE, site.token)
    yield site
    left = site.left()
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    assert left == []


def launched(site, body, **options):
    return LaunchedServer(site.command(body), base_url=site.base_url, log=site.log, **options)


@contextlib.contextmanager
def parent_of(site, body, grace_s=10.0, work="time.sleep(600)"):
    """A process that has launched a server, as `llem` does."""
    script = site.folder / "parent.py"
    script.write_text(textwrap.dedent(PARENT).replace("{work}", work))
    process = subprocess.Popen(
        [sys.executable, script, site.base_url, site.log, str(grace_s), *site.command(body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler),
    )
    with process:
        assert process.stdout.readline() == "launched\n"
        try:
            yield process
        finally:
            process.kill()


# Ready


def test_a_server_is_ready_when_it_answers_and_its_log_has_what_it_printed(site):
    with launched(site, "print('loading', flush=True); serve(200)") as server:
        server.wait_until_ready(LONG_S)
        assert server.problem() is None
        assert server.pids() == [server.pid]
        assert site.log.read_text().startswith("loading\n")


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_asks_for_a_key_is_ready(site, status):
    with launched(site, f"serve({status})") as server:
        server.wait_until_ready(LONG_S)
        assert server.problem() is None


def test_a_server_that_still_loads_is_waited_for_and_the_wait_is_shown(site):
    waited = []
    with launched(site, "serve(503, 404, 307, 503, 200)") as server:
        server.wait_until_ready(LONG_S, waited.append)
    assert len(waited) >= 4
    assert waited == sorted(waited)


def test_proxies_of_the_environment_are_not_asked(site, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with launched(site, "serve(200)") as server:
        server.wait_until_ready(LONG_S)
        assert server.problem() is None


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("print('loading', flush=True); rest()", "refused"),
        ("print('loading', flush=True); serve(503)", "status 503"),
        (
            "print('loading', flush=True); s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); rest()",
            "no answer",
        ),
    ],
    ids=["does not listen", "is never ready", "never answers"],
)
def test_a_server_that_does_not_get_ready_is_given_up_with_the_time_and_the_end_of_its_log(site, body, found):
    with launched(site, body) as server:
        wait_until(lambda: site.log.read_text() and (found == "refused" or not site.port_is_free()))
        with pytest.raises(BackendError) as caught:
            server.wait_until_ready(0.5)
    text = str(caught.value)
    assert text.startswith(f"the server did not answer at {site.base_url.removesuffix('/v1')} within 0.5 s (")
    assert found in text.partition("\n")[0]
    assert f"last lines of {site.log}:\n  loading" in text


# How it ends


def test_a_server_that_ends_before_it_is_ready_is_reported_with_its_last_lines(site):
    body = "print('a\\nb\\nc\\nd\\ne\\nno such model', file=sys.stderr); sys.exit(3)"
    with launched(site, body) as server:
        with pytest.raises(BackendError) as caught:
            server.wait_until_ready(LONG_S)
        quoted = f"last lines of {site.log}:\n  b\n  c\n  d\n  e\n  no such model"
        assert str(caught.value) == f"the server ended with exit code 3 before it was ready; {quoted}"
        assert server.problem() == f"the server ended with exit code 3; {quoted}"
        assert server.pids() == []


def test_a_server_that_another_has_the_port_of_is_not_ready_when_the_other_answers(site):
    with launched(site, "fork(lambda: serve(200)); rest()") as server:
        server.wait_until_ready(LONG_S)
        os.kill(server.pid, signal.SIGKILL)
        wait_until(server.problem)
        with pytest.raises(BackendError, match="was killed by SIGKILL before it was ready"):
            server.wait_until_ready(LONG_S)


def test_the_waiting_for_an_answer_ends_with_the_server(site, monkeypatch):
    monkeypatch.setattr(launch, "ANSWER_PATIENCE_S", LONG_S)
    body = """
    listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    connection = listening.accept()
    fork(rest)  # which holds both on
    sys.exit(4)
    """
    with launched(site, body) as server, pytest.raises(BackendError, match="ended with exit code 4 before"):
        server.wait_until_ready(LONG_S)


def test_a_server_that_is_killed_is_reported_with_the_signal(site):
    with launched(site, "serve(200)") as server:
        server.wait_until_ready(LONG_S)
        os.kill(server.pid, signal.SIGKILL)
        wait_until(server.problem)
        assert server.problem().startswith(f"the server was killed by SIGKILL; last lines of {site.log}:\n  ")
        assert "GET /health" in server.problem()


def test_what_cannot_be_printed_and_the_key_are_not_quoted(site):
    body = r"""
    print("\x1b[31mred\x1b[0m \x07bell \u202eback", "key=sk-123", "10%\r20%\r\n", "x" * 5000, sep="\n")
    sys.exit(1)
    """
    with launched(site, body, keys=["sk-123"]) as server:
        wait_until(server.problem)
        lines = server.problem().splitlines()[1:]
    assert [line.strip() for line in lines[:-1]] == ["red \ufffdbell \ufffdback", "key=(the key)", "10%", "20%"]
    assert lines[-1].endswith("x…")
    assert len(lines[-1]) < 310
    assert "key=******\n" in site.log.read_text()


def test_a_silent_server_has_an_empty_log_and_a_log_that_is_gone_is_reported(site):
    with launched(site, "sys.exit(0)") as server:
        wait_until(server.problem)
        assert server.problem() == f"the server ended with exit code 0; its log {site.log} is empty"
        site.log.unlink()
        assert server.problem().endswith(f"its log {site.log} cannot be read: No such file or directory")


# Stopped


def test_closing_ends_every_process_in_whatever_session_and_frees_the_port(site):
    with launched(site, "detach(); fork(rest); fork(lambda: (fork(rest), rest())); serve(200)") as server:
        server.wait_until_ready(LONG_S)
        family = site.family(6)
        assert sorted(server.pids()) == sorted(process.pid for process in running(family))
        assert len(server.pids()) == 5  # the daemon's first parent has ended
        assert os.getsid(server.pid) == server.pid  # a terminal's Ctrl-C does not reach it
    assert running(family) == []
    assert site.port_is_free()
    assert server.pids() == []
    assert server.problem().startswith("the server has been stopped; ")
    server.close()


def test_a_server_is_asked_to_end_before_it_is_killed(site):
    body = """
    signal.signal(signal.SIGTERM, lambda *_: (print("goodbye", flush=True), sys.exit(0)))
    serve(200)
    """
    with launched(site, body, grace_s=LONG_S) as server:
        server.wait_until_ready(LONG_S)
    assert site.log.read_text().endswith("goodbye\n")


def test_one_that_ignores_sigterm_is_killed_with_its_children(site):
    with launched(site, f"{DEAF}\ndetach(); fork(rest); serve(200)", grace_s=0.2) as server:
        server.wait_until_ready(LONG_S)
        family = site.family(4)
    assert running(family) == []


def test_what_an_ended_server_has_left_behind_ends_at_the_close(site):
    with launched(site, "detach(); fork(rest); sys.exit(3)") as server:
        wait_until(server.problem)
        family = running(site.family(4))
        assert sorted(server.pids()) == sorted(process.pid for process in family)
        assert len(family) == 2
    assert running(family) == []


def test_an_error_inside_ends_it_too(site):
    family = []

    def work():
        with launched(site, "rest()"):
            family.extend(site.family(1))
            raise OSError("something else")

    with pytest.raises(OSError, match="something else"):
        work()
    assert len(family) == 1
    assert running(family) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_the_process_that_launched_it_does(site, number):
    with parent_of(site, "detach(); fork(rest); serve(200)") as parent:
        family = site.family(4)
        parent.send_signal(number)
        parent.wait()
    if number == signal.SIGINT:  # it has closed the server itself
        assert running(family) == []
    wait_until(lambda: not site.left())
    assert running(family) == []
    assert site.port_is_free()


def test_one_that_ignores_sigterm_is_killed_when_the_process_that_launched_it_was(site):
    with parent_of(site, f"{DEAF}\ndetach(); fork(rest); serve(200)", grace_s=0.2) as parent:
        family = site.family(4)
        parent.kill()
    wait_until(lambda: not site.left())
    assert running(family) == []


def test_it_ends_when_a_copy_of_the_process_that_launched_it_lives_on(site):
    work = "print(os.fork() or 'copy', flush=True); time.sleep(600)"
    with parent_of(site, "serve(200)", work=f"import os; {work}") as parent:
        family = site.family(1)
        copy = next(psutil.Process(int(line)) for line in parent.stdout if line != "copy\n")
        parent.kill()
        wait_until(lambda: not running(family))
        assert running([copy]) == [copy]
        copy.kill()
        wait_until(lambda: not site.left())


def test_a_further_ctrl_c_does_not_wait_for_one_that_ignores_sigterm(site):
    body = "signal.signal(signal.SIGTERM, lambda *_: print('asked to end', flush=True)); fork(rest); rest()"
    with parent_of(site, body, grace_s=LONG_S) as parent:
        family = site.family(2)
        parent.send_signal(signal.SIGINT)
        wait_until(lambda: "asked to end" in site.log.read_text())
        parent.send_signal(signal.SIGINT)
        parent.wait()
    assert running(family) == []


def test_it_ends_when_its_supervisor_is_killed_and_that_is_reported(site):
    with launched(site, f"{DEAF}\ndetach(); fork(rest); serve(200)") as server:
        server.wait_until_ready(LONG_S)
        family = site.family(4)
        psutil.Process(server.pid).parent().kill()
        wait_until(server.problem)
        assert server.problem().startswith(
            "the server was killed: its supervisor was killed by SIGKILL; last lines of "
        )
        assert running(family) == []
        assert server.pids() == []


def test_what_a_killed_supervisor_has_left_ends_at_the_close(site):
    with launched(site, f"{DEAF}\ndetach(); fork(rest); sys.exit(3)") as server:
        wait_until(server.problem)
        family = running(site.family(4))
        assert len(family) == 2
        family[0].parent().kill()
    assert running(family) == []


def test_a_killed_supervisor_takes_the_server_with_it_where_nobody_looks(site):
    with launched(site, f"{DEAF}\nrest()"):
        family = site.family(1)
        family[0].parent().kill()
        wait_until(lambda: not running(family))
        assert not running(family)


# Started


def test_the_command_runs_as_it_stands_with_our_environment_and_a_signal_for_ctrl_c(site, monkeypatch):
    monkeypatch.setenv("SOME_SETTING", "as it was")
    body = """
    import json
    interrupt = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    print(json.dumps([sys.argv[2:], os.environ["SOME_SETTING"], interrupt, sys.stdin.read()]))
    """
    further = ["$HOME; exit", "{model}", "*", "", "ä\udcff"]
    with LaunchedServer([*site.command(body), *further], base_url=site.base_url, log=site.log) as server:
        wait_until(server.problem)
        assert json.loads(site.log.read_text()) == [further, "as it was", True, ""]


def test_a_log_is_added_to_and_only_what_is_new_is_quoted(site):
    for line in ("first", "second"):
        with launched(site, f"print('{line}'); sys.exit(1)") as server:
            wait_until(server.problem)
            assert server.problem().endswith(f"last lines of {site.log}:\n  {line}")
    assert site.log.read_text() == "first\nsecond\n"


def test_a_log_that_cannot_be_written_is_an_error(site):
    site.log.mkdir(parents=True)
    with pytest.raises(BackendError, match=r"the server's log .*server\.log cannot be written"):
        launched(site, "rest()")


def test_a_program_that_is_not_there_is_named(site, tmp_path):
    plain = tmp_path / "plain.txt"
    plain.write_text("")
    for name, why in [("no-such-server", "is not on the PATH"), (str(plain), "is not a program that can be run")]:
        with pytest.raises(BackendError) as caught:
            LaunchedServer([name], base_url=site.base_url, log=site.log)
        assert str(caught.value) == f"launch: {name} {why}: install it, or name its full path"
    assert not site.log.exists()


def test_a_program_that_cannot_be_executed_is_named(site, tmp_path):
    broken = tmp_path / "broken"
    broken.write_bytes(b"\0\1\2\3")
    broken.chmod(0o755)
    with pytest.raises(BackendError, match=r"broken cannot be started: Exec format error; its log .* is empty"):
        LaunchedServer([str(broken)], base_url=site.base_url, log=site.log)


def test_a_program_beside_this_python_needs_no_path(site, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    command = [os.path.basename(sys.executable), *site.command("serve(200)")[1:]]
    with LaunchedServer(command, base_url=site.base_url, log=site.log) as server:
        server.wait_until_ready(LONG_S)
        assert server.problem() is None


def test_a_port_that_is_taken_is_an_error_with_what_to_do(site):
    with socket.create_server(("127.0.0.1", site.port)), pytest.raises(BackendError) as caught:
        launched(site, "serve(200)")
    assert str(caught.value) == (
        f"something already listens at 127.0.0.1:{site.port}: attach to it (remove launch), stop it, or name another"
        " port in openai.base_url"
    )
    assert not site.log.exists()


def test_a_host_that_is_none_is_an_error(site):
    with pytest.raises(BackendError, match=r"openai\.base_url: no-such-host\.invalid: "):
        LaunchedServer(site.command("rest()"), base_url="http://no-such-host.invalid:1/v1", log=site.log)


# CPU time


def test_cpu_time_is_that_of_all_processes_those_that_have_ended_too(site):
    body = """
    os.waitpid(fork(lambda: burn(0.3)), 0)  # waited for
    fork(lambda: fork(lambda: (os.setsid(), burn(0.3))))  # left to the supervisor
    fork(lambda: (burn(0.3), rest()))  # runs on
    burn(0.3)
    note_pid()
    rest()
    """
    with launched(site, body) as server:
        site.family(6)
        seen = []

        def have_all_burnt():
            seen.append(server.cpu_seconds())
            return seen[-1] >= 1.1 and len(server.pids()) == 2

        wait_until(have_all_burnt)
        os.kill(server.pid, signal.SIGKILL)
        wait_until(server.problem)
        seen.append(server.cpu_seconds())
    assert seen == sorted(seen)
    assert 1.1 <= seen[-1] <= server.cpu_seconds() < 3.0


def test_cpu_time_does_not_fall_where_the_kernel_forgets_a_child_that_nobody_waits_for(site):
    body = "signal.signal(signal.SIGCHLD, signal.SIG_IGN); print(fork(lambda: (burn(0.3), rest())), flush=True); rest()"
    with launched(site, body) as server:
        wait_until(lambda: server.cpu_seconds() >= 0.28)
        os.kill(int(site.log.read_text()), signal.SIGKILL)
        wait_until(lambda: server.pids() == [server.pid])
        assert server.cpu_seconds() >= 0.28


def test_the_supervisor_starts_without_heavy_libraries():
    code = "import sys, llenergymeasure.backends.openai.server.supervisor; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    assert {"pydantic", "numpy", "aiohttp", "rich"}.isdisjoint(loaded)


def test_a_log_holds_no_key_after_its_run_was_killed(site):
    with parent_of(site, f"print('key {KEY} read', flush=True); serve(200)") as process:
        wait_until(lambda: KEY in site.log.read_text())
        process.kill()
        process.wait()
    wait_until(lambda: not site.left())
    assert site.log.read_text().startswith(f"key {'*' * len(KEY)} read\n")
