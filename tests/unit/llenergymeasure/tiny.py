"""The smallest configuration that is a real model."""

from llenergymeasure.config.models import ExperimentConfig

TINY_SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 512,
}


def tiny_config(**changes):
    """A configuration that runs in well under a second once torch is imported; None takes a field away."""
    fields = {
        "model": "random:llama",
        "random_model": TINY_SHAPE,
        "precision": "fp32",
        "device": "cpu",
        "num_prompts": 4,
        "max_input_tokens": 16,
        "max_output_tokens": 6,
        "batch_size": 2,
        "warmup": {"iterations": 0},
    }
    fields |= changes
    return ExperimentConfig.model_validate({name: value for name, value in fields.items() if value is not None})


def save_adapter(base_folder, folder, **lora):
    """The path of a LoRA adapter for the model in `base_folder`, saved in `folder`; no weight of it is zero."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(5)
    settings = LoraConfig(**{"r": 2, "target_modules": ["q_proj"], "init_lora_weights": False, **lora})
    get_peft_model(AutoModelForCausalLM.from_pretrained(base_folder), settings).save_pretrained(folder)
    return str(folder)
