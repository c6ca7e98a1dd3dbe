"""What the sections of a scenario, and of an experiment, are made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Flag = Annotated[bool, Field(strict=True)]


class Section(BaseModel):
    """A part of a file: frozen, unknown keys refused."""

    # An error that repeats what was given would repeat a key.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)
