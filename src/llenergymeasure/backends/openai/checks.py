"""Checks of a run against a server, before anything is started."""

import os
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from labledger.extras import install_command, missing, require
from labledger.redaction import key_problem
from llenergymeasure.backends.openai.server.server import is_here
from llenergymeasure.backends.openai.settings import api_key
from llenergymeasure.backends.protocol import Gpus
from llenergymeasure.config.datasets import SyntheticDataset
from llenergymeasure.config.models import RANDOM_LLAMA, ExperimentConfig
from llenergymeasure.config.paths import local_folder
from llenergymeasure.domain.requests import Prompt, Work
from llenergymeasure.errors import ConfigError


def is_installed() -> bool:
    """Return True if the packages that the backend needs are installed."""
    return not missing("aiohttp")


def facts() -> list[str]:
    """Return one line: aiohttp's version with the presets that can be started here, or what to install."""
    if not is_installed():
        return [f"not available: aiohttp not installed; run {install_command('server')}"]
    from llenergymeasure.backends.openai.server.presets import runnable

    here = ", ".join(runnable()) or "none"
    return [f"available: aiohttp {version('aiohttp')}; presets whose server is installed here: {here}"]


def problems(config: ExperimentConfig, gpus: Gpus) -> Iterator[str]:
    """Yield every problem: the device, the key, the command and its model, a server that should be running and is not.

    Raises:
        ConfigError: packages are not installed.
    """
    require("backend openai", "aiohttp")
    if isinstance(config.dataset, SyntheticDataset) and missing("transformers"):
        raise ConfigError(
            "dataset: synthetic prompts are made of the model's tokens, and transformers, which knows them, is not "
            f"installed; run {install_command('pytorch')}, or send prompts of text"
        )
    if config.launch is not None and config.model == RANDOM_LLAMA:
        require(f"model: {RANDOM_LLAMA}", "torch", "transformers")
    if config.device == "cuda" and not gpus.uuids:
        yield f"device: cuda asked for, and no GPU is seen ({gpus.unavailable}); leave it out"
    name = config.openai.api_key_env
    if name is not None and not os.environ.get(name):
        yield f"openai.api_key_env: {name} is not set; export it, or remove api_key_env where no key is wanted"
    if (key := api_key(config)) and (problem := key_problem(key)):
        yield f"openai.api_key_env: {name}: {problem}"
        return  # without a key that can be sent, there is nothing to ask the server
    if config.launch is None:
        yield from _attached_problems(config)
    else:
        yield from _launch_problems(config)


def prompt_problems(config: ExperimentConfig, prompts: Sequence[Prompt]) -> Iterator[str]:
    """Yield a problem if the endpoint does not take these prompts."""
    if config.openai.endpoint == "completions" and any(not isinstance(prompt, str) for prompt in prompts):
        yield "dataset: it has conversations, which the chat endpoint takes: set openai: {endpoint: chat}"


def size_problems(config: ExperimentConfig, work: Work, gpus: Gpus) -> Iterator[str]:
    """Yield nothing: the server loads the model and makes its own batches."""
    return iter(())


def remarks(config: ExperimentConfig, work: Work) -> Iterator[str]:
    """Yield a warning where a server that runs already does not list the model; one to be launched cannot be asked."""
    from llenergymeasure.backends.openai.client.probe import unlisted_remarks

    if config.launch is None:
        yield from unlisted_remarks(config.openai.model or config.model, config.openai.base_url, api_key(config))


def _attached_problems(config: ExperimentConfig) -> Iterator[str]:
    from llenergymeasure.backends.openai.client.probe import unreachable

    energy, (host, _) = config.energy, config.openai.address
    if config.device != "auto" and not is_here(host):
        yield f"device: has no effect on a server on another machine ({host}); leave it out"
    if energy.names_a_reader and not is_here(host):
        yield f"energy.source: {energy.source} reads this machine, and the server is on another ({host}); leave it out"
    if problem := unreachable(config.openai.base_url, api_key(config)):
        yield f"openai.base_url: {problem}"


def _launch_problems(config: ExperimentConfig) -> Iterator[str]:
    from llenergymeasure.backends.openai.server.presets import missing_server, preset_problems

    launch, (host, _) = config.launch, config.openai.address
    if launch is None:
        return
    if not is_here(host):
        yield f"openai.base_url: {host} is another machine, and launch starts the server on this one; name 127.0.0.1"
    if problem := missing_server(launch.command, launch.preset):
        yield problem
    if launch.preset is not None:
        for problem in preset_problems(launch.preset, flags=launch.flags):
            yield f"launch.{problem}"
    if config.model == RANDOM_LLAMA:
        yield from _random_model_problems(config)
    elif launch.preset == "llamacpp" and not os.path.isfile(os.path.expanduser(config.model)):
        yield f"model: {config.model}: no such file; llama-server takes a GGUF file"
    elif (folder := local_folder(config.model)) is not None and not folder.exists():
        yield f"model: {config.model}: no such folder (looked for {folder.absolute()})"


def _random_model_problems(config: ExperimentConfig) -> Iterator[str]:
    if config.launch is not None and config.launch.preset == "llamacpp":
        yield f"model: {RANDOM_LLAMA} is written as safetensors, and llama-server takes a GGUF file; name one"
