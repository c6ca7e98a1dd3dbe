"""Prints docs/api.md: the public names of both packages with their signatures and docstrings, from the code.

python docs/_api.py prints the page, python docs/_api.py --write writes it.
"""

import ast
import dataclasses
import inspect
import math
import re
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

PAGE = Path(__file__).parent / "api.md"
MAX_COLUMNS = 100
QUOTE = "'"
INTRODUCTION = """# Python API

The names of `llenergymeasure` and `payment_simulator`, from their docstrings (`python docs/_api.py --write`). What is
not here is internal and may change. Keywords are typed: a type checker finds a misspelt one.
"""
FIELDS_ARE_IN = {
    "llenergymeasure.ExperimentConfig": "`llem config schema` prints its fields.",
    "llenergymeasure.ExperimentResult": "[results.md](results.md#reference) has its fields.",
}


def page() -> str:
    """Return the Markdown of the page.

    Raises:
        ValueError: a public name has no docstring.
    """
    packages = [import_module(name) for name in ("llenergymeasure", "payment_simulator")]
    return "\n".join([INTRODUCTION, *(part for package in packages for part in _package(package))])


def _package(package: ModuleType) -> Iterator[str]:
    yield f"## {package.__name__}\n\n{_markdown(_docstring(package, package.__name__))}\n"
    public = {name: getattr(package, name) for name in package.__all__ if name != "__version__"}
    for name in sorted(public, key=lambda name: (_is_error(public[name]), name.lower())):
        yield _entry(f"{package.__name__}.{name}", public[name])


def _is_error(thing: Any) -> bool:
    return inspect.isclass(thing) and issubclass(thing, Exception)


def _entry(name: str, thing: Any) -> str:
    short = name.rpartition(".")[2]
    text = [
        f"### {short}\n",
        f"```py\n{_signature(short, thing)}\n```\n",
        _markdown(_docstring(thing, name)) + "\n",
    ]
    if name in FIELDS_ARE_IN:
        text.append(FIELDS_ARE_IN[name] + "\n")
    members = [f"- `{member}`: {line}" for member, line in _members(thing)] if inspect.isclass(thing) else []
    return "\n".join([*text, *([*members, ""] if members else [])])


def _signature(name: str, thing: Any) -> str:
    """Return the call of a function, or the head of a class with the fields of a dataclass, as the code has them."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(thing))).body
    if isinstance(tree, ast.FunctionDef):
        return _call(tree)
    bases = ", ".join(base.__name__ for base in thing.__bases__ if base is not object)
    head = f"class {name}({bases})" if bases else f"class {name}"
    fields = [
        f"    {ast.unparse(line).replace(QUOTE, chr(34))}" for line in tree.body if isinstance(line, ast.AnnAssign)
    ]  # type: ignore[attr-defined]
    return "\n".join([head + ":", *fields]) if dataclasses.is_dataclass(thing) and fields else head


def _call(function: ast.FunctionDef | ast.AsyncFunctionDef, columns: float = MAX_COLUMNS) -> str:
    returned = f" -> {ast.unparse(function.returns).strip(QUOTE)}" if function.returns else ""
    arguments = re.sub(r"(: (?:\[[^\]]*\]|[^=,\[])+)=", r"\1 = ", ast.unparse(function.args))
    line = f"{function.name}({arguments}){returned}"
    if len(line) <= columns:
        return line
    parameters = re.split(r", (?=\*|\w+:)", arguments)
    return "\n".join([f"{function.name}(", *(f"    {each}," for each in parameters), f"){returned}"])


def _members(kind: type) -> Iterator[tuple[str, str]]:
    """Yield the public methods and properties that it defines itself: the first line of each, and its errors."""
    for name, member in vars(kind).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if not name.startswith(("_", "model_")) and inspect.isfunction(function) and function.__doc__:
            call = name if isinstance(member, property) else _method(function)
            text = str(inspect.getdoc(function))
            yield call, " ".join(text.split("\n\n")[0].split()) + _raised(text)


def _method(function: Any) -> str:
    """Return the call of a method with its parameters, on one line."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    if not isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        return f"{function.__name__}()"
    if tree.args.args and tree.args.args[0].arg in ("self", "cls"):
        del tree.args.args[0]
    return _call(tree, math.inf)


def _raised(text: str) -> str:
    """Return the errors that a docstring names, as a sentence; empty where it names none."""
    entries = textwrap.dedent(text.partition("\nRaises:\n")[2]).strip()
    names = [name for names in re.findall(r"^([\w., ]+?):", entries, re.MULTILINE) for name in names.split(", ")]
    return f" Raises {', '.join(names)}." if names else ""


def _docstring(thing: Any, name: str) -> str:
    if not (text := inspect.getdoc(thing)):
        raise ValueError(f"{name} has no docstring: write one")
    return text


def _markdown(text: str) -> str:
    """Return a docstring as Markdown: `Raises:` becomes a list; what is indented is a block already."""
    body, _, raised = text.partition("\nRaises:\n")
    if not raised:
        return body
    entries = re.split(r"\n(?=\S)", textwrap.dedent(raised).strip())
    return body.rstrip() + "\n\nRaises:\n\n" + "\n".join(f"- {' '.join(entry.split())}" for entry in entries)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())
