"""`random:llama` as a folder that a server can load."""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

import platformdirs

from labledger.extras import install_command
from llenergymeasure.backends.pytorch import random_llama
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.config.precision import DTYPES
from llenergymeasure.errors import BackendError, ConfigError


def random_model_folder(config: ExperimentConfig, corpus: Callable[[], str]) -> Path:
    """Return the folder of the configured model, with its tokenizer; it is made once, in the user's cache.

    Raises:
        BackendError: it cannot be written.
        ConfigError: torch and transformers are not installed.
    """
    assert config.random_model is not None  # noqa: S101 - the configuration sees to it
    made_of = {"shape": config.random_model.model_dump(), "seed": config.random_seed, "precision": config.precision}
    text, maker = corpus(), Path(random_llama.__file__).read_text(encoding="utf-8")
    digest = hashlib.sha256(json.dumps([made_of, text, maker], sort_keys=True).encode()).hexdigest()[:16]
    folder = platformdirs.user_cache_path("llenergymeasure") / "random-llama" / digest
    if folder.is_dir():
        return folder
    building = folder.with_name(f".{digest}-{secrets.token_hex(4)}")
    try:
        building.mkdir(parents=True)
        _save(config, text, building)
        os.rename(building, folder)
    except ImportError as error:
        raise ConfigError(f"random:llama needs {error.name}; run {install_command('pytorch')}") from error
    except OSError as error:
        if folder.is_dir():  # another run was quicker
            return folder
        raise BackendError(f"random:llama cannot be written to {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def _save(config: ExperimentConfig, corpus: str, folder: Path) -> None:
    import torch

    assert config.random_model is not None  # noqa: S101 - see above
    tokenizer = random_llama.build_tokenizer(corpus, config.random_model.vocab_size)
    model = random_llama.build_model(
        config.random_model,
        tokenizer,
        seed=config.random_seed,
        device="cpu",
        dtype=getattr(torch, DTYPES[config.precision]),
        attention="sdpa",
    )
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
