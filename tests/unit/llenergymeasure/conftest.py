"""Small real models, built once a session."""

import json

import pytest
from tiny import TINY_SHAPE

from llenergymeasure.config.models import RandomModelConfig


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
