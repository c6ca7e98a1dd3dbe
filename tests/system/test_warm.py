"""The warm interpreter: its commands do what cold ones do, each in a process of its own."""

import json
import os
import re
import signal
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


def without_numbers(text):
    return re.sub(r"[\d.,]+", "#", text)


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


def test_a_warm_command_finds_the_boards_that_a_cold_one_does(both, gpus):
    gpus(gpus.board(seconds=1.0))
    warm_one, cold_one = both("doctor", **{name: os.environ[name] for name in ("NVML_STANDIN", "PYTHONPATH")})
    assert "limit 700 W, GPU-1" in warm_one.stdout
    assert warm_one == cold_one


@pytest.mark.parametrize("arguments", [[], ["a text is printed"], ["0", "and it reads nothing"]])
def test_code_in_a_warm_python_sees_what_it_sees_in_a_cold_one(user, arguments):
    warm_one, cold_one = (user.run(sys.executable, "-c", HOW_IT_LOOKS, *arguments, cold=cold) for cold in (0, 1))
    assert warm_one.stderr.splitlines()[-1:] == cold_one.stderr.splitlines()[-1:]
    assert (warm_one.code, warm_one.stdout) == (cold_one.code, cold_one.stdout)


def test_what_a_command_chooses_by_is_not_there_before_it(user):
    """An engine that is loaded is used; a compiled one has its place by the environment; a database has threads."""
    late = {"payment_simulator.engine.kernel", "payment_simulator.engine.compiled", "numba", "duckdb"}
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
