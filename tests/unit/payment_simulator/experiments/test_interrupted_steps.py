"""Ctrl-C at each line of a step: it is stored in full or not at all, and the database is as usable as before.

A line that is run again from where it was run before, as in a loop over columns, is interrupted the first time alone.
"""

import signal
import sys
from pathlib import Path

import pytest

from labledger import files
from payment_simulator.experiments import persistence
from payment_simulator.experiments.persistence import ExperimentRepository
from small_experiment import experiment, iteration

OURS = (str(Path(persistence.__file__).parent), files.__file__)


def interrupted_where_it_never_was(known, work):
    """Do the work with Ctrl-C at its first line that is not `known`; return that line and those that led to it, or None
    where all were."""
    found = None

    def trace(frame, event, _):
        nonlocal found
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        place = (event, *lines_of(frame))
        if place not in known:
            known.add(place)
            found = place
            sys.settrace(None)
            signal.raise_signal(signal.SIGINT)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        assert found is not None
    finally:
        sys.settrace(before)
    return found


def lines_of(frame):
    """Yield the lines of a frame and of those that led to it, as far as they are ours."""
    while frame is not None and frame.f_code.co_filename.startswith(OURS):
        yield frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back


@pytest.fixture
def ctrl_c():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_at_any_line_of_a_step_leaves_the_database_usable(tmp_path, ctrl_c):
    repository, number, interrupted = ExperimentRepository(tmp_path / "exp1.db"), 0, True
    acknowledged, stored, known = [], set(), set()
    repository.save_experiment(experiment())

    def store():
        with repository.transaction() as step:
            step.save_iteration(iteration(number))
        acknowledged.append(number)

    while interrupted:
        number += 1
        interrupted = interrupted_where_it_never_was(known, store)
        found = {each.iteration_number for each in repository.get_iterations("run-1")}
        assert stored | set(acknowledged[-1:]) <= found <= stored | {number}, f"interrupted at {interrupted}"
        stored = found
    assert number > 100
