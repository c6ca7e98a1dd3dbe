"""A command line run in a process of its own, with the modules that it loaded; and the commands that it has."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

RUN_AND_PRINT_MODULES = """
import sys
from {package}.cli.main import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    print(end.code, *sys.modules, file=sys.stderr)
"""


def run_and_list_modules(user: Any, package: str, *arguments: str) -> tuple[str, str, set[str]]:
    """The output of a command, its exit code, and the modules that it loaded."""
    ended = subprocess.run(
        [sys.executable, "-c", RUN_AND_PRINT_MODULES.format(package=package), *arguments],
        cwd=user.folder,
        env=user.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    code, *modules = ended.stderr.split()
    return ended.stdout, code, set(modules)


def commands(command: Any, *names: str) -> Iterator[tuple[str, Any]]:
    """A command and all below it, with their names."""
    yield " ".join(names), command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, *names, name)
