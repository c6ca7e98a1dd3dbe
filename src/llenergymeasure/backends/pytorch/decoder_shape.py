"""The shape of a decoder: what it computes per token, or why that cannot be counted."""

import math
from typing import Any

from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.backends.pytorch.skeleton import build_skeleton
from llenergymeasure.backends.pytorch.weights import first_line
from llenergymeasure.domain.model import DecoderShape

DENSE = frozenset({"gpt2", "gpt_neox", "llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3"})
MIXTURES_OF_EXPERTS = frozenset({"deepseek_v2", "deepseek_v3", "gpt_oss", "mixtral", "olmoe", "qwen2_moe", "qwen3_moe"})
COUNTED_ARCHITECTURES = DENSE | MIXTURES_OF_EXPERTS
"""Decoders that a test holds against torch's own counter."""


def shape_of_config(model: str, revision: str | None = None) -> tuple[DecoderShape | None, str | None]:
    """The shape of a model that is not loaded, from the config.json of a local folder or a cached hub model.

    None and the reason where it is not here, is built by code of its own, or cannot be counted.
    """
    try:
        skeleton = build_skeleton(model, revision)
    except Exception as error:  # transformers raises whatever its parts raise
        return None, f"not counted: no model can be built from its config: {first_line(error)}"
    return decoder_shape(skeleton)


def decoder_shape(model: Any) -> tuple[DecoderShape | None, str | None]:
    """The shape of a decoder, loaded or a skeleton, else None and the reason."""
    config = model.config
    if config.model_type not in COUNTED_ARCHITECTURES:
        return None, f"not counted: architecture {clean(str(config.model_type), SHOWN)!r}"
    if getattr(config, "quantization_config", None):
        return None, "not counted: quantised weights"
    try:
        return _counted(model), None
    except (AttributeError, TypeError, ValueError, ZeroDivisionError) as error:  # config.json leaves out what it needs
        return None, f"not counted: {first_line(error)}"


def _counted(model: Any) -> DecoderShape:
    config = model.config
    head = model.get_output_embeddings()
    weights = {name: _weights_a_token(each, config) for name, each in model.named_modules() if each is not head}
    expanding = sum(count for name, count in weights.items() if ".kv_b_proj" in name)
    window, windowed = _windowed_layers(config)
    return DecoderShape(
        matmul_parameters=sum(weights.values()) - expanding,
        head_parameters=head.weight.numel(),
        layers=config.num_hidden_layers,
        attention_width=_attention_width(config),
        attention_window=window,
        windowed_layers=windowed,
        expanding_parameters=expanding,
    )


def _weights_a_token(module: Any, config: Any) -> int:
    """Return how many of a module's own weights multiply a token: of a layer's experts, those that the router chooses.

    transformers keeps a layer's experts in one module, (experts, ., .) each weight, and every way that it has to
    run them gives an expert its own tokens alone. A router is a weight outside of torch's Linear.
    """
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    if isinstance(module, Linear | Conv1D):
        return int(module.weight.numel())
    if config.model_type in MIXTURES_OF_EXPERTS and type(module).__name__.endswith("Experts"):
        own = module.parameters(recurse=False)
        one_expert = sum(math.prod(weight.shape[1:]) for weight in own if weight.dim() == 3)
        return int(one_expert * config.num_experts_per_tok)
    if config.model_type in MIXTURES_OF_EXPERTS and type(module).__name__.lower().endswith("topkrouter"):
        return int(module.weight.numel())
    return 0


def _attention_width(config: Any) -> int:
    """Query heads times head size; the mean of the two where keys and values differ in size."""
    heads = config.num_attention_heads
    if config.model_type in ("deepseek_v2", "deepseek_v3"):
        return int(heads * (config.qk_nope_head_dim + config.qk_rope_head_dim + config.v_head_dim) // 2)
    return int(heads * (getattr(config, "head_dim", None) or config.hidden_size // heads))


def _windowed_layers(config: Any) -> tuple[int | None, int]:
    """The window, and how many layers have it; none where it is switched off."""
    window = getattr(config, "sliding_window", None)
    if not window or not getattr(config, "use_sliding_window", True):
        return None, 0
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * config.num_hidden_layers
    return window, kinds.count("sliding_attention")
