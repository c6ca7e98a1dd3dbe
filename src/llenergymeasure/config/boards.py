"""The settings of the GPU boards that a run uses."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from llenergymeasure.config.section import Positive, PositiveFloat, Section


class GpuConfig(Section):
    """Settings of the GPUs that a run uses: set before anything is loaded, read back, and taken back at its end."""

    power_limit_w: PositiveFloat | None = Field(
        None, description="Power limit of each board, in watts. Default: as it is. Needs root."
    )
    clock_mhz: Positive | None = Field(
        None, description="Graphics clock that each board is locked to, in MHz. Default: not locked. Needs root."
    )

    @property
    def is_set(self) -> bool:
        """True if anything is to be set."""
        return self.power_limit_w is not None or self.clock_mhz is not None

    def without_effect_on(self, device: str) -> dict[str, str]:
        """Return the section with the reason where it has no effect on an experiment's `device`."""
        return {"gpu": "on device: cpu"} if self.is_set and device == "cpu" else {}


def listed_settings(data: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the settings in a file's `gpu` section that have lists of values: each is an axis of a study."""
    section = data.get("gpu")
    return {k: v for k, v in section.items() if isinstance(v, list)} if isinstance(section, dict) else {}


def without_listed(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file's data without the settings of boards that are axes."""
    listed = listed_settings(data)
    return {**data, "gpu": {k: v for k, v in data["gpu"].items() if k not in listed}} if listed else dict(data)
