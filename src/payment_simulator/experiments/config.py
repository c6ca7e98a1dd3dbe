"""The configuration of an experiment: its scenario, evaluation, proposer, convergence and output."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr, ValidationError, model_validator

from labledger.comparison import diff
from labledger.errors import ConfigError
from labledger.json_text import dump_json
from labledger.sections import Section
from labledger.written_keys import WrittenKeyError, refuse_written_keys
from labledger.written_paths import existing
from labledger.yaml_files import (
    Location,
    ProblemsError,
    YamlFile,
    describe_errors,
    did_you_mean,
    read_text,
    read_yaml,
)
from payment_simulator.policy.fields_and_actions import ACTIONS, FIELDS, STATE_PREFIX, TREE_KINDS
from payment_simulator.policy.policies import FRACTION
from payment_simulator.scenario.numbers import Flag, Share, without_control_characters

LEAST_SAMPLES = 4
PROVIDERS = ("anthropic", "openai", "google")
MAX_PROMPT_BYTES = 1_000_000
MAX_SHOWN = 60
"""Characters of a value in a message."""
KEYS_WAY = "set it in the environment, as OPENAI_API_KEY"
ALL_REGISTERS = f"{STATE_PREFIX}*"
"""The allowed field that stands for every register."""

Mode = Literal["deterministic", "monte_carlo", "bootstrap"]


def _name_of_a_folder(name: str) -> str:
    if name.startswith(".") or not {"/", "\\"}.isdisjoint(without_control_characters(name)):
        raise ValueError(f"{name!r}: results stand in a folder of this name: no / or \\ in it, and no period first")
    return name


Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_name_of_a_folder)]
Count = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Acceptance(Section):
    """The confidence that a saving must have, when it is estimated from samples."""

    confidence: Annotated[float, Field(ge=0.5, lt=1, strict=True)] = 0.95


class Evaluation(Section):
    """The payments that policies are evaluated on."""

    mode: Mode = "deterministic"
    num_samples: Annotated[Count, Field(description="Draws that a cost is the mean over.")] = 1
    ticks: Annotated[Count | None, Field(description="Only the first so many, whole days. Default: all.")] = None
    observed: Annotated[
        str | None, Field(description="bootstrap: the day that is resampled, a file of `run --events`. Default: drawn.")
    ] = None
    acceptance: Acceptance = Acceptance()
    nash_gap: Literal["every", "final", "off"] | None = None
    nash_gap_budget: Annotated[
        int,
        Field(ge=1, le=10**15, strict=True, description="Most work of a gap per bank: payments x ticks."),
    ] = 20_000_000

    @model_validator(mode="after")
    def _samples_fit_the_mode(self) -> Self:
        if self.mode == "deterministic" and self.num_samples != 1:
            raise ValueError("num_samples: a deterministic evaluation has one draw; take monte_carlo or bootstrap")
        if self.mode != "deterministic" and self.num_samples < LEAST_SAMPLES:
            raise ValueError(f"num_samples: {self.mode} needs at least {LEAST_SAMPLES}, for an interval of the saving")
        if self.observed is not None and self.mode != "bootstrap":
            raise ValueError("observed: only a bootstrap resamples an observed day")
        return self


class Convergence(Section):
    """The conditions that end the loop. A threshold is a share of a bank's cost."""

    starts: Annotated[int, Field(ge=1, le=1_000, strict=True, description="Profiles that it begins from.")] = 1
    max_iterations: Annotated[Count, Field(description="Of each start.")] = 25
    stability_threshold: Share = 0.0
    stability_window: Count = 5
    improvement_threshold: Share = 0.0


class Llm(Section):
    """The model that proposes. Its key comes from the environment, and is kept nowhere."""

    model: Annotated[str, Field(description="provider:name")]
    base_url: Annotated[str | None, Field(description="Of an OpenAI-compatible server.")] = None
    temperature: Annotated[float | None, Field(ge=0, le=2, strict=True)] = None
    max_retries: Annotated[int, Field(ge=0, le=20, strict=True)] = 3
    timeout_seconds: Annotated[float, Field(gt=0, le=3600, strict=True)] = 120.0
    max_total_tokens: Annotated[int | None, Field(ge=1, strict=True)] = None
    system_prompt: str | None = None
    system_prompt_file: str | None = None

    @model_validator(mode="after")
    def _model_has_a_provider(self) -> Self:
        provider, _, name = self.model.partition(":")
        if provider not in PROVIDERS or not name:
            raise ValueError(f"model: {self.model!r} is not provider:name; the providers are {', '.join(PROVIDERS)}")
        return self

    @model_validator(mode="after")
    def _one_system_prompt(self) -> Self:
        if self.system_prompt is not None and self.system_prompt_file is not None:
            raise ValueError("system_prompt_file: and system_prompt cannot both be given")
        return self

    @model_validator(mode="after")
    def _base_url_is_an_address_alone(self) -> Self:
        if self.base_url is not None and not self.model.startswith("openai:"):
            raise ValueError("base_url: is of an OpenAI-compatible server, whose model is written as openai:NAME")
        if self.base_url is not None and any(mark in self.base_url for mark in "@?#"):
            raise ValueError("base_url: should have no user, key or query: a key comes from the environment alone")
        if self.base_url is not None and not _is_address(self.base_url):
            raise ValueError("base_url: is not an address; write it as http://localhost:8000/v1")
        return self


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        return is_web and url.isascii() and url.isprintable() and " " not in url
    except ValueError:  # a port that is no number, brackets that are not closed
        return False


class AllowedParameter(Section):
    """A parameter that a policy may have, and the range of its value."""

    name: str
    param_type: Literal["float", "int"] = "float"
    min_value: Finite | None = None
    max_value: Finite | None = None
    allowed_values: Annotated[list[Finite] | None, Field(min_length=1)] = None

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        ends = (self.min_value, self.max_value)
        if self.allowed_values is not None and any(end is not None for end in ends):
            raise ValueError("allowed_values: and a range cannot both be given")
        if self.allowed_values is None and None in ends:
            raise ValueError("min_value: and max_value, or allowed_values, are required")
        if self.min_value is not None and self.max_value is not None and self.min_value > self.max_value:
            raise ValueError(f"min_value: {self.min_value} is over max_value {self.max_value}")
        return self


class AllowedActions(Section):
    """The actions that each kind of tree may have; None leaves all."""

    payment_tree: list[str] | None = None
    bank_tree: list[str] | None = None
    collateral_tree: list[str] | None = None


class PolicyConstraints(Section):
    """The parameters, fields and actions that a proposed policy may have; a list that is not given allows all."""

    allowed_parameters: list[AllowedParameter] = Field(default_factory=list)
    allowed_fields: list[str] | None = None
    allowed_actions: AllowedActions = AllowedActions()

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        if found := [*self._parameters(), *self._fields(), *self._actions()]:
            raise ProblemsError(found)
        return self

    def _parameters(self) -> Iterator[tuple[Location, str]]:
        seen: set[str] = set()
        for index, parameter in enumerate(self.allowed_parameters):
            here: Location = ("allowed_parameters", index)
            if parameter.name in seen:
                yield (*here, "name"), f"{parameter.name!r} stands twice"
            seen.add(parameter.name)
            ends = (parameter.min_value, parameter.max_value, *(parameter.allowed_values or ()))
            if parameter.name == FRACTION and any(end is not None and not 0 <= end <= 1 for end in ends):
                yield here, f"{FRACTION} is from 0 to 1"

    def _fields(self) -> Iterator[tuple[Location, str]]:
        known = [*FIELDS["payment_tree"], ALL_REGISTERS]
        for index, name in enumerate(self.allowed_fields or ()):
            if name not in known and not name.startswith(STATE_PREFIX):
                yield ("allowed_fields", index), f"unknown field {name!r}{did_you_mean(name, known)}"

    def _actions(self) -> Iterator[tuple[Location, str]]:
        for kind in TREE_KINDS:
            for index, name in enumerate(getattr(self.allowed_actions, kind) or ()):
                if name not in ACTIONS[kind]:
                    hint = did_you_mean(name, list(ACTIONS[kind]))
                    yield ("allowed_actions", kind, index), f"unknown action {name!r} of a {kind}{hint}"


class Output(Section):
    """The folder and the database of results; without a database no step is stored."""

    directory: str | None = None
    database: str | None = None
    verbose: Flag = False

    @property
    def database_path(self) -> Path | None:
        """The path of the database, from the working directory; None without one."""
        return None if self.database is None else Path(self.directory or ".") / self.database


class ExperimentConfig(Section):
    """An experiment; `from_yaml` reads one."""

    name: Name
    description: str = ""
    scenario: str
    evaluation: Evaluation = Evaluation()
    convergence: Convergence = Convergence()
    proposer: Literal["search", "llm"] = "search"
    llm: Llm | None = None
    policy_constraints: PolicyConstraints = PolicyConstraints()
    prompt_customization: dict[str, str] = Field(default_factory=dict)
    optimized_agents: Annotated[list[str] | None, Field(min_length=1)] = None
    output: Output | None = None
    master_seed: Annotated[int, Field(ge=0, lt=2**64, strict=True)] = 0

    _file: YamlFile | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _proposer_by_what_is_there(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("llm") is not None and "proposer" not in data:
            return {**data, "proposer": "llm"}
        return data

    @model_validator(mode="after")
    def _has_its_proposer(self) -> Self:
        if self.proposer == "llm" and self.llm is None:
            raise ValueError("llm: required by proposer: llm")
        names = self.optimized_agents or []
        if len(set(names)) < len(names):
            raise ValueError("optimized_agents: a bank is listed twice")
        return self

    @classmethod
    def from_yaml(cls, path: Path | str) -> "ExperimentConfig":
        """Return the experiment in a YAML file; a `system_prompt_file` is read in.

        Raises:
            ConfigError: a file cannot be read, a key is written in it, or a value is wrong: `file:line: key: problem`,
                a line each.
        """
        file = read_yaml(Path(path))
        fields = _with_prompt(file)
        try:
            refuse_written_keys(fields, KEYS_WAY)
            config = cls.model_validate(fields)
        except WrittenKeyError as error:
            raise error.placed(file.place) from None
        except ValidationError as error:
            raise ConfigError("\n".join(describe_errors(error, cls, file.data, file.place))) from error
        config._file = file
        return config

    @property
    def path(self) -> Path | None:
        """The file that it was read from."""
        return None if self._file is None else self._file.path

    @property
    def nash_gap(self) -> Literal["every", "final", "off"]:
        """The iterations in which the Nash gap is computed; by default every one for a search, else the final one."""
        return self.evaluation.nash_gap or ("every" if self.proposer == "search" else "final")

    def place(self, *location: str | int) -> str:
        """Return the place of a value, as the beginning of a message: `file:line: key: `, or the key alone."""
        where = "" if self._file is None else f"{self._file.place(location)}: "
        return f"{where}{'.'.join(map(str, location))}: "

    def to_dict(self) -> dict[str, Any]:
        """Return the whole configuration, defaults included, as a dict of JSON values."""
        return self.model_dump(mode="json")


def with_defaults(stored: dict[str, Any]) -> dict[str, Any]:
    """Return a stored configuration with the keys that have come since, at their defaults; as it is if invalid."""
    try:
        return ExperimentConfig.model_validate(stored).to_dict()
    except ValidationError:
        return stored


def check_same(stored: dict[str, Any], given: ExperimentConfig) -> None:
    """Make sure that a run is resumed as it began; `output`, the place of results, may differ.

    Raises:
        ConfigError: it is not; each key that differs, with both values.
    """
    before, now = ({**each, "output": None} for each in (with_defaults(stored), given.to_dict()))
    lines = [
        f"{given.place(*_location(path))}{_in_a_line(new)} here, {_in_a_line(old)} in the run that is to be resumed"
        for path, (old, new) in diff(before, now).items()
    ]
    if lines:
        lines[-1] += "; give the configuration that it began with, or begin a new run"
        raise ConfigError("\n".join(lines))


def _location(path: str) -> Location:
    """Return the keys of a path of `diff`."""
    return tuple(int(part) if part.isdecimal() else part for part in re.findall(r"[^.\[\]]+", path))


def _in_a_line(value: Any) -> str:
    text = dump_json(value, indent=None)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _with_prompt(file: YamlFile) -> dict[str, Any]:
    """Return the file's data, with the text of `system_prompt_file` as `system_prompt`."""
    llm = file.data.get("llm")
    if not isinstance(llm, dict) or not isinstance(llm.get("system_prompt_file"), str) or "system_prompt" in llm:
        return file.data
    location: Location = ("llm", "system_prompt_file")
    try:
        text = read_text(existing(llm["system_prompt_file"], file.path.parent), MAX_PROMPT_BYTES)
    except ConfigError as error:
        raise ConfigError(f"{file.place(location)}: llm.system_prompt_file: {error}") from error
    rest = {key: value for key, value in llm.items() if key != "system_prompt_file"}
    return {**file.data, "llm": {**rest, "system_prompt": text}}
