"""A study as it was resolved: its settings and its cells, each a whole configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from llenergymeasure.config.loading import LoadedConfig
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.config.study.sections import GapsSection, StopSection, StudySection


@dataclass(frozen=True)
class Cell:
    """One configuration of a study. `name` is unique in it; `changes` are the fields, by their dotted paths, that
    its axes or its entry in `experiments` set."""

    name: str
    changes: Mapping[str, JsonValue]
    loaded: LoadedConfig

    @property
    def config(self) -> ExperimentConfig:
        """The whole configuration."""
        return self.loaded.experiment


@dataclass(frozen=True)
class LoadedStudy:
    """A study that can be planned: `name` is its folder's, `differing` are the dotted paths of its axes and
    entries of which the values differ between cells."""

    name: str
    settings: StudySection
    gaps: GapsSection
    stop: StopSection | None
    cells: tuple[Cell, ...]
    user: UserConfig
    files: tuple[Path, ...]
    differing: tuple[str, ...] = ()
