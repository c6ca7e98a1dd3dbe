"""The choice of each next token."""

from typing import Annotated

from pydantic import Field

from llenergymeasure.config.section import PositiveFloat, Section


class DecoderConfig(Section):
    """The choice of the next token: greedy, or sampled with `random_seed`."""

    do_sample: bool = False
    temperature: PositiveFloat = 1.0
    top_k: Annotated[int, Field(ge=0, strict=True, description="0: off.")] = 0
    top_p: Annotated[float, Field(gt=0, le=1, strict=True)] = 1.0
    min_p: Annotated[float, Field(ge=0, le=1, strict=True)] = 0.0
    repetition_penalty: PositiveFloat = 1.0
    ignore_eos: bool = Field(False, description="Generate max_output_tokens for every request.")

    @property
    def without_effect(self) -> dict[str, str]:
        """Greedy decoding draws nothing."""
        if self.do_sample:
            return {}
        reason = "on greedy decoding; set do_sample: true or remove it"
        return dict.fromkeys(("temperature", "top_k", "top_p", "min_p"), reason)
