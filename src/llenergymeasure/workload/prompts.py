"""From `dataset` to requests: the prompts of a file, the built-in set, or random tokens of exact length."""

import os
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from labledger.json_text import JsonError, load_json
from labledger.yaml_files import read_text
from llenergymeasure.config.datasets import BUILTIN_DATASET, SyntheticDataset
from llenergymeasure.config.fields import takes_all_prompts
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.domain.beginnings import begun_anew, words_of
from llenergymeasure.domain.quality import Question
from llenergymeasure.domain.requests import Message, Prompt, Request
from llenergymeasure.errors import ConfigError
from llenergymeasure.workload.conversations import parse_prompt
from llenergymeasure.workload.questions import parse_question
from llenergymeasure.workload.rounds import go_round
from llenergymeasure.workload.synthetic import synthetic_requests

T = TypeVar("T")

MOST_UNASKED = int(ExperimentConfig.model_fields["num_prompts"].default)
"""The most prompts that are sent where their number is not given."""
BUILTIN_FILE = "builtin_prompts.jsonl"
ROUNDS = (
    "The dataset {name} has {own} and went round {rounds:.3g} times, each time with another beginning: from its second "
    "round on a prompt begins with the number of the round."
)


class LoadedPrompts(NamedTuple):
    """The prompts of a run, a line for its result where the dataset was too short and went round, and of a task what
    each prompt's answer is held against."""

    prompts: list[Prompt]
    note: str | None = None
    questions: Sequence[Question] = ()


def load_prompts(config: ExperimentConfig) -> LoadedPrompts:
    """Return the first `num_prompts` prompts of the dataset or the task, in its order; none of a synthetic one.

    Of a shorter file all are taken where the number was not given; a dataset that goes round begins again.
    A line of a .jsonl file is `{"prompt": "..."}`, just the text in quotes, or a conversation; see `parse_prompt`. One
    of a task has an answer beside it; see `parse_question`.

    Raises:
        ConfigError: the file is not there, has a line that is no prompt or question (file:line), or too few of them.
    """
    if config.task is not None:
        return _task(config, config.task)
    if isinstance(config.dataset, SyntheticDataset):
        return LoadedPrompts([])
    name, text = _read(config.dataset)
    prompts = [prompt for _, prompt in zip(range(config.num_prompts), _parse(name, text), strict=False)]
    if not prompts:
        raise ConfigError(f'{name}: no prompts; write one {{"prompt": "..."}} a line')
    own, wanted = len(prompts), config.num_prompts
    if own == wanted or takes_all_prompts(config):
        return LoadedPrompts(prompts)
    if not config.goes_round:
        again = ", or set dataset_repeat: true to send them again and again"
        raise ConfigError(f"{_too_few(name, own, wanted)}, add prompts{again}")
    return LoadedPrompts(go_round(prompts, wanted), ROUNDS.format(name=name, own=_count(own), rounds=wanted / own))


def _task(config: ExperimentConfig, name: str) -> LoadedPrompts:
    """Return the first `num_prompts` questions of a task."""
    try:
        text = read_text(Path(os.path.expanduser(name)))
    except ConfigError as error:
        raise ConfigError(f"quality.task: {error}") from error
    match = config.quality.match if config.quality is not None else "exact"
    lines = zip(range(config.num_prompts), _lines(name, text), strict=False)
    found = [
        (_prompt(line), _parsed(line, lambda line: parse_question(line.value, match, line.number))) for _, line in lines
    ]
    if not found:
        raise ConfigError(f'{name}: no questions; write one {{"prompt": "...", "answer": "..."}} a line')
    if len(found) < config.num_prompts and not takes_all_prompts(config):
        raise ConfigError(f"{_too_few(name, len(found), config.num_prompts)}, or add questions")
    prompts, questions = zip(*found, strict=True)
    return LoadedPrompts([*prompts], None, questions)


def _too_few(name: str, own: int, wanted: int) -> str:
    left_out = "all" if own <= MOST_UNASKED else f"the first {MOST_UNASKED}"
    return (
        f"{name}: has {own} prompts and num_prompts is {wanted}; set num_prompts to {own} or less, leave it out to "
        f"send {left_out}"
    )


def _count(prompts: int) -> str:
    return f"{prompts} prompt{'s' if prompts != 1 else ''}"


def build_requests(
    config: ExperimentConfig, prompts: Sequence[Prompt], prompt_tokens: Sequence[int], prompt_mark: int | None = None
) -> list[Request]:
    """A request for each prompt; for a synthetic dataset, `num_prompts` of them drawn from `prompt_tokens`.

    With `chat_template: always` a plain prompt is a conversation of one turn. With a `prompt_mark` texts begin with its
    digits, and tokens are drawn with it, so that they differ from those of every other mark and are as many.
    """
    if isinstance(config.dataset, SyntheticDataset):
        lengths = config.dataset.synthetic
        return list(synthetic_requests(lengths, config.num_prompts, prompt_tokens, config.random_seed, prompt_mark))
    if prompt_mark is not None:
        prompts = [begun_anew(prompt, words_of(prompt_mark)) for prompt in prompts]
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


class _Line(NamedTuple):
    """A line that is not blank: where it is, counted from 1, its text, and its JSON."""

    name: str
    number: int
    text: str
    value: Any


def _lines(name: str, text: str) -> Iterator[_Line]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = load_json(line, allow_nan=True)  # other keys are the dataset's own
        except JsonError as error:
            problem = error.reason if error.column is None else f"not JSON: {error.reason} (column {error.column})"
            raise ConfigError(f"{name}:{number}: {problem}") from error
        yield _Line(name, number, line, value)


def _parse(name: str, text: str) -> Iterator[Prompt]:
    return map(_prompt, _lines(name, text))


def _prompt(line: _Line) -> Prompt:
    return _parsed(line, lambda line: parse_prompt(line.value))


def _parsed(line: _Line, parse: Callable[[_Line], T]) -> T:
    try:
        return parse(line)
    except ValueError as error:
        raise ConfigError(f"{line.name}:{line.number}: {error}; found {line.text.strip()[:60]}") from error
