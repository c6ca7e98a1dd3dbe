"""The checks of what a model's files describe, in a process with limits.

To build a model without its weights, to put an adapter's patterns onto it and to encode a text take memory and time
that the author of the files chose. What passes here is done once more by the run, which so takes no more than that.
"""

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from llenergymeasure.backends.limited_process import LimitedProcess, LimitError
from llenergymeasure.backends.pytorch.adapters import adapter_bytes, fit_problems
from llenergymeasure.backends.pytorch.architectures import Described, described
from llenergymeasure.backends.pytorch.folders import model_folder
from llenergymeasure.backends.pytorch.request_checks import request_problems, request_remarks
from llenergymeasure.backends.pytorch.weights import header_problems
from llenergymeasure.config.models import RANDOM_LLAMA, ExperimentConfig
from llenergymeasure.domain.requests import Work

MEMORY_BYTES = 4 << 30
"""The memory that a check may take beyond what the process has, and twice the adapter's file, which is read."""
TIME_S, EACH_PROMPT_S, EACH_CHARACTER_S = 30.0, 0.05, 1e-5
"""Seconds of processor that a check may take; to build DeepSeek-V3 takes 2, to encode a million characters 1."""
WALL_TIMES = 10
"""How many times as long it may take in all, as on a machine that does other work."""

PARTS = {
    "model": "model: {model}: its config.json and the headers of its files",
    "adapter": "lora.path: {path}: its adapter_config.json and its tensors",
    "requests": "model: {model}: the prompts with its tokenizer",
}
"""The checks in their order, and the words for what they look at."""


class Found(NamedTuple):
    """Problems, a line each, and the bytes of the model's buffers, as far as a limit has not ended the checks."""

    problems: list[str]
    buffer_bytes: int = 0
    is_given_up: bool = False


def tried(config: ExperimentConfig, work: Work | None) -> Found:
    """Return the misfits of the weights, of the adapter and, where there is `work`, of the requests."""
    trial = _Trial(config, work)
    if config.lora is None and _folder(config) is None:  # nothing of a stranger's is here
        return Found([])
    parts = [part for part in PARTS if part != "requests" or work is not None]
    problems: list[str] = []
    buffer_bytes = 0
    with _process(trial) as process:
        for part in parts:
            try:
                answer = process.ask(part, **trial.time_limits(part))
            except LimitError as error:
                return Found([*problems, _refusal(config, part, error)], is_given_up=True)
            problems += answer["problems"]
            buffer_bytes = answer.get("buffer_bytes", buffer_bytes)
            if answer.get("is_over"):
                break
    return Found(problems, buffer_bytes)


def tried_remarks(config: ExperimentConfig, work: Work) -> list[str]:
    """Return the warnings on the requests; none where they cannot be looked at within the limits."""
    trial = _Trial(config, work)
    if config.model == RANDOM_LLAMA:
        return [*request_remarks(config, work, None)]
    if _folder(config) is None:
        return []
    try:
        with _process(trial) as process:
            remarks: list[str] = process.ask("remarks", **trial.time_limits("requests"))
    except LimitError:
        return []
    return remarks


class _Trial:
    """The checks by name, to be asked for in the child."""

    def __init__(self, config: ExperimentConfig, work: Work | None) -> None:
        self.config = config
        self._work = work

    def __call__(self, part: str) -> Any:
        return getattr(self, f"_{part}")()

    def time_limits(self, part: str) -> dict[str, float]:
        """Return the seconds that a check may take, as `LimitedProcess.ask` has them."""
        time_s = TIME_S
        if part == "requests" and self._work is not None:
            sent = self._work.requests
            characters = sum(len(each.prompt or "") for each in sent)
            characters += sum(len(turn.content) for each in sent for turn in each.messages or ())
            time_s += EACH_PROMPT_S * len(sent) + EACH_CHARACTER_S * characters
        return {"time_s": time_s, "wall_s": WALL_TIMES * time_s}

    @cached_property
    def _described(self) -> Described:
        return described(self.config)

    def _model(self) -> dict[str, Any]:
        model, name = self._described, self.config.model
        if model.problem is not None:
            return {"problems": [f"model: {name}: {model.problem}"], "is_over": True}
        folder = _folder(self.config)
        lines = header_problems(self.config, folder, model.skeleton) if folder is not None else ()
        answer: dict[str, Any] = {"problems": [f"model: {name}: {each}" for each in lines]}
        if model.skeleton is not None:
            answer["buffer_bytes"] = sum(each.numel() * each.element_size() for each in model.skeleton.buffers())
        return answer

    def _adapter(self) -> dict[str, Any]:
        return {"problems": [*fit_problems(self.config)]}

    def _requests(self) -> dict[str, Any]:
        skeleton = self._described.skeleton
        if skeleton is None or self._work is None:
            return {"problems": []}
        return {"problems": [*request_problems(self.config, self._work, skeleton)]}

    def _remarks(self) -> list[str]:
        skeleton = self._described.skeleton
        if skeleton is None or self._work is None:
            return []
        return [*request_remarks(self.config, self._work, skeleton)]


def _folder(config: ExperimentConfig) -> Path | None:
    return None if config.model == RANDOM_LLAMA else model_folder(config)


def _process(trial: _Trial) -> LimitedProcess:
    _import_libraries(trial.config)
    own = 0 if trial.config.lora is None else 2 * adapter_bytes(trial.config.lora)
    return LimitedProcess(trial, memory_bytes=MEMORY_BYTES + own)


def _import_libraries(config: ExperimentConfig) -> None:
    """Import here what the child needs: the run needs it as well, and it would count for the child's limits."""
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401
    from transformers.models.llama import modeling_llama  # noqa: F401 - with all that every model needs, once and here

    if config.lora is not None:
        import peft  # noqa: F401


def _refusal(config: ExperimentConfig, part: str, error: LimitError) -> str:
    looked_at = PARTS[part].format(model=config.model, path=config.lora.path if config.lora else "")
    return f"{looked_at} cannot be checked: {error}; correct the files, or fetch them again"
