"""Notices: what a user is to know while something goes on, and not at its end.

They are log records of the logger `labledger.notices`. Python prints them to stderr where a program has set up no
logging; a command prints each as a line of its own, above that of its progress.
"""

import logging

NOTICES = logging.getLogger("labledger.notices")


def notify(text: str) -> None:
    """Tell the user `text` now."""
    NOTICES.warning("%s", text)


class _Shown(logging.Handler):
    """Prints notices as a command does."""

    def emit(self, record: logging.LogRecord) -> None:
        from labledger.console import print_notice

        print_notice(f"warning: {self.format(record)}")


def show_notices() -> None:
    """Let this process print notices as a command does."""
    if not any(isinstance(each, _Shown) for each in NOTICES.handlers):
        NOTICES.addHandler(_Shown())
        NOTICES.propagate = False  # `--verbose` has a handler of its own for all others
