"""Checks of a run's own requests against its model, before the model is loaded: their tokens and their lengths."""

from collections.abc import Iterator
from typing import Any

from llenergymeasure.backends.chat_template import ChatTemplate
from llenergymeasure.backends.limited_process import raise_if_exhausted
from llenergymeasure.backends.pytorch.encoding import (
    load_tokenizer,
    stray_token_problem,
    token_ids,
    vocabulary_problem,
)
from llenergymeasure.backends.pytorch.folders import model_folder
from llenergymeasure.backends.pytorch.positions import Length, Positions, length_problem, length_remark, positions_of
from llenergymeasure.backends.pytorch.skeleton import embedded_tokens, settings_of
from llenergymeasure.backends.pytorch.weights import first_line
from llenergymeasure.config.models import ExperimentConfig, RandomModelConfig
from llenergymeasure.domain.requests import Work
from llenergymeasure.errors import ConfigError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")


def request_problems(config: ExperimentConfig, work: Work, skeleton: Any) -> Iterator[str]:
    """Yield why a model, here without its weights, cannot compute these requests."""
    try:
        batches = _batches(config, work, skeleton)
    except ConfigError as error:
        yield str(error)
        return
    positions = positions_of(skeleton)
    if problem := next(filter(None, (length_problem(batch, positions) for batch in batches)), None):
        yield problem


def request_remarks(config: ExperimentConfig, work: Work, skeleton: Any | None) -> Iterator[str]:
    """Yield a warning if the model computes these requests, and was made for shorter ones; None is a random model."""
    if skeleton is None:
        shape = config.random_model or RandomModelConfig()
        positions = Positions(made_for=shape.max_position_embeddings)
    else:
        positions = positions_of(skeleton)
    if remark := length_remark(_batches(config, work, skeleton), positions):
        yield remark


def _batches(config: ExperimentConfig, work: Work, skeleton: Any | None) -> list[list[Length]]:
    """Return the lengths of each batch; none where the tokenizer is not here yet, as of a hub model, or is to be made.

    Raises:
        ConfigError: a prompt cannot be encoded, or has tokens that the model does not know.
    """
    lengths = [Length(index, *each, is_drawn=True) for index, each in enumerate(work.drawn)]
    if skeleton is not None:
        lengths += _encoded_lengths(config, work, skeleton)
    size = config.batch_size
    return [lengths[start : start + size] for start in range(0, len(lengths), size)]


def _encoded_lengths(config: ExperimentConfig, work: Work, skeleton: Any) -> Iterator[Length]:
    folder, limit = model_folder(config), config.max_input_tokens
    if folder is None or not work.requests or not any((folder / name).is_file() for name in TOKENIZER_FILES):
        return
    if config.pytorch.trust_remote_code and "auto_map" in settings_of(folder / "tokenizer_config.json"):
        return  # its own code is not run before the model is loaded
    try:
        tokenizer = load_tokenizer(
            pretrained_model_name_or_path=str(folder), local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # transformers raises whatever its parts raise
        raise_if_exhausted(error)
        raise ConfigError(f"model: {config.model}: its tokenizer cannot be loaded: {first_line(error)}") from error
    embedded = embedded_tokens(skeleton)
    if problem := vocabulary_problem(tokenizer, embedded):
        raise ConfigError(f"model: {config.model}: {problem}")
    with ChatTemplate(tokenizer) as template:
        for request in work.requests:
            ids = token_ids(tokenizer, template, request)[:limit]
            if problem := stray_token_problem(request.index, ids, embedded):
                raise ConfigError(problem)
            yield Length(request.index, len(ids), request.max_output_tokens, is_drawn=False)
