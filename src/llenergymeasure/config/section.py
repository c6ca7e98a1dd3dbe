"""The base of a configuration's sections, which know which of their fields have no effect, and their numbers."""

from typing import Annotated, Self

from pydantic import Field, JsonValue, model_validator

from labledger import sections
from labledger.sections import PositiveFloat

__all__ = ["Name", "Positive", "PositiveFloat", "Section", "WithoutEffectError"]

STUDY_MARKS = ("study", "sweep", "experiments")
"""The keys by which a file is a study."""
STUDY_KEYS = (*STUDY_MARKS, "base", "gaps", "stop")
"""The keys of a study's file that are no experiment's."""

# Strict: `true` is no number.
Positive = Annotated[int, Field(ge=1, strict=True)]
Name = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]


class WithoutEffectError(ValueError):
    """A `field` is given that has no effect, because of the others."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: has no effect {reason}")
        self.field = field


class Section(sections.Section):
    """A section of a configuration; a field that has no effect, because of the others, cannot be written down.

    Raises:
        ValidationError: as the kernel's section does, or a field is given that has no effect.
    """

    @property
    def without_effect(self) -> dict[str, str]:
        """The fields that the others leave without effect, each with the reason."""
        return {}

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> Self:
        for name, reason in self.without_effect.items():
            if name in self.model_fields_set:
                raise WithoutEffectError(name, reason)
        return self

    def in_effect(self) -> dict[str, JsonValue]:
        """Return the fields that have an effect, defaults filled in: as YAML they are this very configuration."""
        without_effect = self.without_effect
        fields = self.model_dump(mode="json", exclude=set(without_effect))
        for name, value in self:
            if isinstance(value, Section) and name not in without_effect:
                fields[name] = value.in_effect()
        return fields
