"""The warm interpreter: its commands do what cold ones do, each in a process of its own."""

import contextlib
import functools
import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import warm

STANDIN = Path(__file__).parents[1] / "standins" / "nvml"
SAME = ("effective_config", "input_tokens", "output_tokens", "total_flops", "measurement_config_hash", "energy_source")
HOW_IT_LOOKS = """
import os, sys
names = ("argv", "executable", "prefix", "dont_write_bytecode")
print(*[getattr(sys, name) for name in names], sys.path, __name__, os.getcwd(), sorted(os.environ), sep="\\n")
print([(each.name, each.encoding, each.errors, each.line_buffering) for each in (sys.stdin, sys.stdout, sys.stderr)])
print(input() if len(sys.argv) > 2 else "", file=sys.stderr)
sys.exit(sys.argv[1] if len(sys.argv) > 1 else 7)
"""


HOW_IT_IS_TREATED = """
import os, resource, signal, subprocess, sys, threading
print(oct(os.umask(0)), os.nice(0), os.sched_getaffinity(0), os.getpgid(0) == os.getpgid(os.getppid()))
print([resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")])
print([(each, str(signal.getsignal(each))) for each in signal.valid_signals()], signal.pthread_sigmask(0, []))
print(sys.orig_argv, threading.main_thread().native_id == os.getpid())
"""
DRAW = """
import sys, random, numpy, torch
print(random.random(), numpy.random.rand(), torch.rand(1).item())
"""


def without_numbers(text):
    """A text without its numbers, and without the lines that only a slow machine prints."""
    return "".join(line for line in re.sub(r"[\d.,]+", "#", text).splitlines(True) if not line.endswith(" so far\n"))


def outline(node):
    """A document's structure: every key, and each value's type; texts and lists of them may have other words."""
    if isinstance(node, dict):
        return {name: outline(value) for name, value in node.items()}
    if isinstance(node, list):
        return [outline(each) for each in node if not isinstance(each, str)]
    return "number" if isinstance(node, int | float) and not isinstance(node, bool) else type(node).__name__


@pytest.fixture
def both(user):
    """Run a command warm and cold; how each has ended."""

    def ran(*arguments, **environment):
        return [user.llem(*arguments, cold=cold, **environment) for cold in (False, True)]

    return ran


def test_a_warm_run_prints_and_saves_what_a_cold_one_does(user, both):
    warm_one, cold_one = both("run", user.experiment(), "--json")
    assert (warm_one.code, without_numbers(warm_one.stderr)) == (cold_one.code, without_numbers(cold_one.stderr))
    found, expected = json.loads(warm_one.stdout), json.loads(cold_one.stdout)
    assert outline(found) == outline(expected)
    assert {name: found[name] for name in SAME} == {name: expected[name] for name in SAME}
    assert found["environment_snapshot"]["packages"] == expected["environment_snapshot"]["packages"]
    assert len(list(user.folder.glob("results/*/result.json"))) == 2


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "gone.yaml"], ["run", "--num-promts", "4"], ["config", "schema"], ["results"]],
    ids=" ".join,
)
def test_a_warm_command_answers_what_a_cold_one_does(both, arguments):
    warm_one, cold_one = both(*arguments)
    assert warm_one == cold_one


def test_a_warm_python_finds_the_boards_that_a_cold_one_does(user, gpus):
    gpus(gpus.board(seconds=1.0))
    code = "from llenergymeasure.energy.sources import find_sources; print(find_sources().nvml)"
    boards = {name: os.environ[name] for name in ("NVML_STANDIN", "PYTHONPATH")}
    warm_one, cold_one = (user.run(sys.executable, "-c", code, cold=cold, **boards) for cold in (False, True))
    assert "'GPU-1'" in warm_one.stdout
    assert warm_one == cold_one


@pytest.mark.parametrize("arguments", [[], ["a text is printed"], ["0", "and it reads nothing"]])
def test_code_in_a_warm_python_sees_what_it_sees_in_a_cold_one(user, arguments):
    warm_one, cold_one = (user.run(sys.executable, "-c", HOW_IT_LOOKS, *arguments, cold=cold) for cold in (0, 1))
    assert warm_one.stderr.splitlines()[-1:] == cold_one.stderr.splitlines()[-1:]
    assert (warm_one.code, warm_one.stdout) == (cold_one.code, cold_one.stdout)


def test_what_a_command_chooses_by_is_not_there_before_it(user):
    """An engine that is loaded is used; a compiled one has its place by the environment; a database has threads."""
    late = {"payment_simulator.engine.kernel.run", "payment_simulator.engine.kernel.jit", "numba", "duckdb"}
    ended = user.run(
        sys.executable, "-c", f"import sys; print(sorted({late} & set(sys.modules)), 'torch' in sys.modules)"
    )
    assert ended.stdout == "[] True\n"


def test_a_warm_command_is_a_child_of_its_own_that_dies_of_its_signals(user):
    with user.start("meter", "--source", "estimate") as command:
        process = psutil.Process(command.pid)
        assert process.ppid() == os.getpid()
        assert process in warm.without_interpreter(psutil.Process().children())
        assert process.environ() == user.environment()
        assert process.cmdline()[1:3] == ["meter", "--source"]
        assert command.stdout.readline()
        command.send_signal(signal.SIGSTOP)
        assert os.waitid(os.P_PID, command.pid, os.WSTOPPED).si_status == signal.SIGSTOP
        command.kill()
        assert command.wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    ("program", "environment", "is_warm"),
    [
        ("llem", {"XDG_CACHE_HOME": "elsewhere", "OPENAI_API_KEY": "k", "RANK": "0"}, True),
        ("payment-sim", {}, True),
        ("llem", {"PYTHONPATH": str(STANDIN)}, True),
        ("llem", {"PYTHONPATH": "elsewhere"}, False),
        ("llem", {"PYTHONIOENCODING": "ascii"}, False),
        ("llem", {"HF_HUB_OFFLINE": "0"}, False),
        ("llem", {"OMP_NUM_THREADS": "2"}, False),
        ("llem", {"SOMETHING": "new"}, False),
        ("torchrun", {}, False),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="nothing is warm there")
def test_what_may_differ_in_a_fork_is_started_cold(user, program, environment, is_warm):
    command = [Path(sys.executable).with_name(program), "run"]
    assert warm.can_be_warm(command, user.environment(**environment)) == is_warm
    assert not warm.can_be_warm([*command, "--verbose"], user.environment(**environment))


@contextlib.contextmanager
def treated_otherwise():
    """This process with another umask, other limits, fewer processors, and signals that it ignores or holds back."""
    mask, processors = os.umask(0o027), os.sched_getaffinity(0)
    limits = {each: resource.getrlimit(each) for each in (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)}
    hung_up = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        os.sched_setaffinity(0, [min(processors)])
        for number, (soft, hard) in limits.items():
            resource.setrlimit(number, (soft - 1 if soft > 0 else 10**7, hard))
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
        for number, both in limits.items():
            resource.setrlimit(number, both)
        signal.signal(signal.SIGHUP, hung_up)
        os.sched_setaffinity(0, processors)
        os.umask(mask)


def test_a_warm_command_inherits_from_who_starts_it_what_a_cold_one_does(user):
    command = [sys.executable, "-c", HOW_IT_IS_TREATED]
    before = user.run(*command)
    with treated_otherwise():
        warm_one, cold_one = (user.run(*command, cold=cold) for cold in (False, True))
    assert (warm_one, warm_one.code) == (cold_one, 0)
    assert not set(before.stdout.splitlines()[:3]) & set(warm_one.stdout.splitlines())
    assert user.run(*command) == before


def test_no_two_warm_commands_draw_the_same_random_numbers(user):
    drawn = [number for _ in range(3) for number in user.run(sys.executable, "-c", DRAW).stdout.split()]
    assert len(set(drawn)) == 9


@pytest.mark.parametrize("code", ["def f(): raise ValueError('x')\nf()", "raise KeyboardInterrupt", "exit('bye')"])
def test_a_warm_command_that_fails_says_so_as_a_cold_one_does(user, code):
    warm_one, cold_one = (user.run(sys.executable, "-c", code, cold=cold) for cold in (False, True))
    assert warm_one == cold_one
    assert warm_one.code in (1, -signal.SIGINT)


@pytest.mark.parametrize("option", [{"umask": 0o077}, {"preexec_fn": functools.partial(os.umask, 0o077)}])
def test_an_option_that_a_fork_cannot_heed_starts_a_command_cold(user, option):
    code = "import os, signal, sys; print(oct(os.umask(0)), 'torch' in sys.modules, signal.getsignal(signal.SIGINT))"
    command = [sys.executable, "-c", code]
    with warm.Popen(command, env=user.environment(), stdout=subprocess.PIPE, text=True, **option) as process:
        assert process.communicate()[0] == f"0o77 False {signal.default_int_handler}\n"


def test_limits_on_memory_start_a_command_cold(user):
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (1 << 36, limits[1]))
        ended = user.run(sys.executable, "-c", "import sys; print('torch' in sys.modules)")
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)
    assert ended.stdout == "False\n"
