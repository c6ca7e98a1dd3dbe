"""What a loaded model computes for a token, or why it cannot be counted."""

from typing import Any

from llenergymeasure.domain.model import DecoderShape

COUNTED_ARCHITECTURES = frozenset({"gpt2", "gpt_neox", "llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3"})
"""Dense decoders that a test holds against torch's own counter."""


def decoder_shape(model: Any) -> tuple[DecoderShape | None, str | None]:
    """The shape of a dense decoder, else None and the reason."""
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    config = model.config
    if config.model_type not in COUNTED_ARCHITECTURES:
        return None, f"not counted: architecture {config.model_type!r}"
    if getattr(config, "quantization_config", None):
        return None, "not counted: quantised weights"
    head = model.get_output_embeddings()
    linear = sum(
        module.weight.numel()
        for module in model.modules()
        if isinstance(module, Linear | Conv1D) and module is not head
    )
    heads = config.num_attention_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
    windowed = getattr(config, "use_sliding_window", True)
    shape = DecoderShape(
        matmul_parameters=linear,
        head_parameters=head.weight.numel(),
        layers=config.num_hidden_layers,
        attention_width=heads * head_size,
        attention_window=getattr(config, "sliding_window", None) if windowed else None,
    )
    return shape, None
