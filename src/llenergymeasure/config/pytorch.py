"""The sections that the pytorch backend alone reads, and the arguments of `generate` that are its own."""

from typing import Literal

from pydantic import Field

from llenergymeasure.config.section import Name, Positive, Section

OWN_GENERATE_KEYS = frozenset(
    {
        "inputs",
        "input_ids",
        "attention_mask",
        "generation_config",
        "stopping_criteria",
        "streamer",
        "max_new_tokens",
        "max_length",
        "do_sample",
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "repetition_penalty",
        "eos_token_id",
        "pad_token_id",
        "cache_implementation",
        "use_cache",
        "disable_compile",
        "guidance_scale",
        "num_beams",
        "num_return_sequences",
        "return_dict_in_generate",
    }
)
"""Arguments of `generate` that have a field of their own or that the measurement depends on."""


class LoraConfig(Section):
    """An adapter in a local folder (adapter_config.json, adapter_model.safetensors).

    LoRA, or another kind of PEFT's that works inside the model's own layers, such as AdaLoRA, IA3 and LoHa. Those that
    add to the prompt are refused.
    """

    path: Name
    merge: bool = Field(False, description="Fold the adapter into the weights before measuring.")


class PytorchConfig(Section):
    """Settings of the pytorch backend alone."""

    attn_implementation: Literal["sdpa", "eager"] = Field(
        "sdpa", description="Left out, a model whose class does not have sdpa is measured with eager."
    )
    cache: Literal["dynamic", "static"] = "dynamic"
    torch_compile: bool = False
    trust_remote_code: bool = False
    allow_missing_weights: bool = Field(
        False,
        description="Measure a model whose files lack tensors that it has (random numbers take their place), or hold "
        "tensors that it has no place for (they are left out); a warning names them.",
    )
    revision: str | None = Field(None, description="Branch, tag or commit of a hub model.")
    data_parallel: Positive = Field(
        1, description="Processes that each hold the model and serve a share of the batches; on GPUs, one per GPU."
    )
