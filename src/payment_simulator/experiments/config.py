"""The configuration of an experiment: its scenario, evaluation, proposer, convergence and output."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, PrivateAttr, ValidationError, model_validator

from labledger.comparison import diff
from labledger.errors import ConfigError
from labledger.json_text import dump_json
from labledger.sections import Section
from labledger.written_keys import WrittenKeyError, refuse_written_keys
from labledger.written_paths import existing
from labledger.yaml_files import (
    Location,
    YamlFile,
    describe_errors,
    in_order_of_lines,
    read_text,
    read_yaml,
)
from payment_simulator.experiments.llm_config import Llm
from payment_simulator.experiments.policy_constraints import PolicyConstraints
from payment_simulator.experiments.settings import SCENARIO, SCENARIO_SETTINGS, with_settings
from payment_simulator.scenario.numbers import Flag, Share, without_control_characters

LEAST_SAMPLES = 4
MAX_PROMPT_BYTES = 1_000_000
MAX_SHOWN = 60
"""Characters of a value in a message."""
KEYS_WAY = "set it in the environment, as OPENAI_API_KEY"
MAY_CHANGE = ("max_total_tokens", "price")
"""Keys of `llm` that do not change an answer: a run may be resumed with others."""

Mode = Literal["deterministic", "monte_carlo", "bootstrap"]


def _name_of_a_folder(name: str) -> str:
    if name.startswith(".") or not {"/", "\\"}.isdisjoint(without_control_characters(name)):
        raise ValueError(f"{name!r}: results stand in a folder of this name: no / or \\ in it, and no period first")
    return name


Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_name_of_a_folder)]
Count = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


class Acceptance(Section):
    """The confidence that a saving must have, when it is estimated from samples."""

    confidence: Annotated[
        float, Field(ge=0.5, lt=1, strict=True, description="Share. How sure it must be that a policy saves.")
    ] = 0.95


class Evaluation(Section):
    """The payments that policies are evaluated on."""

    mode: Annotated[Mode, Field(description="One draw, several, or one day that is drawn from again and again.")] = (
        "deterministic"
    )
    num_samples: Annotated[Count, Field(description="Draws. A cost is the mean over them.", examples=[100])] = 1
    ticks: Annotated[
        Count | None, Field(description="Ticks. Only the first so many, whole days; default: all.", examples=[100])
    ] = None
    observed: Annotated[
        str | None,
        Field(
            description="bootstrap: the day that is resampled, a file of `run --events`; default: drawn.",
            examples=["day.parquet"],
        ),
    ] = None
    acceptance: Annotated[Acceptance, Field(description="When a policy is accepted.")] = Acceptance()
    nash_gap: Annotated[
        Literal["every", "final", "off"] | None,
        Field(description="Iterations in which it is computed; default: every for a search, else final."),
    ] = None
    nash_gap_budget: Annotated[
        int,
        Field(ge=1, le=10**15, strict=True, description="Payments times ticks. Most work of a gap, per bank."),
    ] = 20_000_000

    @model_validator(mode="before")
    @classmethod
    def _mode_of_other_files(cls, data: Any) -> Any:
        """Read `deterministic-temporal`: one draw, whatever number of samples stands beside it."""
        if not isinstance(data, Mapping) or data.get("mode") != "deterministic-temporal":
            return data
        return {key: value for key, value in data.items() if key != "num_samples"} | {"mode": "deterministic"}

    @model_validator(mode="after")
    def _samples_fit_the_mode(self) -> Self:
        if self.mode == "deterministic" and self.num_samples != 1:
            raise ValueError("num_samples: a deterministic evaluation has one draw; take another mode for more")
        if self.mode != "deterministic" and self.num_samples < LEAST_SAMPLES:
            raise ValueError(f"num_samples: {self.mode} needs at least {LEAST_SAMPLES}, for an interval of the saving")
        if self.observed is not None and self.mode != "bootstrap":
            raise ValueError("observed: only a bootstrap resamples an observed day; take mode: bootstrap")
        return self


class Convergence(Section):
    """The conditions that end the loop. A threshold is a share of a bank's cost."""

    starts: Annotated[
        int, Field(ge=1, le=1_000, strict=True, description="Profiles. It begins from each, the scenario's own first.")
    ] = 1
    max_iterations: Annotated[Count, Field(description="Iterations. Of each start, at most.")] = 25
    stability_threshold: Annotated[Share, Field(description="Share. A saving of more is a move.", examples=[0.01])] = (
        0.0
    )
    stability_window: Annotated[Count, Field(description="Iterations. So many without a move end it.")] = 5
    improvement_threshold: Annotated[
        Share, Field(description="Share. A saving of more is accepted.", examples=[0.01])
    ] = 0.0


class Output(Section):
    """The folder and the database of results; without a database no step is stored."""

    directory: Annotated[
        str | None, Field(description="Folder of results, from the working directory.", examples=["results"])
    ] = None
    database: Annotated[
        str | None, Field(description="Its name in the folder; default: none, no step is stored.", examples=["runs.db"])
    ] = None
    verbose: Annotated[Flag, Field(description="A line for each proposal.")] = False

    @property
    def database_path(self) -> Path | None:
        """The path of the database, from the working directory; None without one."""
        return None if self.database is None else Path(self.directory or ".") / self.database


class ExperimentConfig(Section):
    """An experiment; `from_yaml` reads one."""

    name: Annotated[
        Name, Field(description="Of its runs, and of the folder of its result.", examples=["my-experiment"])
    ]
    description: Annotated[str, Field(description="What it is for.", examples=["Two banks, one day"])] = ""
    scenario: Annotated[
        str, Field(description="File of the scenario, relative to this one.", examples=["scenario.yaml"])
    ]
    scenario_settings: Annotated[
        dict[str, JsonValue],
        Field(
            description="Values. Others than the scenario's, by their places.",
            examples=[{"cost_rates.delay_cost_per_tick_per_cent": 0.2}],
        ),
    ] = Field(default_factory=dict)
    evaluation: Annotated[Evaluation, Field(description="The payments that policies are evaluated on.")] = Evaluation()
    convergence: Annotated[Convergence, Field(description="The conditions that end it.")] = Convergence()
    proposer: Annotated[
        Literal["search", "llm"], Field(description="Who proposes policies; llm where that section is there.")
    ] = "search"
    llm: Annotated[Llm | None, Field(description="The model that proposes.")] = None
    policy_constraints: Annotated[PolicyConstraints, Field(description="What a proposed policy may have.")] = (
        PolicyConstraints()
    )
    prompt_customization: dict[str, str] = Field(
        default_factory=dict,
        description="Text in the prompt of a bank, by its id, or of all.",
        examples=[{"all": "The day has twelve ticks."}],
    )
    optimized_agents: Annotated[
        list[str] | None, Field(min_length=1, description="Banks; default: all.", examples=[["BANK_A"]])
    ] = None
    output: Annotated[Output | None, Field(description="Where results are kept.")] = None
    master_seed: Annotated[
        int, Field(ge=0, lt=2**64, strict=True, description="Number. All draws of it begin from this.", examples=[42])
    ] = 0

    _file: YamlFile | None = PrivateAttr(None)
    _set_by: dict[Location, str] = PrivateAttr(default_factory=dict)

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
    def from_yaml(cls, path: Path | str, settings: Mapping[str, Any] | None = None) -> "ExperimentConfig":
        """Return the experiment in a YAML file; a `system_prompt_file` is read in.

        `settings` are other values than the file's, by key: `llm.temperature`, or `scenario.cost_rates.KEY` of the
        scenario's.

        Raises:
            ConfigError: a file cannot be read, a key is written in it, or a value is wrong: `file:line: key: problem`,
                a line each.
        """
        return cls.from_file(read_yaml(Path(path)), settings or {})

    @classmethod
    def from_file(cls, file: YamlFile, settings: Mapping[str, Any]) -> "ExperimentConfig":
        """Return the experiment in a YAML file that was read, as `from_yaml`."""
        data, set_by = with_settings(file.data, settings)
        changed = replace(file, data=data)

        def place(location: Location) -> str:
            return _place(changed, set_by, location)

        fields, problems = _with_prompt(changed)
        try:
            refuse_written_keys(fields, KEYS_WAY)
            config = cls.model_validate(fields)
        except WrittenKeyError as error:
            raise error.placed(place) from None
        except ValidationError as error:
            problems += describe_errors(error, cls, data, place, written=file.written, stand_ins={})
            raise ConfigError("\n".join(in_order_of_lines(problems))) from error
        if problems:
            raise ConfigError("\n".join(problems))
        config._file, config._set_by = changed, set_by
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
        return message_place(self._file, self._set_by, location)

    @property
    def scenario_changes(self) -> list[str]:
        """`scenario_settings` as `read_scenario` takes them."""
        return changes_of(self.scenario_settings)

    def to_dict(self) -> dict[str, Any]:
        """Return the whole configuration, defaults included, as a dict of JSON values."""
        return self.model_dump(mode="json")


def message_place(file: YamlFile | None, set_by: Mapping[Location, str], location: Location) -> str:
    """Return the place of a value, as the beginning of a message: `file:line: key: `, the option, or the key alone."""
    where = "" if file is None else _place(file, set_by, location)
    dotted = ".".join(map(str, location))
    option = dotted.replace(f"{SCENARIO_SETTINGS}.", SCENARIO, 1)
    key = "" if where in (f"--set {dotted}", f"--set {option}") else dotted
    return "".join(f"{part}: " for part in (where, key) if part)


def _place(file: YamlFile, set_by: Mapping[Location, str], location: Location) -> str:
    ours = (location[:end] for end in range(len(location), 0, -1))
    return next((set_by[part] for part in ours if part in set_by), None) or file.place(location)


def changes_of(settings: Mapping[str, Any]) -> list[str]:
    """Return `scenario_settings` as `read_scenario` takes them."""
    return [f"{key}={dump_json(value, indent=None)}" for key, value in settings.items()]


def identity(config: dict[str, Any]) -> str:
    """Return what is equal of two configurations of one experiment, whatever its description, and of no others."""
    return dump_json({**_what_stays(with_defaults(config)), "description": ""}, indent=None)


def with_defaults(stored: dict[str, Any]) -> dict[str, Any]:
    """Return a stored configuration with the keys that have come since, at their defaults; as it is if invalid."""
    try:
        return ExperimentConfig.model_validate(stored).to_dict()
    except ValidationError:
        return stored


def check_same(stored: dict[str, Any], given: ExperimentConfig) -> None:
    """Make sure that a run is resumed as it began; `output`, the place of results, and `MAY_CHANGE` may differ.

    Raises:
        ConfigError: it is not; each key that differs, with both values.
    """
    before, now = (_what_stays(each) for each in (with_defaults(stored), given.to_dict()))
    lines = [
        f"{given.place(*_location(path))}{_in_a_line(new)} here, {_in_a_line(old)} in the run that is to be resumed"
        for path, (old, new) in diff(before, now).items()
    ]
    if lines:
        lines[-1] += "; give the configuration that it began with, or begin a new run"
        raise ConfigError("\n".join(lines))


def _what_stays(config: dict[str, Any]) -> dict[str, Any]:
    llm = config.get("llm")
    kept = {key: value for key, value in llm.items() if key not in MAY_CHANGE} if isinstance(llm, dict) else llm
    return {**config, "output": None, "llm": kept}


def _location(path: str) -> Location:
    """Return the keys of a path of `diff`."""
    return tuple(int(part) if part.isdecimal() else part for part in re.findall(r"[^.\[\]]+", path))


def _in_a_line(value: Any) -> str:
    text = dump_json(value, indent=None)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _with_prompt(file: YamlFile) -> tuple[dict[str, Any], list[str]]:
    """Return the file's data, with the text of `system_prompt_file` as `system_prompt`, and why it cannot be read."""
    llm = file.data.get("llm")
    if not isinstance(llm, dict) or not isinstance(llm.get("system_prompt_file"), str) or "system_prompt" in llm:
        return file.data, []
    location: Location = ("llm", "system_prompt_file")
    try:
        text = read_text(existing(llm["system_prompt_file"], file.path.parent), MAX_PROMPT_BYTES)
    except ConfigError as error:
        return file.data, [f"{file.place(location)}: llm.system_prompt_file: {error}"]
    rest = {key: value for key, value in llm.items() if key != "system_prompt_file"}
    return {**file.data, "llm": {**rest, "system_prompt": text}}, []
