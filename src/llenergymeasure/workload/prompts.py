"""From `dataset` to requests: the prompts of a file, the built-in set, or random tokens of exact length."""

import json
import os
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from labledger.yaml_files import read_text
from llenergymeasure.config.datasets import BUILTIN_DATASET, SyntheticDataset
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.domain.requests import Message, Prompt, Request
from llenergymeasure.errors import ConfigError
from llenergymeasure.workload.conversations import parse_prompt
from llenergymeasure.workload.synthetic import synthetic_requests

BUILTIN_FILE = "builtin_prompts.jsonl"


def load_prompts(config: ExperimentConfig) -> list[Prompt]:
    """The first `num_prompts` prompts of the dataset, in its order; none for a synthetic one.

    A line of a .jsonl file is `{"prompt": "..."}`, just the text in quotes, or a conversation; see `parse_prompt`.

    Raises:
        ConfigError: the dataset is not there, has a line that is no prompt (file:line), or too few of them.
    """
    if isinstance(config.dataset, SyntheticDataset):
        return []
    name, text = _read(config.dataset)
    prompts = [prompt for _, prompt in zip(range(config.num_prompts), _parse(name, text), strict=False)]
    if not prompts:
        raise ConfigError(f'{name}: no prompts; write one {{"prompt": "..."}} a line')
    if len(prompts) < config.num_prompts:
        raise ConfigError(
            f"{name}: has {len(prompts)} prompts and num_prompts is {config.num_prompts}; "
            f"set num_prompts to {len(prompts)} or less, or add prompts (none is sent twice)"
        )
    return prompts


def build_requests(config: ExperimentConfig, prompts: Sequence[Prompt], prompt_tokens: Sequence[int]) -> list[Request]:
    """A request for each prompt; for a synthetic dataset, `num_prompts` of them drawn from `prompt_tokens`.

    With `chat_template: always` a plain prompt is a conversation of one turn.
    """
    if isinstance(config.dataset, SyntheticDataset):
        lengths = config.dataset.synthetic
        return list(synthetic_requests(lengths, config.num_prompts, prompt_tokens, config.random_seed))
    limit, ignore_eos, as_chat = config.output_limit, config.ignores_eos, config.chat_template == "always"
    return [_request(index, prompt, limit, ignore_eos, as_chat) for index, prompt in enumerate(prompts)]


def _request(index: int, prompt: Prompt, limit: int, ignore_eos: bool, as_chat: bool) -> Request:
    if isinstance(prompt, str) and not as_chat:
        return Request(index, prompt, None, limit, ignore_eos)
    messages = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    return Request(index, None, None, limit, ignore_eos, messages)


def _read(dataset: str) -> tuple[str, str]:
    if dataset == BUILTIN_DATASET:
        return BUILTIN_DATASET, builtin_text()
    path = Path(os.path.expanduser(dataset))
    if path.suffix != ".jsonl":
        raise ConfigError(f"dataset: {dataset!r} is neither {BUILTIN_DATASET!r} nor the path of a .jsonl file")
    try:
        return dataset, read_text(path)
    except ConfigError as error:
        raise ConfigError(f"dataset: {error}") from error


def builtin_text() -> str:
    """The built-in prompts, a JSON object a line."""
    return resources.files(__package__).joinpath(BUILTIN_FILE).read_text(encoding="utf-8")


def _parse(name: str, text: str) -> Iterator[Prompt]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise ConfigError(f"{name}:{number}: not JSON: {error.msg} (column {error.colno})") from error
        try:
            yield parse_prompt(value)
        except ValueError as error:
            raise ConfigError(f"{name}:{number}: {error}; found {line.strip()[:60]}") from error
