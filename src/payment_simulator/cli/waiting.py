"""What a user who waits is told, on stderr."""

import contextlib
import threading
import time
from collections.abc import Iterator

from labledger.console import print_answer

TELL_AFTER_S, LOOK_EVERY_S = 1.0, 0.2


@contextlib.contextmanager
def told_if_long(name: str) -> Iterator[None]:
    """What goes on, once it takes longer than a second, and how long it took."""
    timer = threading.Timer(TELL_AFTER_S, print_answer, [f"{name} …"], {"to_stderr": True})
    timer.daemon = True
    began_s = time.monotonic()
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if (taken_s := time.monotonic() - began_s) > TELL_AFTER_S:
            print_answer(f"{name}: {taken_s:.1f} s", to_stderr=True)


@contextlib.contextmanager
def told_of_compiling() -> Iterator[None]:
    """That the engine is being compiled, if it is."""
    from payment_simulator.engine.simulate import is_compiling

    is_done = threading.Event()

    def tell() -> None:
        while not is_done.wait(LOOK_EVERY_S):
            if is_compiling():
                print_answer(f"compiling the engine first, {_how_often()} …", to_stderr=True)
                return

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        is_done.set()
        teller.join()


def _how_often() -> str:
    from payment_simulator.engine.kernel.jit import CACHE_FOLDER, IS_KEPT

    return "once on this machine" if IS_KEPT else f"in every run, for {CACHE_FOLDER} cannot be written"
