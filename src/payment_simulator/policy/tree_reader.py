"""The reader of decision trees in JSON: every error of a tree at once, each with its path."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from labledger.yaml_files import did_you_mean
from payment_simulator.policy.derived_fields import known_fields
from payment_simulator.policy.fields_and_actions import (
    ACTION_ALIASES,
    ACTIONS,
    COMMENTS,
    COMPARISONS,
    FURTHER_ACTIONS,
    FURTHER_PARAMETERS,
    MANY_SIDED,
    ONE_SIDED,
    PARAMETER_ALIASES,
    STATE_PREFIX,
    TWO_SIDED,
    WORDS,
    TreeKind,
)
from payment_simulator.policy.nodes import Action, Branch, Compute, Constant, Expression, FieldValue, Node
from payment_simulator.policy.tree import MAX_DEPTH, MAX_PIECES, problem_of_number
from payment_simulator.scenario.other_names import with_own_names


@dataclass
class TreeReader:
    """Reads trees of one document; `problems` gathers every error with its path inside the document."""

    parameters: Mapping[str, float]
    kind: TreeKind = "payment_tree"
    problems: list[tuple[str, str]] = field(default_factory=list)

    def node(self, data: Any, path: str, depth: int = 1) -> Node:
        """A node and all below it; where it is wrong, something harmless in its place."""
        harmless = Action(next(iter(ACTIONS[self.kind])))
        if depth > MAX_DEPTH:
            self._add_problem(path, f"deeper than {MAX_DEPTH}")
            return harmless
        found = self._section(data, path)
        if found is None:
            return harmless
        kind = found.get("type")
        if not isinstance(found.get("node_id", ""), str):
            self._add_problem(f"{path}.node_id", f"should be text, found {_shown(found['node_id'])}")
        if kind == "condition":
            self._only(found, ("type", "node_id", "condition", "on_true", "on_false"), path)
            return Branch(
                self._required(found, "condition", path, self.condition, depth),
                self._required(found, "on_true", path, self.node, depth, harmless),
                self._required(found, "on_false", path, self.node, depth, harmless),
            )
        if kind == "action":
            return self._action(found, path, depth, harmless)
        self._add_problem(f"{path}.type", f"should be condition or action, found {_shown(kind)}")
        self._beside(found, path, depth)
        return harmless

    def condition(self, data: Any, path: str, depth: int) -> Expression:
        """`{op, left, right}`, `{op: and|or, conditions}` or `{op: not, condition}`."""
        found = self._section(data, path)
        if found is None or not self._shallow(path, depth):
            return _ZERO
        op = found.get("op")
        if op in ("and", "or"):
            self._only(found, ("op", "conditions"), path)
            return Compute(str(op), tuple(self._list(found, "conditions", path, self.condition, depth)))
        if op == "not":
            self._only(found, ("op", "condition"), path)
            return Compute("not", (self._required(found, "condition", path, self.condition, depth),))
        if op in COMPARISONS:
            return self._sides(found, path, depth, ("left", "right"))
        return self._no_operator(found, path, depth, [*COMPARISONS, "and", "or", "not"])

    def value(self, data: Any, path: str, depth: int) -> Expression:
        """`{field}`, `{param}`, `{value}`, `{compute}`, or a number as it stands."""
        if isinstance(data, int | float):
            return self._constant(data, path)
        found = self._section(data, path)
        if found is None or not self._shallow(path, depth):
            return _ZERO
        if len(found) != 1 or next(iter(found)) not in ("field", "param", "value", "compute"):
            self._add_problem(path, "should have one of field, param, value, compute")
            return _ZERO
        ((key, inside),) = found.items()
        here = f"{path}.{key}"
        if key == "value":
            return self._constant(inside, here)
        if key == "compute":
            return self._compute(inside, here, depth)
        known = known_fields(self.kind) if key == "field" else list(self.parameters)
        if isinstance(inside, str) and (inside in known or (key == "field" and _is_register(inside))):
            return FieldValue(inside) if key == "field" else Constant(float(self.parameters[inside]), inside)
        hint = did_you_mean(str(inside), known)
        if key == "field" and inside in known_fields("payment_tree"):
            hint = ": it is of a payment, and a payment_tree alone has it"
        shown = _shown(inside)
        what = f"field {shown} of a {self.kind}" if key == "field" else f"parameter {shown} of this policy"
        self._add_problem(here, f"unknown {what}{hint}")
        return _ZERO

    def word(self, data: Any, path: str, depth: int) -> Expression:
        """A word that stands for a number, or `{value: word}`."""
        known = WORDS[path.rpartition(".")[2]]
        said = data.get("value") if isinstance(data, Mapping) and len(data) == 1 else data
        if isinstance(said, str) and said in known:
            return Constant(float(known[said]))
        self._add_problem(path, f"should be one of {', '.join(known)}, found {_shown(said)}")
        return _ZERO

    def _compute(self, data: Any, path: str, depth: int) -> Expression:
        found = self._section(data, path)
        if found is None:
            return _ZERO
        op = found.get("op")
        if op in TWO_SIDED:
            return self._sides(found, path, depth, ("left", "right"))
        if op in ONE_SIDED:
            return self._sides(found, path, depth, ("value",))
        if op == "clamp":
            return self._sides(found, path, depth, ("value", "min", "max"))
        if op in MANY_SIDED:
            self._only(found, ("op", "values"), path)
            return Compute(str(op), tuple(self._list(found, "values", path, self.value, depth)))
        return self._no_operator(found, path, depth, [*TWO_SIDED, *MANY_SIDED, *ONE_SIDED, "clamp"])

    def _no_operator(self, found: Mapping[str, Any], path: str, depth: int, known: list[str]) -> Expression:
        op = found.get("op")
        hint = did_you_mean(str(op), known)
        self._add_problem(
            f"{path}.op", f"unknown operation {_shown(op)}{hint}" if "op" in found else "required, and missing"
        )
        self._beside(found, path, depth)
        return _ZERO

    def _beside(self, found: Mapping[str, Any], path: str, depth: int) -> None:
        """Read what stands beside an unknown word, for its errors alone."""
        readers: dict[str, Any] = {"on_true": self.node, "on_false": self.node, "condition": self.condition}
        readers |= dict.fromkeys(("left", "right", "value", "min", "max"), self.value)
        for name, read in readers.items():
            if name in found:
                read(found[name], f"{path}.{name}", depth + 1)
        for name, read in (("conditions", self.condition), ("values", self.value)):
            if name in found:
                list(self._list(found, name, path, read, depth))

    def _sides(self, found: Mapping[str, Any], path: str, depth: int, names: Sequence[str]) -> Expression:
        self._only(found, ("op", *names), path)
        return Compute(str(found["op"]), tuple(self._required(found, name, path, self.value, depth) for name in names))

    def _action(self, found: Mapping[str, Any], path: str, depth: int, harmless: Action) -> Action:
        self._only(found, ("type", "node_id", "action", "parameters"), path)
        name, known = found.get("action"), ACTIONS[self.kind]
        name = ACTION_ALIASES[self.kind].get(str(name), name)
        here = f"{path}.parameters"
        section = self._section(found.get("parameters") or {}, here)
        if not isinstance(name, str) or name not in known:
            hint = did_you_mean(str(name), list(known))
            self._add_problem(f"{path}.action", f"unknown action {_shown(name)} of a {self.kind}{hint}")
            for each, value in (section or {}).items():
                if each != "key":
                    self.value(value, f"{here}.{each}", depth + 1)
            return harmless
        if section is None:
            return harmless
        section = self._parameters(section, here, (*known[name], *FURTHER_PARAMETERS.get(name, ())))
        if any(each in section for each in FURTHER_PARAMETERS.get(name, ())):
            return self._further(name, section, here, depth)
        self._only(section, known[name], here)
        key = self._key(section, here) if "key" in known[name] else None
        names = [each for each in known[name] if each != "key"]
        readers = {each: self.word if each in WORDS else self.value for each in names}
        arguments = tuple(self._required(section, each, here, readers[each], depth) for each in names)
        pieces = arguments[0] if name in ("Split", "StaggerSplit") else _ZERO
        if isinstance(pieces, Constant) and pieces.value > MAX_PIECES:
            self._add_problem(f"{here}.num_splits", f"should be at most {MAX_PIECES:,}, found {pieces.value:,.0f}")
        return Action(name, arguments, key)

    def _parameters(self, section: Mapping[str, Any], path: str, known: Sequence[str]) -> dict[str, Any]:
        """The parameters of an action by their first names, without those that only comment."""
        try:
            named: dict[str, Any] = with_own_names(section, PARAMETER_ALIASES)
        except ValueError as error:
            self._add_problem(path, str(error))
            return {}
        return {name: value for name, value in named.items() if name in known or not _is_remark(name, value)}

    def _further(self, name: str, section: Mapping[str, Any], path: str, depth: int) -> Action:
        """An action with parameters that it need not have."""
        kind = FURTHER_ACTIONS[name]
        if name == "Release":
            self._only(section, ("priority_flag",), path)
            return Action(kind, (self.word(section["priority_flag"], f"{path}.priority_flag", depth + 1),))
        if name == "PostCollateral":
            self._only(section, ("amount", "auto_withdraw_after_ticks"), path)
            names = ("amount", "auto_withdraw_after_ticks")
            return Action(kind, tuple(self._required(section, each, path, self.value, depth) for each in names))
        self._only(section, (*FURTHER_PARAMETERS[name], "amount"), path)
        if "amount" in section and "max_value_to_release" in section:
            self._add_problem(f"{path}.max_value_to_release", "and amount cannot both be given")
        given = "amount" if "amount" in section else "max_value_to_release"
        total = self._required(section, given, path, self.value, depth)
        each = section.get("max_per_counterparty")
        most = _NONE if each is None else self.value(each, f"{path}.max_per_counterparty", depth + 1)
        lasts = Constant(float(given == "amount"))
        return Action(kind, (total, most, lasts), banks=self._banks(section.get("focus_counterparties"), path))

    def _banks(self, data: Any, path: str) -> tuple[str, ...]:
        """The names of banks in a list, or `{value: list}`."""
        data = data["value"] if isinstance(data, Mapping) and len(data) == 1 and "value" in data else data
        if data is None or (isinstance(data, list) and all(isinstance(each, str) for each in data)):
            return tuple(data or ())
        self._add_problem(f"{path}.focus_counterparties", f"should be a list of banks, found {_shown(data)}")
        return ()

    def _key(self, section: Mapping[str, Any], path: str) -> str:
        key = section.get("key")
        key = key["value"] if isinstance(key, Mapping) and len(key) == 1 and "value" in key else key
        if isinstance(key, str) and _is_register(key):
            return key
        self._add_problem(f"{path}.key", f"should be the name of a register, {STATE_PREFIX}..., found {_shown(key)}")
        return STATE_PREFIX

    def _constant(self, value: Any, path: str) -> Constant:
        if problem := problem_of_number(value):
            self._add_problem(path, f"{problem}, found {_shown(value)}")
            return _ZERO
        return Constant(float(value))

    def _required(
        self, found: Mapping[str, Any], name: str, path: str, read: Any, depth: int, harmless: Any = None
    ) -> Any:
        if name not in found:
            self._add_problem(f"{path}.{name}", "required, and missing")
            return _ZERO if harmless is None else harmless
        return read(found[name], f"{path}.{name}", depth + 1)

    def _list(self, found: Mapping[str, Any], name: str, path: str, read: Any, depth: int) -> Iterator[Expression]:
        items = found.get(name)
        if not isinstance(items, list) or not items:
            self._add_problem(f"{path}.{name}", "should be a list that is not empty")
            return
        for index, item in enumerate(items):
            yield read(item, f"{path}.{name}.{index}", depth + 1)

    def _section(self, data: Any, path: str) -> Mapping[str, Any] | None:
        if isinstance(data, Mapping):
            return data
        self._add_problem(path, f"should be a section with keys, found {_shown(data)}")
        return None

    def _only(self, found: Mapping[str, Any], known: Sequence[str], path: str) -> None:
        for name in found:
            if name not in known and not is_comment(name):
                self._add_problem(f"{path}.{name}", f"unknown key{did_you_mean(str(name), list(known))}")

    def _shallow(self, path: str, depth: int) -> bool:
        if depth > MAX_DEPTH:
            self._add_problem(path, f"deeper than {MAX_DEPTH}")
        return depth <= MAX_DEPTH

    def _add_problem(self, path: str, text: str) -> None:
        self.problems.append((path, text))


_ZERO = Constant(0.0)
_NONE = Constant(-1.0)


def is_comment(name: object) -> bool:
    """True of a key that only comments."""
    return name in COMMENTS or str(name).startswith("_")


def _is_remark(name: str, value: Any) -> bool:
    is_text = isinstance(value, Mapping) and len(value) == 1 and isinstance(value.get("value"), str)
    return is_comment(name) or is_text


def _is_register(name: str) -> bool:
    return name.startswith(STATE_PREFIX) and len(name) > len(STATE_PREFIX)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
