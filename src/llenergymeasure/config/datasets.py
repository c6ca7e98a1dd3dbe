"""What work an experiment sends."""

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from llenergymeasure.config.section import Name, Positive, Section

BUILTIN_DATASET = "builtin"


class SyntheticLengths(Section):
    """Exact lengths in tokens; the end-of-sequence token does not end such a request."""

    input_len: Positive
    output_len: Positive


class SyntheticDataset(Section):
    """Prompts of random tokens, drawn with `random_seed`."""

    synthetic: SyntheticLengths


def _dataset_kind(value: Any) -> str:
    return "synthetic" if isinstance(value, dict | SyntheticDataset) else "named"


Dataset = Annotated[
    Annotated[Name, Tag("named")] | Annotated[SyntheticDataset, Tag("synthetic")], Discriminator(_dataset_kind)
]
