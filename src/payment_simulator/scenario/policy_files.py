"""Policies in files of their own: a document of trees, a built-in policy, or the run that an experiment has kept."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from labledger.errors import ConfigError
from labledger.untrusted_text import SHOWN, clean
from labledger.written_paths import existing
from labledger.yaml_files import Location, did_you_mean
from payment_simulator.scenario.bank_names import bank_at
from payment_simulator.scenario.json_files import read_json, refuse_keys
from payment_simulator.scenario.other_names import with_own_names
from payment_simulator.scenario.resolution import Resolution

KINDS_OF_RUNS = ("payments.run", "payments.experiment")
"""The kinds of a run's `experiment.json` and `result.json`; each has a policy per bank."""
FINAL = "final_policies"
FOLDER = "policies"
"""The key of a scenario, and of a keyword, that names a folder of policies' files."""


def inline_policies(
    found: Resolution, folder: Path, place: Callable[[Location], str], problems: list[str]
) -> dict[int, Path]:
    """Put the policies in the files that banks name by `json_path` in the place of the path; return the files, by bank.

    A policy whose file cannot be read is left out, and the reason added to the problems.
    """
    agents, files = found.data.get("agents"), {}
    documents: dict[Path, Any] = {}
    further = _further_folder(found, folder, place, problems)
    for index, agent in enumerate(agents if isinstance(agents, list) else []):
        policy = agent.get("policy") if isinstance(agent, dict) else None
        if isinstance(policy, dict) and policy.get("type") == "FromJson" and "json_path" in policy:
            try:
                file = files[index] = _found(_path_alone(policy), folder, further)
                document = documents[file] = documents[file] if file in documents else read_policy_file(file)
                beside = _own_names({key: value for key, value in policy.items() if key != "json_path"})
                agent["policy"] = policy_of_file(document, str(agent.get("id")), beside)
            except ConfigError as error:
                owner = found.named(("agents", index, "policy"))[0]
                bank = str(owner) if owner == "agent_defaults" else bank_at(found.data, index)
                where = ": ".join(filter(None, (place(("agents", index, "policy", "json_path")), bank)))
                problems += [f"{where}: {line}" for line in str(error).splitlines()]
                del agent["policy"]
    return files


def _further_folder(
    found: Resolution, folder: Path, place: Callable[[Location], str], problems: list[str]
) -> Path | None:
    """Return the folder that the scenario names for the files of policies; None without one that is there."""
    written = found.data.get(FOLDER)
    if not isinstance(written, str):
        return None
    try:
        further = existing(written, folder)
        if not further.is_dir():
            raise ConfigError(f"{clean(written, SHOWN)}: should be a folder")
    except ConfigError as error:
        problems.append(f"{place((FOLDER,))}: {FOLDER}: {error}")
        return None
    return further


def _found(path: str, folder: Path, further: Path | None) -> Path:
    """Return the file of a path; one that is not there is looked for by its name, beside the scenario and in `further`.

    Raises:
        ConfigError: it is nowhere.
    """
    try:
        return existing(path, folder)
    except ConfigError as error:
        by_name = [each / Path(path).name for each in (folder, further) if each is not None]
        if (found := next((each for each in by_name if each.is_file()), None)) is None:
            hint = "" if further else "; --policies DIR names a folder to look in"
            raise ConfigError(
                f"{error}, and by its name beside the scenario{hint or ' and in ' + str(further)}"
            ) from None
        return found


def read_policy_file(path: Path) -> Any:
    """Return the JSON of a policy's file.

    Raises:
        ConfigError: it cannot be read, or a key is written in it.
    """
    document = read_json(path)
    refuse_keys(document, lambda _: str(path))
    return document


def policy_of_file(document: Any, bank: str, beside: Mapping[str, Any]) -> dict[str, Any]:
    """Return the policy that a bank has by a file's document; `beside` are the keys beside the file's name.

    Of a run that was kept or exported, it is the bank's own in the end.

    Raises:
        ConfigError: the run has none of this bank.
    """
    if is_run(document):
        document = _of_bank(document, bank)
    if not isinstance(document, Mapping) or "payment_tree" in document:
        return {**beside, "document": document}
    inside, kind = document.get("document"), document.get("type")
    if isinstance(kind, str) and (inside is not None or kind != "FromJson"):
        numbers, over = document.get("parameters", {}), beside.get("parameters", {})
        if isinstance(numbers, Mapping) and isinstance(over, Mapping) and (numbers or over):
            return {**document, "parameters": {**numbers, **over}}
        return {**document, **({"parameters": over} if over else {})}
    return {**beside, "document": document}


def is_run(document: Any) -> bool:
    """Return True for the document of a run, which has a policy for each of its banks."""
    return isinstance(document, Mapping) and document.get("kind") in KINDS_OF_RUNS


def policies_of_run(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the policies that a run ended with, by bank.

    Raises:
        ConfigError: it has none.
    """
    policies = document.get(FINAL)
    if not isinstance(policies, Mapping) or not policies:
        raise ConfigError(f"a run without {FINAL}: it has not ended; name a file in `policies` of its export")
    return policies


def _of_bank(document: Mapping[str, Any], bank: str) -> Any:
    policies = policies_of_run(document)
    if bank not in policies:
        known = [clean(str(name), SHOWN) for name in policies]
        raise ConfigError(
            f"a run that has no policy of {clean(bank, SHOWN)}{did_you_mean(bank, known)}; name the file of one "
            "bank in `policies` of its export"
        )
    return policies[bank]


def _own_names(beside: dict[str, Any]) -> dict[str, Any]:
    """Return what stands beside a file's name by our names: `params` is another of `parameters`."""
    try:
        found: dict[str, Any] = with_own_names(beside, {"params": "parameters"})
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return found


def _path_alone(policy: dict[str, Any]) -> str:
    path = policy["json_path"]
    if not isinstance(path, str):
        raise ConfigError(f"json_path: should be the path of a file, found {path!r}")
    if "document" in policy:
        raise ConfigError("json_path: and document cannot both be given")
    return path
