"""Small real models, built once a session."""

import json

import pytest

from llenergymeasure.config.models import ExperimentConfig, RandomModelConfig

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


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A Llama as it lies on disk, a tenth of whose tokens end a sequence, so that answers differ in length."""
    import torch

    from llenergymeasure.backends.pytorch.random_llama import build_model, build_tokenizer
    from llenergymeasure.workload.prompts import builtin_text

    folder = tmp_path_factory.mktemp("models") / "Tiny-Llama"
    tokenizer = build_tokenizer(builtin_text(), 512)
    model = build_model(
        RandomModelConfig(**TINY_SHAPE), tokenizer, seed=1, device="cpu", dtype=torch.float32, attention="sdpa"
    )
    model.generation_config.eos_token_id = list(range(3, 512, 10))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def prompts_file(tmp_path):
    """Four prompts of different lengths."""
    path = tmp_path / "prompts.jsonl"
    texts = ["One.", "A few more words than one.", "Half a line of text, or so it seems to a reader.", "Two words"]
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    return path
