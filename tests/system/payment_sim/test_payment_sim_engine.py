"""The modules that `payment-sim` loads, the engine that runs, and compiled code that is never stale."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from loaded_modules import commands, run_and_list_modules
from payment_sim_files import BANK, EXAMPLES, TIGHT

import payment_simulator
from payment_simulator.cli.main import app

# What it loads


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["policy", "--help"], ["experiment", "--help"]], ids=" ".join
)
def test_help_is_an_answer_and_loads_no_heavy_library(user, arguments):
    printed, code, modules = run_and_list_modules(user, "payment_simulator", *arguments)
    assert "Usage: " in printed
    assert code == "0"
    assert modules & {"numba", "duckdb", "numpy", "pyarrow", "matplotlib"} == set()


def test_every_command_and_every_option_has_a_help_text():
    without = []
    for name, command in commands(typer.main.get_command(app), "payment-sim"):
        without += [] if command.help else [name]
        without += [f"{name} {each.name}" for each in command.params if not getattr(each, "help", None)]
    assert without == []


@pytest.mark.parametrize("name", ["castro_exp1", "castro_exp2", "castro_exp3", "gridlock"])
def test_a_small_scenario_runs_without_numba(user, name):
    _, code, modules = run_and_list_modules(user, "payment_simulator", "run", str(EXAMPLES / f"{name}.yaml"), "--json")
    assert code == "0"
    assert modules & {"numba", "duckdb", "pyarrow", "matplotlib"} == set()
    assert "payment_simulator.engine.reference.run" in modules


SHOWS_WHO_RAN_IT = """
import sys
from payment_simulator import draw_arrivals, load_scenario, simulate

scenario = load_scenario("tight.yaml")
arrivals = draw_arrivals(scenario)
by = [simulate(scenario, arrivals, engine=each) for each in ("kernel", "auto")]
assert by[0].total_cost.tolist() == by[1].total_cost.tolist()
print(by[1].engine)
"""


def test_a_small_scenario_that_proves_to_be_much_work_starts_over_in_the_kernel(user, compiled):
    """By its size it looks small: it is its queues that grow."""
    user.write("tight.yaml", TIGHT + "".join(BANK.format(number) for number in range(10)))
    ended = subprocess.run(
        [sys.executable, "-c", SHOWS_WHO_RAN_IT],
        cwd=user.folder,
        env=user.environment(**compiled),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "kernel\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cache", "words"), [("cache", "once on this machine"), ("work/tight.yaml", "in every run, for ")]
)
def test_a_run_that_compiles_the_engine_says_so(user, program, cache, words):
    user.write("tight.yaml", TIGHT + "".join(BANK.format(number) for number in range(10)))
    ended = program("run", "tight.yaml", XDG_CACHE_HOME=str(user.folder.parent / cache))
    assert ended.returncode == 0
    assert f"compiling the engine first, {words}" in ended.stderr
    assert not list(Path(payment_simulator.__file__).parent.rglob("*.nb[ic]"))  # there it would outlive a change


# A compiled answer is never stale

CALLEE = """
from payment_simulator.engine.kernel.jit import part

@part
def answer():
    return {answer}
"""
CALLER = """
from payment_simulator.engine.kernel.callee import answer
from payment_simulator.engine.kernel.jit import entry

@entry
def ask():
    return answer()

if __name__ == "__main__":
    print(ask(), sum(ask.stats.cache_hits.values()))
"""
ASK = "import runpy; runpy.run_module('payment_simulator.engine.kernel.caller', run_name='__main__')"
DELAY_BY_KERNEL = """
from payment_simulator import Scenario, draw_arrivals, simulate
scenario = Scenario.model_validate({
    "simulation": {"ticks_per_day": 1},
    "agents": [{"id": "A"}, {"id": "B"}],
    "cost_rates": {"delay_cost_per_tick_per_cent": 0.1},
    "scenario_events": [{"type": "CustomTransactionArrival", "from_agent": "A", "to_agent": "B", "amount": 1000,
                         "deadline": 1, "schedule": {"type": "OneTime", "tick": 0}}],
})
print(simulate(scenario, draw_arrivals(scenario), engine="kernel").total_cost.tolist())
"""


@pytest.fixture
def copied_engine(user):
    """The folder of the kernel in a copy of the package, and what a script prints that runs on that copy."""
    package = user.folder / "copy" / "payment_simulator"
    shutil.copytree(Path(payment_simulator.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))

    def run(script):
        ended = subprocess.run(
            [sys.executable, "-c", script],
            env=user.environment(PYTHONPATH=os.fspath(package.parent)),
            capture_output=True,
            text=True,
            check=True,
        )
        return ended.stdout.strip()

    return package / "engine" / "kernel", run


def test_a_change_in_a_file_that_compiled_code_calls_changes_the_answer(copied_engine):
    folder, run = copied_engine
    (folder / "caller.py").write_text(CALLER, encoding="utf-8")
    (folder / "callee.py").write_text(CALLEE.format(answer=1), encoding="utf-8")
    assert run(ASK) == "1 0"
    assert run(ASK) == "1 1"  # the second time it is not compiled again
    (folder / "callee.py").write_text(CALLEE.format(answer=2), encoding="utf-8")
    assert run(ASK) == "2 0"


def test_a_change_of_a_limit_of_policies_that_is_compiled_in_changes_the_answer(copied_engine):
    folder, run = copied_engine
    (folder / "caller.py").write_text(CALLER, encoding="utf-8")
    callee = CALLEE.replace("\n@part", "from payment_simulator.policy.tree import MAX_PIECES\n\n@part")
    (folder / "callee.py").write_text(callee.format(answer="MAX_PIECES"), encoding="utf-8")
    assert run(ASK) == "10000 0"
    limits = folder.parents[1] / "policy" / "tree.py"
    text = limits.read_text(encoding="utf-8").replace("MAX_PIECES = 10_000", "MAX_PIECES = 5")
    limits.write_text(text, encoding="utf-8")
    assert run(ASK) == "5 0"


@pytest.mark.slow
def test_a_change_in_a_part_of_the_kernel_changes_what_a_run_costs(copied_engine):
    folder, run = copied_engine
    before, after = "OVERDUE])] += sign * value", "OVERDUE])] += 2 * sign * value"
    assert run(DELAY_BY_KERNEL) == "[100, 0]"
    text = (folder / "queues.py").read_text(encoding="utf-8")
    assert before in text
    (folder / "queues.py").write_text(text.replace(before, after), encoding="utf-8")
    assert run(DELAY_BY_KERNEL) == "[200, 0]"
