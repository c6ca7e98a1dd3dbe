"""What keeps the pytorch backend from running, found without loading a model."""

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version

from labledger.extras import require
from llenergymeasure.backends.pytorch.adapters import fit_problems, lora_problems
from llenergymeasure.backends.pytorch.encoding import NO_CHAT_TEMPLATE
from llenergymeasure.backends.pytorch.sources import has_chat_template, model_folder, model_problems
from llenergymeasure.backends.pytorch.weights import header_problems
from llenergymeasure.config.models import RANDOM_LLAMA, ExperimentConfig
from llenergymeasure.config.paths import local_folder
from llenergymeasure.domain.requests import Prompt

REQUIRED = ("torch", "transformers", "accelerate")


def versions() -> dict[str, str | None]:
    """The version of each package that the backend needs, None where it is not installed; nothing is imported."""
    return {name: _version(name) for name in (*REQUIRED, "peft")}


def problems(config: ExperimentConfig) -> Iterator[str]:
    """Every problem: device, model, adapter.

    Raises:
        ConfigError: packages are not installed, without which nothing else can be checked.
    """
    require("backend pytorch", *REQUIRED)
    if config.lora is not None:
        require("lora", "peft")
    yield from _device_problems(config)
    yield from model_problems(config)
    if config.lora is not None:
        yield from lora_problems(config.lora)


def prompt_problems(config: ExperimentConfig, prompts: Sequence[Prompt]) -> Iterator[str]:
    """A dataset of conversations, and a model in a local folder that has no template for them."""
    folder = local_folder(config.model)
    rendered = config.chat_template == "always" or any(not isinstance(prompt, str) for prompt in prompts)
    if rendered and folder is not None and folder.is_dir() and not has_chat_template(folder):
        yield f"model: {folder}: {NO_CHAT_TEMPLATE}"


def weight_problems(config: ExperimentConfig) -> Iterator[str]:
    """Yield the misfits of the model's and the adapter's files, by their headers; asked when all else is well."""
    folder = None if config.model == RANDOM_LLAMA else model_folder(config)
    if folder is not None:
        for problem in header_problems(config, folder):
            yield f"model: {config.model}: {problem}"
    yield from fit_problems(config)


def _device_problems(config: ExperimentConfig) -> Iterator[str]:
    if config.device != "cuda":
        return
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = "PyTorch sees no GPU" if built else "this PyTorch is built for CPU only (see pytorch.org/get-started)"
        yield f"device: cuda asked for, and {why}; set device: cpu, or auto"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
