"""The sections of a study's file beside the keys of an experiment."""

import re
import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from labledger.percentages import percent_text, share_of
from labledger.yaml_files import did_you_mean
from llenergymeasure.config.section import Positive, PositiveFloat, Section

Order = Literal["alternating", "shuffled", "blocks"]
Share = Annotated[
    float,
    BeforeValidator(share_of),
    Field(gt=0),
    PlainSerializer(percent_text),  # it reads as the same again
]
DEFAULT_REPEATS = 3
MAX_NAME = 100
FOLDER_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}")


def _folder_name(text: str) -> str:
    if not FOLDER_NAME.fullmatch(text):
        raise ValueError(
            f"no name of a folder: write up to {MAX_NAME} letters, digits, dots, - and _, and a letter or digit first"
        )
    return text


def safe_name(text: str) -> str:
    """Return the name of a folder that is most like a text; "study" where nothing of it is left."""
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).lstrip("._-").rstrip("-")[:MAX_NAME] or "study"


class StudySection(Section):
    """The order of a study's runs, their repeats, and the processes that they are kept apart by."""

    name: Annotated[str, AfterValidator(_folder_name)] | None = Field(
        None, description="Name of its folder. Default: that of the file."
    )
    repeats: Positive = Field(DEFAULT_REPEATS, description="Rounds, each through all cells; six are advised.")
    order: Order = Field(
        "alternating",
        description="alternating: every second round backwards; shuffled: a seeded order, then the same backwards; "
        "blocks: all runs of one cell, then all of the next, which tells nothing of times and joules.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**32, strict=True)] = Field(1, description="Of a shuffled order.")
    process: Literal["separate", "shared"] = Field(
        "separate",
        description="separate: each run in a process of its own; shared: the loaded model is kept between cells that "
        "differ in nothing that loading sees.",
    )
    timeout_s: PositiveFloat = Field(86_400.0, description="Seconds that one run may take; then it is ended.")


class GapsSection(Section):
    """The pause before each run but the first, so that none begins on what the one before it has heated."""

    experiment_s: Annotated[float, Field(ge=0, strict=True)] = Field(0.0, description="Seconds, at the least.")
    until_c: PositiveFloat | None = Field(None, description="Wait until the devices are as cool as this, in Celsius.")
    timeout_s: PositiveFloat = Field(600.0, description="Seconds that a wait for until_c may take.")


class StopSection(Section):
    """Whole rounds are added until each cell's interval is narrow enough."""

    metric: str = Field("energy_per_output_token_j", description="A column of the flat table.")
    half_width: Share = Field(description="Half of the interval at 95 %, as a share of the mean: 3%.")
    max_repeats: Positive = Field(20, description="Rounds at the most.")


class StudyFields(Section):
    """The keys of a study's file that are no experiment's; `sweep` and `experiments` are read by themselves."""

    study: StudySection = Field(default_factory=StudySection)
    gaps: GapsSection = Field(default_factory=GapsSection)
    stop: StopSection | None = None


def is_study_path(path: str) -> bool:
    """Return True of a dotted path in a section of a study, as `study.repeats`."""
    section, dot, _ = path.partition(".")
    return bool(dot) and section in StudyFields.model_fields


def study_path_problem(path: str) -> str:
    """Return why a dotted path is no field of a study's sections, with the nearest that is; "" where it is one."""
    sections: dict[str, type[Section]] = {"study": StudySection, "gaps": GapsSection, "stop": StopSection}
    known = [f"{section}.{name}" for section, model in sections.items() for name in model.model_fields]
    return "" if path in known else f"no field{did_you_mean(path, known)}"
