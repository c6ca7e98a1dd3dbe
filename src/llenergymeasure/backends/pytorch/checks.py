"""Checks of a run in this process, before a model is loaded."""

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version

from labledger.extras import install_command, require
from llenergymeasure.backends.protocol import Gpus
from llenergymeasure.backends.pytorch.adapters import base_remarks, lora_problems
from llenergymeasure.backends.pytorch.encoding import NO_CHAT_TEMPLATE
from llenergymeasure.backends.pytorch.memory_estimate import memory_problems
from llenergymeasure.backends.pytorch.sources import has_chat_template, model_problems
from llenergymeasure.backends.pytorch.trial import tried, tried_remarks
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.config.paths import local_folder
from llenergymeasure.domain.requests import Prompt, Work

REQUIRED = ("torch", "transformers", "accelerate")


def versions() -> dict[str, str | None]:
    """Return the version of each package that the backend needs, None where it is not installed; import none."""
    return {name: _version(name) for name in (*REQUIRED, "peft")}


def facts() -> list[str]:
    """Return the versions of the packages and the devices that PyTorch sees, or what to install."""
    found = versions()
    if absent := [name for name in REQUIRED if found[name] is None]:
        return [f"not available: {' and '.join(absent)} not installed; run {install_command('pytorch')}"]
    names = ", ".join(f"{name} {number or 'not installed (needed for lora)'}" for name, number in found.items())
    return [f"available: {names}", _torch_devices()]


def problems(config: ExperimentConfig, gpus: Gpus) -> Iterator[str]:
    """Yield every problem of device, model and adapter; the GPUs are those that PyTorch sees.

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
    """Yield a problem if the dataset has conversations and the model's folder has no chat template for them."""
    folder = local_folder(config.model)
    rendered = config.chat_template == "always" or any(not isinstance(prompt, str) for prompt in prompts)
    if rendered and folder is not None and folder.is_dir() and not has_chat_template(folder):
        yield f"model: {folder}: {NO_CHAT_TEMPLATE}"


def weight_problems(config: ExperimentConfig) -> Iterator[str]:
    """Yield why the model is none that is measured, or the misfits of its and the adapter's files, by their headers."""
    yield from tried(config, None).problems


def size_problems(config: ExperimentConfig, work: Work, gpus: Gpus) -> Iterator[str]:
    """Yield the misfits of the weights and of the requests, and a line if the model and its largest batch exceed the
    device's memory."""
    found = tried(config, work)
    yield from found.problems
    if not found.is_given_up:
        yield from memory_problems(config, work.largest_batch, gpus.uuids, found.buffer_bytes)


def remarks(config: ExperimentConfig, work: Work) -> Iterator[str]:
    """Yield a warning for prompts that are longer than the model was made for, and for an adapter of another one."""
    yield from tried_remarks(config, work)
    yield from base_remarks(config)


def _torch_devices() -> str:
    import torch

    if torch.cuda.is_available():
        return f"PyTorch sees {torch.cuda.device_count()} GPU(s)"
    return "PyTorch sees no GPU" + ("" if torch.version.cuda else " (it is built for CPU only)")


def _device_problems(config: ExperimentConfig) -> Iterator[str]:
    if config.device != "cuda" and not config.gpu.is_set:
        return
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = "PyTorch sees no GPU" if built else "this PyTorch is built for CPU only (see pytorch.org/get-started)"
        if config.device == "cuda":
            yield f"device: cuda asked for, and {why}; set device: cpu, or auto"
        else:
            yield f"gpu: set, and the model would run on the CPU: {why}; leave it out"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
