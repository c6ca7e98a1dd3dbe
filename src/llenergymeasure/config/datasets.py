"""The dataset of an experiment: named, or synthetic with lengths in tokens."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from llenergymeasure.config.section import Name, Positive, PositiveFloat, Section

BUILTIN_DATASET = "builtin"


class UniformLengths(Section):
    """Every whole number from `min` to `max` equally often."""

    distribution: Literal["uniform"]
    min: Positive
    max: Positive

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min: {self.min} is more than max {self.max}")
        return self


class BellLengths(Section):
    """A distribution of this mean and standard deviation, truncated to `min` to `max` and rounded."""

    mean: PositiveFloat
    stdev: PositiveFloat
    min: Positive = 1
    max: Positive

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.min <= self.mean <= self.max:
            raise ValueError(f"mean: {self.mean:g} is not between min {self.min} and max {self.max}")
        return self


class NormalLengths(BellLengths):
    """Normal; `mean` and `stdev` are those before the truncation."""

    distribution: Literal["normal"]


class LognormalLengths(BellLengths):
    """Log-normal: many short, a few long; `mean` and `stdev` are the lengths' own, before the truncation."""

    distribution: Literal["lognormal"]


def _length_kind(value: Any) -> str:
    return "drawn" if isinstance(value, dict | Section) else "constant"


DrawnLength = Annotated[UniformLengths | NormalLengths | LognormalLengths, Discriminator("distribution")]
Length = Annotated[
    Annotated[Positive, Tag("constant")] | Annotated[DrawnLength, Tag("drawn")], Discriminator(_length_kind)
]


class SyntheticLengths(Section):
    """Lengths in tokens, one for all or a distribution; the end-of-sequence token does not end such a request."""

    input_len: Length
    output_len: Length
    shared_prefix: Annotated[float, Field(ge=0, le=1, strict=True)] = Field(
        0.0, description="The share of each prompt, from its first token on, that is the same in all of them."
    )

    @property
    def longest_input(self) -> int:
        """The longest prompt, in tokens."""
        return _longest(self.input_len)

    @property
    def longest_output(self) -> int:
        """The longest answer, in tokens."""
        return _longest(self.output_len)


def _longest(length: Length) -> int:
    return length if isinstance(length, int) else length.max


class SyntheticDataset(Section):
    """Prompts of random tokens, drawn with `random_seed`."""

    synthetic: SyntheticLengths


def _dataset_kind(value: Any) -> str:
    return "synthetic" if isinstance(value, dict | SyntheticDataset) else "named"


Dataset = Annotated[
    Annotated[Name, Tag("named")] | Annotated[SyntheticDataset, Tag("synthetic")], Discriminator(_dataset_kind)
]
