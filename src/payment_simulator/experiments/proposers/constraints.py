"""From a proposer's answer to the policy that is stored, or everything that it violates.

An answer may be anything at all, so its size is looked at before anything is read: what is too large, too deep or no
JSON is refused in milliseconds, by a message of bounded length.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

from labledger.yaml_files import did_you_mean
from payment_simulator.experiments.parameters import numbers_of, outside, written
from payment_simulator.experiments.policy_constraints import ALL_REGISTERS, AllowedParameter, PolicyConstraints
from payment_simulator.experiments.proposers.protocol import UnusableAnswerError
from payment_simulator.policy.builtin import Policy
from payment_simulator.policy.derived_fields import known_fields
from payment_simulator.policy.documents import PolicyDocument, document_of
from payment_simulator.policy.fields_and_actions import (
    ACTION_ALIASES,
    ACTIONS,
    STATE_PREFIX,
    TREE_ALIASES,
    TREE_KINDS,
    TreeKind,
)
from payment_simulator.policy.policies import DOCUMENT, read_policy
from payment_simulator.policy.tree import LARGEST_NUMBER, MAX_DEPTH
from payment_simulator.scenario.banks import Agent

MAX_VALUES = 5_000
"""Values of an answer, every section, list, number and text counted; some 500 questions."""
MAX_TEXT = 100_000
MAX_KEY = 100
MAX_NESTING = 3 * MAX_DEPTH + 20
"""A level of a tree takes at most three of JSON's: a section, `compute` in it, and a list in that."""
MAX_PROBLEMS = 25
MAX_PART = 300

Problems = list[tuple[str, str]]


def stored_policy(answer: Any, constraints: PolicyConstraints, bank: Agent) -> PolicyDocument:
    """The policy that an answer is, as it is stored: plain JSON, the answer's own no longer.

    `bank` has the policy that it holds. What is in that is kept, and need not be allowed: the value of a parameter, the
    fields and the actions of each kind of tree.

    Raises:
        UnusableAnswerError: the answer is no policy, or not an allowed one: `path: problem`, a line each.
    """
    document = document_of(answer) if isinstance(answer, Policy) else answer
    if problem := _no_plain_json(document):
        raise UnusableAnswerError(_format_problems([problem]))
    plain: PolicyDocument = json.loads(json.dumps(document))
    problems = read_policy(plain)[1]
    paths = {path for path, _ in problems}
    problems += [found for found in _not_allowed(plain, constraints, bank) if found[0] not in paths]
    if problems:
        raise UnusableAnswerError(_format_problems(problems))
    return plain


def _format_problems(problems: Problems) -> str:
    lines = [": ".join(_short(part) for part in problem if part) for problem in problems[:MAX_PROBLEMS]]
    more = len(problems) - len(lines)
    return "\n".join([*lines, *([f"and {more} more"] if more else [])])


def _short(text: str) -> str:
    """A text that is too long, by its two ends."""
    return text if len(text) <= MAX_PART else f"{text[: MAX_PART // 2]}…{text[-MAX_PART // 2 :]}"


# Is it JSON of a size that can be read?


def _no_plain_json(answer: Any) -> tuple[str, str] | None:
    """Return the problem that forbids reading an answer, or None; shared and cyclic parts count at each visit."""
    if not isinstance(answer, dict):
        return "", f"a policy should be a section with keys, found {_kind(answer)}"
    values, text = 1, 0
    waiting: list[tuple[Any, str, int]] = [(answer, "", 1)]
    while waiting:
        value, path, depth = waiting.pop()
        inside = value if isinstance(value, dict | list | tuple) else ()
        values += len(inside)
        if values > MAX_VALUES:
            return "", f"the policy has more than {MAX_VALUES:,} values; make it smaller"
        if inside and depth > MAX_NESTING:
            return path, f"nested over {MAX_NESTING} deep; a tree has at most {MAX_DEPTH} levels"
        if isinstance(value, dict) and (problem := _bad_key(value)):
            return path, problem
        text += len(value) if isinstance(value, str) else sum(map(len, value)) if isinstance(value, dict) else 0
        if text > MAX_TEXT:
            return "", f"the policy has more than {MAX_TEXT:,} characters of text; make it smaller"
        if problem := _bad_scalar(value):
            return path, problem
        items = value.items() if isinstance(value, dict) else enumerate(inside)
        waiting += [(each, f"{path}.{key}" if path else str(key), depth + 1) for key, each in items]
    return None


def _bad_key(section: dict[Any, Any]) -> str | None:
    for key in section:
        if not isinstance(key, str):
            return f"has a key that is {_kind(key)}, not text"
        if len(key) > MAX_KEY or not key.isprintable():
            return f"has the key {key[:MAX_KEY]!a}; a key is at most {MAX_KEY} printable characters"
    return None


def _bad_scalar(value: Any) -> str | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else f"JSON has no number {value}"
    if isinstance(value, int):  # true and false are read later
        return None if abs(value) < LARGEST_NUMBER else f"the number is larger than {LARGEST_NUMBER:g}"
    if isinstance(value, str):
        plain = value.replace("\n", " ").replace("\t", " ")
        return None if plain.isprintable() else "the text has a character that cannot be printed"
    return None if value is None or isinstance(value, dict | list | tuple) else f"{_kind(value)} is not a JSON value"


def _kind(value: Any) -> str:
    return type(value).__name__


# Is it allowed?


def _not_allowed(document: PolicyDocument, constraints: PolicyConstraints, bank: Agent) -> Iterator[tuple[str, str]]:
    yield from _parameters(document, {each.name: each for each in constraints.allowed_parameters}, bank)
    held = _trees_of(bank.policy)[0]
    inside, prefix = _trees_of(document)
    for tree in (*TREE_KINDS, *TREE_ALIASES):
        kind = TREE_ALIASES.get(tree, cast(TreeKind, tree))
        fields = constraints.allowed_fields
        if tree in inside and fields is not None:
            has_now = {name for _, name in _named(held.get(tree), "field", "")}
            for path, name in _named(inside[tree], "field", f"{prefix}{tree}"):
                is_register = name.startswith(STATE_PREFIX)
                is_allowed = name in fields or name in has_now or (is_register and ALL_REGISTERS in fields)
                if not is_allowed and (is_register or name in known_fields(kind)):
                    yield path, f"the field {name!r} is not allowed{did_you_mean(name, fields)}"
        actions = getattr(constraints.allowed_actions, kind)
        if tree in inside and actions is not None:
            has_now = {name for _, name in _named(held.get(tree), "action", "")}
            for path, said in _named(inside[tree], "action", f"{prefix}{tree}"):
                name = ACTION_ALIASES[kind].get(said, said)
                if name in ACTIONS[kind] and name not in actions and name not in has_now:
                    yield path, f"the action {name!r} is not allowed{did_you_mean(name, actions)}"


def _trees_of(policy: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Return the section of a policy that has its trees, and the path to it."""
    if "document" not in policy:
        return policy, ""
    inside = policy["document"]
    return (inside if isinstance(inside, dict) else {}), DOCUMENT


def _named(tree: Any, key: str, path: str) -> Iterator[tuple[str, str]]:
    """Every text that stands under `key` in a tree, with its path, in the order in which they were written."""
    waiting = [(tree, path)]
    while waiting:
        value, here = waiting.pop()
        if isinstance(value, dict) and isinstance(value.get(key), str):
            yield f"{here}.{key}", value[key]
        items = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
        waiting += [(each, f"{here}.{part}") for part, each in reversed(items)]


def _parameters(
    document: PolicyDocument, allowed: Mapping[str, AllowedParameter], bank: Agent
) -> Iterator[tuple[str, str]]:
    """Yield each number that is neither allowed nor what the bank's policy has now."""
    if not allowed:
        return
    now, then = numbers_of(bank.policy, bank), numbers_of(document, bank)
    named = {name: (path, value) for path, name, value in written(document)}
    for name, (path, value) in named.items():
        if name in now and now[name] in (value, then.get(name)):
            continue
        if name not in allowed:
            has_now = f"; it is {now[name]:g} now, and may stay so" if name in now else ""
            yield path, f"the parameter {name!r} is not allowed{did_you_mean(name, list(allowed))}{has_now}"
        elif problem := outside(allowed[name], value):
            yield path, problem
    # What is left out is a default, which may be none of the allowed values.
    for name, value in then.items():
        if name in named or now.get(name) == value:
            continue
        if name in allowed and (problem := outside(allowed[name], value)):
            yield name, f"{problem}, which it is by default; write it"
        elif name not in allowed and name in now:
            yield name, f"the parameter {name!r} is not allowed to change from {now[name]:g} to its default; write it"
