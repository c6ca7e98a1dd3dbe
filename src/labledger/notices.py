"""Notices: what a user is to know while something goes on, and not at its end.

They are log records of the logger `labledger.notices`. Python prints them to stderr where a program has set up no
logging; a command prints each as a line of its own, above that of its progress.
"""

import logging

NOTICES = logging.getLogger("labledger.notices")


def notify(text: str, *, once: bool = False) -> None:
    """Tell the user `text` now; with `once` a command that comes to it again does not repeat it."""
    if once:
        NOTICES.warning("%s", text, extra={"once": True})
    else:
        NOTICES.warning("%s", text)


class _Shown(logging.Handler):
    """Prints notices as a command does."""

    def __init__(self) -> None:
        super().__init__()
        self.told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        from labledger.console import print_notice

        text = self.format(record)
        if getattr(record, "once", False) and text in self.told:
            return
        self.told.add(text)
        print_notice(f"warning: {text}")


def show_notices() -> None:
    """Let this process print notices as a command does, which begins now."""
    shown = [each for each in NOTICES.handlers if isinstance(each, _Shown)]
    for each in shown:
        each.told.clear()
    if not shown:
        NOTICES.addHandler(_Shown())
        NOTICES.propagate = False  # `--verbose` has a handler of its own for all others
