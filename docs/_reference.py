"""Prints the reference of results at the end of docs/results.md: every record and field, from the code.

python docs/_reference.py prints it, python docs/_reference.py --write puts it into the page.
"""

import ast
import inspect
import re
import sys
import textwrap
import types
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import JsonValue

from labledger.schema_versions import Record, Retired
from llenergymeasure.domain.experiment import ExperimentResult

PAGE = Path(__file__).parent / "results.md"
BEGIN, END = "<!-- reference: begin -->\n", "<!-- reference: end -->\n"
IN_JSON = {"None": "null", "True": "true", "False": "false"}
NAMES = {type(None): "null", datetime: "time", JsonValue: "any JSON"}


class Row(NamedTuple):
    """A field: its name, its type as people write it, what its docstring says, and the comment heading above it."""

    name: str
    type: str
    meaning: str
    heading: str | None


def reference() -> str:
    """The Markdown of ExperimentResult, and of every record that it holds, once each.

    Raises:
        ValueError: a field has no docstring.
    """
    return "\n".join(_section(record) for record in _records())


def rows(record: type[Record]) -> list[Row]:
    """The fields of a record in their order, without retired ones.

    Raises:
        ValueError: one has no docstring.
    """
    source = inspect.getsource(record)
    (tree,) = ast.parse(textwrap.dedent(source)).body
    lines = source.splitlines()
    found = []
    for statement, following in zip(tree.body, [*tree.body[1:], None], strict=True):  # type: ignore[attr-defined]
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        name = statement.target.id
        if any(isinstance(mark, Retired) for mark in record.model_fields[name].metadata):
            continue
        meaning = _text(following)
        if meaning is None:
            raise ValueError(f"{record.__name__}.{name} has no docstring: put one on the line after it")
        above = lines[statement.lineno - 2].strip()
        heading = above.removeprefix("# ") if above.startswith("# ") else None
        found.append(Row(name, _readable(record.model_fields[name].annotation), meaning, heading))
    return found


def with_reference(page: str) -> str:
    """`page` with the reference in its place."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + reference() + END + rest.partition(END)[2]


def _records() -> Iterator[type[Record]]:
    """ExperimentResult and what it refers to, nearest first."""
    waiting: list[type[Record]] = [ExperimentResult]
    seen = set()
    for record in waiting:
        if record not in seen:
            seen.add(record)
            yield record
            waiting += [each for field in record.model_fields.values() for each in _inside(field.annotation)]


def _inside(annotation: Any) -> Iterator[type[Record]]:
    if isinstance(annotation, type) and issubclass(annotation, Record):
        yield annotation
    for part in get_args(annotation):
        yield from _inside(part)


def _section(record: type[Record]) -> str:
    lines = [f"### {record.__name__}", "", _as_json(inspect.getdoc(record) or "")]
    for place, row in enumerate(rows(record)):
        if row.heading is not None:
            lines += ["", f"**{row.heading}**"]
        if row.heading is not None or place == 0:
            lines += ["", "| field | type | unit and meaning |", "|---|---|---|"]
        lines.append(f"| `{row.name}` | {row.type} | {' '.join(_as_json(row.meaning).split())} |")
    return "\n".join([*lines, ""])


def _text(statement: ast.stmt | None) -> str | None:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return statement.value.value if isinstance(statement.value.value, str) else None
    return None


def _as_json(text: str) -> str:
    """A docstring, with the words that the file has for None, True and False."""
    return re.sub(r"\b(None|True|False)\b", lambda word: IN_JSON[word[0]], text).replace("|", "\\|")


def _readable(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if annotation in NAMES:
        return NAMES[annotation]
    if origin is Literal:
        return ", ".join(parts)
    if origin in (Union, types.UnionType):
        return " or ".join(map(_readable, parts))
    if origin is list:
        inner = _readable(parts[0])
        return f"list of ({inner})" if " or " in inner else f"list of {inner}"
    if origin is tuple:
        return f"[{', '.join(map(_readable, parts))}]"
    if origin is dict:
        return f"dict of {_readable(parts[0])} to {_readable(parts[1])}"
    name: str = annotation.__name__
    return f"[{name}](#{name.lower()})" if issubclass(annotation, Record) else name


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(with_reference(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        sys.stdout.write(reference())
