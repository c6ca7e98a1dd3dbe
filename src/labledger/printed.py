"""Texts that a program prints, its own and those of libraries, without the keys of its environment and arguments."""

import logging
import re
import sys
from collections.abc import Callable
from typing import Any

from labledger.redaction import HIDDEN, environment_keys, redactor
from labledger.secret_rules import without_shapes
from labledger.untrusted_text import clean_lines
from labledger.written_keys import written_keys

NAME = re.compile(r"[A-Za-z_][\w.+-]*")
_format_record = logging.Handler.format


def without_keys(text: str) -> str:
    """`text` without the environment's keys, those that the command line holds, and what has a key's shape.

    It is as `clean_lines` leaves it.
    """
    hidden = redactor(*environment_keys().values(), *_argument_keys()).hide(text)
    return clean_lines(without_shapes(hidden, HIDDEN))


def clean_logs() -> None:
    """Let every log handler of this process print `without_keys`: libraries make their own, and log what they are told.

    `OPENAI_LOG`, `ANTHROPIC_LOG` or `HF_DEBUG` in the environment lets them print whole requests.
    """
    logging.Handler.format = _printable_record  # type: ignore[method-assign]


def clean_usage_errors(program: Any) -> None:
    """Let the errors of a command (typer's or click's) about its arguments be shown `without_keys`."""
    for name in ("make_context", "invoke"):
        setattr(program, name, _cleaning(getattr(program, name)))


def _argument_keys() -> list[str]:
    """The arguments that have a key in them, of `--flag=value` and `name=value` the value."""
    keys = []
    for (place, *_), _ in written_keys(sys.argv[1:]):
        argument = sys.argv[1 + int(place)]
        flag, _, value = argument.partition("=")
        is_named = flag.startswith("-") or (NAME.fullmatch(flag) and value.strip("="))  # base64 may end in =
        keys.append(value if value and is_named else argument)
    return keys


def _printable_record(self: logging.Handler, record: logging.LogRecord) -> str:
    return without_keys(_format_record(self, record))


def _cleaning(method: Callable[..., Any]) -> Callable[..., Any]:
    def cleaned(*arguments: Any, **options: Any) -> Any:
        try:
            return method(*arguments, **options)
        except Exception as error:
            if hasattr(error, "format_message"):  # click's, or that of typer's own copy of click
                text = without_keys(error.format_message())
                error.format_message = lambda: text
            raise

    return cleaned
