"""Ctrl-C at each line of a step: it is stored in full or not at all, and the database is as usable as before."""

import contextlib
import signal
import sys
from pathlib import Path

import pytest

from labledger import files
from payment_simulator.experiments import persistence
from payment_simulator.experiments.persistence import ExperimentRepository
from small_experiment import experiment, iteration

OURS = (str(Path(persistence.__file__).parent), files.__file__)


def interrupted_at(number, work):
    """Do the work with Ctrl-C at its line `number`; return how many lines were run."""
    seen = 0

    def trace(frame, event, _):
        nonlocal seen
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        seen += 1
        if seen == number:
            sys.settrace(None)
            signal.raise_signal(signal.SIGINT)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return seen


@pytest.fixture
def ctrl_c():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_at_any_line_of_a_step_leaves_the_database_usable(tmp_path, ctrl_c):
    repository, number, lines = ExperimentRepository(tmp_path / "exp1.db"), 0, sys.maxsize
    acknowledged, stored = [], set()
    repository.save_experiment(experiment())

    def store():
        with repository.transaction() as step:
            step.save_iteration(iteration(number))
        acknowledged.append(number)

    while number <= lines:
        number += 1
        with contextlib.suppress(KeyboardInterrupt):
            lines = interrupted_at(number, store)
        found = {each.iteration_number for each in repository.get_iterations("run-1")}
        assert stored | set(acknowledged[-1:]) <= found <= stored | {number}, f"interrupted at line {number}"
        stored = found
    assert number > 100
