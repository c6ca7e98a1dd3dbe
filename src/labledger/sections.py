"""The base of every section of a YAML file, and the numbers that both instruments' sections hold."""

from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field

# Strict: `true` is no number. A whole number still is a float.
PositiveFloat = Annotated[float, Field(gt=0, strict=True)]


class Section(BaseModel):
    """A section of a YAML file: frozen, with no unknown key, no infinite number and no NaN.

    Raises:
        ValidationError: a value or a key is not allowed. Its message repeats no value: one may be a secret.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that an annotation names, as an optional, a list or a choice."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in models_in(part)]
