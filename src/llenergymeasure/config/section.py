"""The base of every section of a configuration, and types of its fields."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

# Strict: `true` is no number. A whole number still is a float.
Positive = Annotated[int, Field(ge=1, strict=True)]
Name = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
PositiveFloat = Annotated[float, Field(gt=0, strict=True)]


class Section(BaseModel):
    """A part of a configuration: frozen, unknown keys refused."""

    # An error that repeats what was given would repeat a key.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    @property
    def without_effect(self) -> dict[str, str]:
        """Fields that the others leave without effect, each with the reason; to write one down is an error."""
        return {}

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> Self:
        for name, reason in self.without_effect.items():
            if name in self.model_fields_set:
                raise ValueError(f"{name}: has no effect {reason}")
        return self

    def in_effect(self) -> dict[str, JsonValue]:
        """Return the fields that have an effect, defaults filled in; as YAML they are this very configuration."""
        without_effect = self.without_effect
        fields = self.model_dump(mode="json", exclude=set(without_effect))
        for name, value in self:
            if isinstance(value, Section) and name not in without_effect:
                fields[name] = value.in_effect()
        return fields
