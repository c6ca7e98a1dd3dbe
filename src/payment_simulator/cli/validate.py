"""`payment-sim validate`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labledger.commands import reporting_errors
from labledger.counts import counted
from payment_simulator.cli.scenario_options import Dialect, Policies, with_options

if TYPE_CHECKING:
    from payment_simulator.policy.builtin import Policy
    from payment_simulator.scenario.schema import Scenario
    from payment_simulator.scenario.written import LoadedScenario

OF_SCENARIOS = ("agents", "simulation", "payments", "scenario_events", "cost_rates", "lsm_config")
OF_EXPERIMENTS = ("evaluation", "convergence", "proposer", "policy_constraints", "optimized_agents", "master_seed")
OF_LLEM = ("model", "study", "sweep", "experiments")
OF_POLICIES = ("payment_tree", "policy_id", "document", "type")
MAX_LOOKED_AT, MAX_HEAD = 20, 1_000
"""Files of a directory, and bytes of each, in which its kind is looked for."""
TABLES = (".csv", ".parquet", ".xml", ".tsv", ".arrow")
CHECKED = (".yaml", ".yml", ".json", *TABLES)


@reporting_errors
def validate(
    ctx: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(help="Scenarios or experiments in YAML, policies in JSON, files of payments.")
    ],
    dialect: Dialect = None,
    policies: Policies = None,
) -> None:
    """Check files, whichever of these each is, and those that they name; every problem is listed.

    What is fine is told in a line each: banks, ticks, payments that are read or expected, policies.
    """
    from labledger.console import print_answer
    from labledger.problem_list import ProblemList

    problems = ProblemList()
    for file in dict.fromkeys(files):
        if (found := problems.of(partial(_checked, file, dialect, policies))) is not None:
            print_answer(f"{file}: {found}")
    problems.refuse()


def _checked(file: Path, dialect: str | None, policies: Path | None) -> str:
    """Return what a file is. Raises ConfigError: every problem that it has, a line each."""
    from labledger.errors import ConfigError
    from labledger.untrusted_text import SHOWN, clean
    from labledger.yaml_files import read_yaml
    from payment_simulator.days.folders import DOCUMENT, table_file
    from payment_simulator.days.folders import TABLES as TABLES_OF_DAY
    from payment_simulator.scenario.loader import TO_A_FILE
    from payment_simulator.scenario.policy_files import read_policy_file

    if file.is_dir():
        raise ConfigError(f"{file}: is a directory{_kept_in(file) or _files_in(file)}")
    if file.suffix.lower() in TABLES:
        if file.name in map(table_file, TABLES_OF_DAY) and (file.parent / DOCUMENT).exists():
            raise ConfigError(f"{file}: belongs to a day that is kept, which `payment-sim show {file.parent}` reads")
        return _payments(file)
    is_json = file.suffix.lower() == ".json"
    data = read_policy_file(file) if is_json else read_yaml(file, TO_A_FILE).data
    check = _check_of(data if isinstance(data, dict) else {}, is_json, (dialect, policies))
    if check is not None:
        return check(file)
    keys = ", ".join(repr(clean(key, SHOWN)) for key in list(data)[:5]) or "none"
    raise ConfigError(
        f"{file}: neither a scenario, which has agents, nor an experiment, which has a scenario; its keys are {keys}; "
        "payment-sim template prints one of each to start from"
    )


def _check_of(
    data: Mapping[str, Any], is_json: bool, options: tuple[str | None, Path | None]
) -> Callable[[Path], str] | None:
    """Return what checks a file, by the keys that it has; None where they are those of nothing."""
    scenario, experiment = partial(_scenario, options=options), partial(_experiment, options=options)
    if "kind" in data:  # a document that we have written
        return _policy
    if "scenario" in data:
        return experiment
    ways = ((OF_SCENARIOS, scenario), (OF_EXPERIMENTS, experiment), (OF_LLEM, _refused), (OF_POLICIES, _policy))
    return next((check for names, check in ways if _has(data, names)), _policy if is_json else None)


def _refused(file: Path) -> str:
    from labledger.errors import ConfigError

    raise ConfigError(f"{file}: a configuration of llem, which `llem config show` checks")


def _kept_in(directory: Path) -> str:
    """Return what is kept in a directory, and the command that reads it, as a part of a message."""
    from labledger.documents import COMMANDS, named_kind
    from labledger.regular_files import opened_to_read

    for path in sorted(directory.glob("*.json"))[:MAX_LOOKED_AT]:
        try:
            with opened_to_read(path) as file:
                kind = named_kind(file.read(MAX_HEAD))
        except (OSError, ValueError):
            continue
        if kind in COMMANDS:
            return f" with a {kind}, which `{COMMANDS[kind]}` reads"
    return ""


def _files_in(directory: Path) -> str:
    """Return the files of a directory that can be checked, as a part of a message."""
    from labledger.untrusted_text import SHOWN, clean

    names = sorted(clean(path.name, SHOWN) for path in directory.iterdir() if path.suffix.lower() in CHECKED)
    if not names:
        return f"; none of its files is checked: {', '.join(CHECKED)}"
    more = f", and {len(names) - MAX_LOOKED_AT:,} more" if len(names) > MAX_LOOKED_AT else ""
    return f"; name files in it, one or more: {', '.join(names[:MAX_LOOKED_AT])}{more}"


def _has(data: Mapping[str, Any], names: Sequence[str]) -> bool:
    return any(name in data for name in names)


def _payments(file: Path) -> str:
    """Return what a file of payments has, read by the usual names, its times by a clock of whole days or as ticks."""
    from labledger.errors import ConfigError
    from payment_simulator import Scenario
    from payment_simulator.scenario.payment_files.problems import PaymentsKeyError
    from payment_simulator.scenario.schema import MAX_TICKS

    try:
        try:
            found = Scenario.from_payments(file, clock={"open": "00:00", "close": "24:00", "tick": "60s"})
            times = "times of day, of which a scenario's payments.clock makes ticks"
        except PaymentsKeyError:  # of the clock, which ticks need not have
            found, times = Scenario.from_payments(file, simulation={"ticks_per_day": MAX_TICKS}), "ticks"
    except PaymentsKeyError as error:
        hint = (
            "read as payments, by the usual names; of other names, or of balances, validate the scenario that names it"
        )
        raise ConfigError(f"{error}\n{file}: {hint}") from error
    read = f"{len(found.given_payments or ()):,} of {counted(len(found.agents), 'bank')}"
    return f"payments: {read}, with {times}{_remarks(found)}"


def _remarks(scenario: "Scenario") -> str:
    """Return how the payments of a scenario were read, a line each."""
    given = scenario.given_payments
    return "" if given is None else "".join(f"\n  remark: {each}" for each in given.remarks)


def _policy(file: Path) -> str:
    from labledger.documents import COMMANDS
    from labledger.errors import ConfigError
    from payment_simulator.policy.policies import kind_of, read_policy
    from payment_simulator.scenario.policy_files import is_run, read_policy_file

    document = read_policy_file(file)
    if is_run(document):
        return _run(file, document)
    kind = document.get("kind") if isinstance(document, dict) else None
    if isinstance(kind, str) and kind in COMMANDS:
        raise ConfigError(f"{file}: a result ({kind}), which `{COMMANDS[kind]}` reads")
    policy, problems = read_policy(document)
    if problems:
        raise ConfigError("\n".join(": ".join(filter(None, (str(file), inside, text))) for inside, text in problems))
    return f"a policy, {kind_of(policy)}"


def _run(file: Path, document: dict[str, Any]) -> str:
    """Return the banks whose policies a run has, each of which a scenario may take from it."""
    from labledger.errors import ConfigError
    from payment_simulator.policy.policies import read_policy
    from payment_simulator.scenario.policy_files import policies_of_run

    try:
        policies = policies_of_run(document)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error
    found = [(bank, *problem) for bank, policy in policies.items() for problem in read_policy(policy)[1]]
    if found:
        raise ConfigError("\n".join(": ".join(filter(None, (str(file), *each))) for each in found))
    return f"a run, with a policy each for {', '.join(policies)}"


def _scenario(file: Path, options: tuple[str | None, Path | None]) -> str:
    from payment_simulator.cli.run_funds import warn_of_what_waits
    from payment_simulator.policy.policies import kind_of, read_with_policies

    loaded, policies = read_with_policies(file, with_options([], *options))
    _check_first_tick(loaded, policies)
    warn_of_what_waits(loaded.scenario, policies)
    counts: dict[str, int] = {}
    for policy in policies:
        counts[kind_of(policy)] = counts.get(kind_of(policy), 0) + 1
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
    return f"a scenario: {_size(loaded.scenario)}; policies: {kinds}{_remarks(loaded.scenario)}"


def _check_first_tick(loaded: "LoadedScenario", policies: "list[Policy]") -> None:
    """Check what a run would refuse before its first tick: sums that could overflow, payments to nobody."""
    from labledger.errors import ConfigError
    from payment_simulator.engine.limits import find_limits
    from payment_simulator.experiments.setup import place_of
    from payment_simulator.scenario.arrivals import draw_arrivals

    try:
        find_limits(loaded.scenario, policies).check(loaded.scenario, draw_arrivals(loaded.scenario))
    except ConfigError as error:
        raise ConfigError("\n".join(f"{place_of(line, loaded)}: {line}" for line in str(error).splitlines())) from error


def _size(scenario: "Scenario") -> str:
    """Return the banks, ticks and payments of a scenario, in words."""
    from payment_simulator.scenario.expected_arrivals import expected_payments

    given = scenario.given_payments
    skipped = 0 if given is None else sum(given.skipped.values())
    out = f" ({skipped:,} left out)" if skipped else ""
    read = "" if given is None else f"{counted(len(given), 'payment')} read{out}"
    expected = sum(bank.number for bank in expected_payments(scenario).values()) - (0 if given is None else len(given))
    drawn = f"{expected:,.0f} payments expected" if expected or not read else ""
    payments = " and ".join(filter(None, (read, drawn)))
    days = scenario.simulation.num_days
    length = f"{counted(scenario.simulation.ticks, 'tick')}" + (f" in {days:,} days" if days > 1 else "")
    return f"{counted(len(scenario.agents), 'bank')}, {length}, {payments}"


def _experiment(file: Path, options: tuple[str | None, Path | None]) -> str:
    """Return what an experiment is; its problems are told with those of its scenario."""
    from payment_simulator.experiments.reading import read_experiment
    from payment_simulator.experiments.settings import SCENARIO, single_settings

    config, setup = read_experiment(file, single_settings(with_options([], *options, SCENARIO)))
    banks = ", ".join(setup.optimized(config))
    evaluation = f"{config.evaluation.mode} of {config.evaluation.num_samples:,}"
    of = f"{config.scenario}: {_size(setup.scenario)}{_remarks(setup.scenario)}"
    return f"an experiment: {config.proposer} for {banks}; {evaluation}; {of}"
