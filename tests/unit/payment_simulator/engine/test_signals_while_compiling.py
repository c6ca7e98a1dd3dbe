"""Signals that come while the compiler works."""

import os
import signal
import threading

import pytest

from labledger.ending import Terminated, terminate
from labledger.notices import NOTICES
from payment_simulator.engine.kernel.jit import STOPPING, call, compile_for

PATIENCE_S = 60


class Compiler:
    """Stands for a function of numba: signals come while it is compiled, in C or in a callback, as the system likes."""

    def __init__(self, number, told):
        self.number, self.told = number, told
        self.events = []

    typeof_pyval = staticmethod(type)

    def compile(self, types):
        os.kill(os.getpid(), self.number)
        if threading.current_thread() is not threading.main_thread():
            assert self.told.wait(PATIENCE_S)  # at once, and not when it is compiled
        self.events.append(types)

    def __call__(self, *arguments):
        self.events.append(arguments)
        return sum(arguments)


@pytest.fixture
def told(monkeypatch):
    """An event that is set when the user is told."""
    event = threading.Event()
    monkeypatch.setattr(NOTICES, "warning", lambda form, text: event.set() if text == STOPPING else None)
    return event


@pytest.mark.parametrize(
    ("number", "handler", "error"),
    [(signal.SIGTERM, terminate, Terminated), (signal.SIGINT, signal.default_int_handler, KeyboardInterrupt)],
)
def test_a_signal_waits_for_the_compiler_and_is_told_of_at_once(told, number, handler, error):
    function = Compiler(number, told)
    before = signal.signal(number, handler)
    try:
        with pytest.raises(error):
            call(function, 1, 2)
    finally:
        signal.signal(number, before)
    assert function.events == [(int, int)]  # it is whole, and was not called
    assert call(function, 1, 2) == 3


def test_a_function_is_compiled_once(told):
    before = signal.signal(signal.SIGUSR1, lambda *_: told.set())
    try:
        function = Compiler(signal.SIGUSR1, told)
        compile_for(function, 1)
        compile_for(function, 2)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert function.events == [(int,)]
