"""Reading of policies, as a scenario or a proposer writes them, with every error at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from labledger.errors import ConfigError, problems_in
from labledger.untrusted_text import SHOWN, clean
from labledger.yaml_files import did_you_mean, in_order_of_lines
from payment_simulator.policy.builtin import Deadline, Fifo, LiquidityAware, Policy, Trees, trees_of
from payment_simulator.policy.fields_and_actions import TREE_ALIASES, TREE_KINDS, TreeKind
from payment_simulator.policy.nodes import Action
from payment_simulator.policy.tree import parts_of, problem_of_number
from payment_simulator.policy.tree_reader import TreeReader, is_comment
from payment_simulator.scenario.bank_names import bank_at
from payment_simulator.scenario.changes import location_of
from payment_simulator.scenario.loader import read_written
from payment_simulator.scenario.numbers import exact
from payment_simulator.scenario.policy_files import is_run, policies_of_run, read_policy_file
from payment_simulator.scenario.schema import Scenario
from payment_simulator.scenario.written import LoadedScenario, WrittenScenario

FRACTION = "initial_liquidity_fraction"
"""The parameter of any policy that is the share of the pool its bank borrows; it holds over the bank's `SHARE`."""
SHARE = "liquidity_allocation_fraction"
BUILTIN_PARAMETERS = {
    "Fifo": (),
    "Deadline": ("urgency_threshold",),
    "LiquidityAware": ("target_buffer", "urgency_threshold"),
}
DOCUMENT_KEYS = ("version", "policy_id", "description", "parameters", *TREE_KINDS)
DOCUMENT = "document."
"""The path of the document in a policy that has it under a key of its own."""
HEAD_TYPES = (
    ("version", (str, int, float), "text or a number"),
    ("policy_id", (str,), "text"),
    ("description", (str,), "text"),
)

REFERENCE_KEYS = ("type", "json_path", "document", "parameters")
KNOWN = {*DOCUMENT_KEYS, *REFERENCE_KEYS}
MAX_SHOWN = 60
"""Characters of a value in a message."""
Problems = list[tuple[str, str]]


def policies_of(source: Scenario | LoadedScenario) -> list[Policy]:
    """The policy of each bank, in the order of their ids.

    Raises:
        ConfigError: every error of every policy, a line each: where it was written, if that is known, the bank, and
            the path inside the policy; of a document in a file of its own that file, and the path inside it. Or a
            bank's liquidity_allocation_fraction is set over the file's, and its policy's own fraction would hold.
    """
    loaded = source if isinstance(source, LoadedScenario) else LoadedScenario(source, lambda _: "", {})
    lines: list[str] = []
    found = {}
    for index, agent in enumerate(loaded.scenario.agents):
        found[agent.id], problems = read_policy(agent.policy)
        problems += _strangers(found[agent.id], loaded.scenario.agent_ids)
        lines += [_format_problem(loaded, index, agent.id, *problem) for problem in problems]
        lines += _idle_change(loaded, index, found[agent.id])
    if lines:
        raise ConfigError("\n".join(dict.fromkeys(lines)))
    return [found[name] for name in loaded.scenario.agent_ids]


def _strangers(policy: Policy, banks: Sequence[str]) -> Problems:
    """The banks that a policy's trees name and that there are not."""
    named = sorted({bank for part in parts_of(*trees_of(policy)) if isinstance(part, Action) for bank in part.banks})
    return [
        ("", f"focus_counterparties: unknown bank {bank!r}{did_you_mean(bank, banks)}")
        for bank in named
        if bank not in banks
    ]


def _idle_change(loaded: LoadedScenario, index: int, policy: Policy) -> list[str]:
    """Return the error of a share that is set on the command line, and would change nothing; none without one."""
    option = loaded.changes.get(("agents", index, SHARE))
    if option is None or policy.fraction is None:
        return []
    holds = f"the bank's policy has {FRACTION} {float(policy.fraction):g}, which holds"
    bank = loaded.scenario.agents[index].id
    return [f"{option}: would change nothing: {holds}; set agents.{bank}.policy.parameters.{FRACTION}"]


def read_with_policies(path: Path, changes: Sequence[str] = ()) -> tuple[LoadedScenario, list[Policy]]:
    """Read a scenario as `read_scenario` does, and its policies as `policies_of` does.

    Raises:
        ConfigError: as they do, with every problem of both at once.
    """
    return with_policies(read_written(path, changes))


def with_policies(written: WrittenScenario) -> tuple[LoadedScenario, list[Policy]]:
    """Return a scenario that is written checked, and its policies.

    Raises:
        ConfigError: as `read_with_policies` does.
    """
    try:
        loaded = written.checked()
    except ConfigError as error:
        raise ConfigError(
            "\n".join(in_order_of_lines(dict.fromkeys([*problems_in(error), *_wrong_policies(written)])))
        ) from error
    return loaded, policies_of(loaded)


def _wrong_policies(written: WrittenScenario) -> list[str]:
    """Return the problems of the policies in a scenario that has others; one that is no section is among those."""
    agents = written.data.get("agents")
    lines = []
    for index, agent in enumerate(agents if isinstance(agents, list) else []):
        policy = agent.get("policy") if isinstance(agent, Mapping) else None
        if isinstance(policy, Mapping):
            bank = bank_at(written.data, index)
            lines += [_format_problem(written, index, bank, *problem) for problem in read_policy(policy)[1]]
    return lines


def _format_problem(source: LoadedScenario | WrittenScenario, index: int, bank: str, path: str, text: str) -> str:
    inside = [f"policy.{path}".rstrip(".")]
    owner = source.named(("agents", index, "policy"))[0]
    bank = str(owner) if owner == "agent_defaults" else bank
    where = source.place(("agents", index, *location_of(inside[0])))
    if index in source.policy_files and f"{path}.".startswith(DOCUMENT):
        inside = [str(source.policy_files[index]), path.removeprefix(DOCUMENT.rstrip(".")).lstrip(".")]
    return ": ".join(filter(None, (where, bank, *inside, text)))


def load_policy(path: Path | str) -> Policy:
    """Return the policy in a JSON file.

    Raises:
        ConfigError: it cannot be read, a key is written in it, or every error in it: `file: path inside: problem`, a
            line each.
    """
    document = read_policy_file(Path(path))
    if is_run(document):
        banks = ", ".join(clean(str(bank), SHOWN) for bank in policies_of_run(document))
        raise ConfigError(f"{path}: a run, with a policy each for {banks}; name a file in `policies` of its export")
    policy, problems = read_policy(document)
    if problems:
        raise ConfigError("\n".join(": ".join(filter(None, (str(path), inside, text))) for inside, text in problems))
    return policy


def read_policy(data: Any) -> tuple[Policy, Problems]:
    """The policy that `data` describes, and every problem with its path inside; Fifo where there is a problem."""
    if not isinstance(data, Mapping):
        return Fifo(), [("", f"should be a section with keys, found {type(data).__name__}")]
    kind = data.get("type", "Fifo" if not any(key in data for key in DOCUMENT_KEYS[:2] + TREE_KINDS) else "FromJson")
    if kind == "FromJson":
        return _from_document(data)
    if not isinstance(kind, str) or kind not in BUILTIN_PARAMETERS:
        return Fifo(), [
            ("type", f"unknown policy {kind!r}{did_you_mean(str(kind), [*BUILTIN_PARAMETERS, 'FromJson'])}")
        ]
    return _builtin(str(kind), data)


def kind_of(policy: Policy) -> str:
    """Return the `type` that a scenario writes for a policy: FromJson for decision trees."""
    return "FromJson" if isinstance(policy, Trees) else type(policy).__name__


def _builtin(kind: str, data: Mapping[str, Any]) -> tuple[Policy, Problems]:
    own = BUILTIN_PARAMETERS[kind]
    numbers, problems = _numbers(data.get("parameters", {}), "parameters", (*own, FRACTION))
    beside = {key: value for key, value in data.items() if key not in ("type", "parameters")}
    more, more_problems = _numbers(beside, "", own)
    problems += more_problems
    problems += [(key, "stands in parameters, too") for key in more if key in numbers]
    numbers |= more
    if problems:
        return Fifo(), problems
    fraction = exact(numbers[FRACTION]) if FRACTION in numbers else None
    if kind == "Fifo":
        return Fifo(fraction), []
    # Ticks and cents are whole: a threshold of 2.5 ticks is one of 2, a buffer of 2.5 cents one of 3.
    threshold = exact(numbers.get("urgency_threshold", 3)).__floor__()
    if kind == "Deadline":
        return Deadline(fraction, threshold), []
    return LiquidityAware(fraction, exact(numbers.get("target_buffer", 0)).__ceil__(), threshold), []


def _from_document(data: Mapping[str, Any]) -> tuple[Policy, Problems]:
    """A document of trees, as it stands or under `document`; `parameters` beside it override its own."""
    inside, over, prefix = data, {}, ""
    problems: Problems = []
    if "document" in data:
        inside, over, prefix = data["document"], data.get("parameters", {}), DOCUMENT
        problems += [
            (key, _unknown(key, ("type", "document", "parameters"), value))
            for key, value in data.items()
            if key not in ("type", "document", "parameters")
        ]
    elif data.get("type") == "FromJson" and not any(kind in data for kind in TREE_KINDS):
        problems += [(key, _unknown(key, REFERENCE_KEYS, value)) for key, value in data.items() if key not in KNOWN]
        return Fifo(), [*problems, ("json_path", "required, and missing: the file of its decision trees")]
    if not isinstance(inside, Mapping):
        return Fifo(), [*problems, (prefix.rstrip("."), "should be a section with keys")]
    known = (*DOCUMENT_KEYS, "type") if inside is data else DOCUMENT_KEYS
    problems += [
        (f"{prefix}{key}", _unknown(key, known, value))
        for key, value in inside.items()
        if key not in (*known, *TREE_ALIASES) and not is_comment(key)
    ]
    for key, kinds, what in HEAD_TYPES:
        if key in inside and (isinstance(inside[key], bool) or not isinstance(inside[key], kinds)):
            problems.append((f"{prefix}{key}", f"should be {what}, found {str(inside[key])[:60]!r}"))
    numbers, found = _numbers(inside.get("parameters", {}), f"{prefix}parameters", None)
    problems += found
    # A number that is wrong is told where it stands, and not as unknown where it is used.
    names = dict.fromkeys(map(str, written), 0.0) if isinstance(written := inside.get("parameters"), Mapping) else {}
    more, found = _numbers(over, "parameters", (*names, FRACTION))
    problems += found
    numbers = names | numbers | more
    trees, found = _trees(inside, prefix, numbers)
    problems += found
    if "payment_tree" not in trees:
        problems.append((f"{prefix}payment_tree", "required, and missing"))
    if problems:
        return Fifo(), problems
    fraction = exact(numbers[FRACTION]) if FRACTION in numbers else None
    return Trees(fraction, **trees), []


def _trees(inside: Mapping[str, Any], prefix: str, numbers: Mapping[str, float]) -> tuple[dict[str, Any], Problems]:
    """The trees of a document by their kinds; one that is null is not there."""
    trees: dict[str, Any] = {}
    problems: Problems = []
    for name in (*TREE_KINDS, *TREE_ALIASES):
        if inside.get(name) is None:
            continue
        kind = TREE_ALIASES.get(name, cast(TreeKind, name))
        if kind in trees:
            problems.append((f"{prefix}{name}", f"is another name of {kind}, which stands there, too"))
        reader = TreeReader(numbers, kind)
        trees[kind] = reader.node(inside[name], f"{prefix}{name}")
        problems += reader.problems
    return trees, problems


def _numbers(data: Any, path: str, known: tuple[str, ...] | None) -> tuple[dict[str, float], Problems]:
    """Named numbers; `known` None allows any name."""
    if not isinstance(data, Mapping):
        return {}, [(path, "should be a section of numbers")]
    numbers, problems = {}, []
    for key, value in data.items():
        here = f"{path}.{key}" if path else str(key)
        if known is not None and key not in known:
            problems.append((here, _unknown(key, known, value)))
        elif problem := problem_of_number(value):
            problems.append((here, f"{problem}, found {str(value)[:60]!r}"))
        elif key == FRACTION and not 0 <= value <= 1:
            problems.append((here, f"should be from 0 to 1, found {value}"))
        else:
            numbers[str(key)] = value
    return numbers, problems


def _unknown(key: object, known: tuple[str, ...], value: object = "...") -> str:
    if key == FRACTION:
        return f"belongs into parameters: write parameters: {{{FRACTION}: {str(value)[:MAX_SHOWN]}}}"
    if owners := [kind for kind, names in BUILTIN_PARAMETERS.items() if key in names and key not in known]:
        return f"unknown key here; it is one of {' and '.join(owners)}"
    return f"unknown key{did_you_mean(str(key), list(known))}"
