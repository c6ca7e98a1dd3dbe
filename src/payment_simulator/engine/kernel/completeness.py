"""A check at import: compiled code has a place for every kind that the enums name."""

import dis
from collections.abc import Collection, Iterable, Iterator
from enum import IntEnum
from itertools import pairwise
from types import CodeType, ModuleType


def check_complete(modules: Iterable[ModuleType], kinds: Iterable[type[IntEnum]], idle: Collection[IntEnum]) -> None:
    """Refuse a kernel that leaves out a member of `kinds`; those of `idle` need no code, for they do nothing.

    Without it a kind that only the reference knows would make the two engines differ, and no one would be told.

    Raises:
        ImportError: the compiled functions of `modules` do not name a member; the message says which.
    """
    exempt = {_dotted(each) for each in idle}  # by name: members of two enums are equal where their numbers are
    wanted = [name for kind in kinds for each in kind if (name := _dotted(each)) not in exempt]
    classes = {name.split(".")[0] for name in wanted}
    codes = [code for module in modules for code in _compiled(module) if not classes.isdisjoint(code.co_names)]
    named = {name for code in codes for name in _dotted_names(code)}
    if missing := [name for name in wanted if name not in named]:
        raise ImportError(
            f"the compiled engine has no code for {', '.join(missing)}: add to engine/kernel what engine/reference does"
        )


def _dotted(member: IntEnum) -> str:
    return f"{type(member).__name__}.{member.name}"


def _compiled(module: ModuleType) -> Iterator[CodeType]:
    yield from (value.py_func.__code__ for value in vars(module).values() if hasattr(value, "py_func"))


def _dotted_names(code: CodeType) -> Iterator[str]:
    """Each `Kind.member` that a function loads."""
    steps = [*dis.get_instructions(code)]
    for before, step in pairwise(steps):
        if step.opname == "LOAD_ATTR":
            yield f"{before.argval}.{step.argval}"
