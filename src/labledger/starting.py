"""The start of a program: Ctrl-C while it is still being imported ends it at once, without a traceback."""

import signal
from importlib import import_module

INTERRUPTED = 128 + signal.SIGINT


def start(module: str) -> None:
    """Import `module` and call its `main`; meanwhile Ctrl-C does what it does to a program without a handler."""
    heeds = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not in a shell's background
    if heeds:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    main = import_module(module).main
    if heeds:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:  # before, or after, whoever tells of it is at work
        raise SystemExit(INTERRUPTED) from None
