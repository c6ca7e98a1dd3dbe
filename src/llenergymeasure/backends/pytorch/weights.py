"""Checks that a model's weights are the ones on disk: all of them, none besides, in their shapes, and numbers.

transformers loads what it finds: what a file lacks becomes random numbers, and what the model has no place for is left
out, each with a line in a log. How it maps a file's names to a model's is its own to say, so it is asked: what it
reports when it loads, and before that when it loads nothing but the shapes that the files' headers describe.
"""

import contextlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labledger import untrusted_text
from llenergymeasure.backends.limited_process import raise_if_exhausted
from llenergymeasure.backends.pytorch.safetensors_files import (
    FLOATS,
    StoredTensor,
    index_problems,
    loaded_files,
    named,
    stored_tensors,
    tensors,
)
from llenergymeasure.backends.pytorch.skeleton import saved_config
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.errors import BackendError

ALLOW = "pytorch: {allow_missing_weights: true}"
CHUNK = 1 << 28  # elements, fewer than a 32-bit index counts
COMPUTED = re.compile(r"(^|\.)(inv_freq|original_inv_freq|position_ids|(attn|attention)\.(bias|masked_bias))$")
"""Tensors that older files hold and a model computes for itself: positions, rotary frequencies, causal masks."""

NOT_CONVERTED = (
    "its files do not hold all that config.json describes: some tensors could not be put together (of a mixture of "
    "experts, one of an expert is missing); fetch it again"
)


@dataclass(frozen=True)
class Misfit:
    """Names of tensors that a model has and its files lack, that they hold and it lacks, and that differ in shape."""

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()


def misfit(model: Any, report: dict[str, Any], folder: Path | None) -> Misfit:
    """Judge how the files in `folder` fit `model`, by the report of transformers on loading (`output_loading_info`).

    Tied weights, and what the architecture says it can do without, are not in that report.
    """
    left_out = _left_out_rightly(model, saved_config(folder) if folder else {})
    unexpected = [name for name in report["unexpected_keys"] if not left_out(name)]
    mismatched = [f"{name} {list(stored)}, not {list(own)}" for name, stored, own in report["mismatched_keys"]]
    return Misfit(tuple(report["missing_keys"]), tuple(unexpected), tuple(mismatched))


def problems_of(misfit: Misfit, *, allowed: bool, described_in: str = "config.json") -> Iterator[str]:
    """A line for each way in which the files do not fit; of those that `allow_missing_weights` allows, none.

    `described_in` names the file that says what they should hold.
    """
    if misfit.mismatched:
        yield (
            f"its files hold {tensors(misfit.mismatched)} in another shape than config.json describes "
            f"({named(misfit.mismatched)}); take the config.json that the weights were saved with"
        )
    if misfit.missing and not allowed:
        yield (
            f"its files lack {tensors(misfit.missing)} of the model ({named(misfit.missing)}), and random numbers "
            f"would take their place; fetch it again or correct {described_in}, or set {ALLOW} if that is meant"
        )
    if misfit.unexpected and not allowed:
        yield (
            f"its files hold {tensors(misfit.unexpected)} that the model has no place for "
            f"({named(misfit.unexpected)}), to be left out; fetch it again or correct config.json, or set {ALLOW} if "
            "that is meant"
        )


def remarks_on(misfit: Misfit, source: str) -> Iterator[str]:
    """A warning for each way in which the files do not fit, where that is allowed."""
    if misfit.missing:
        yield (
            f"The files of {source} lack {tensors(misfit.missing)} of the model ({named(misfit.missing)}): random "
            "numbers took their place, as allow_missing_weights asks."
        )
    if misfit.unexpected:
        yield (
            f"The files of {source} hold {tensors(misfit.unexpected)} that the model has no place for "
            f"({named(misfit.unexpected)}): they were left out, as allow_missing_weights asks."
        )


def header_problems(config: ExperimentConfig, folder: Path, skeleton: Any | None) -> Iterator[str]:
    """Yield the problems that the headers of a model's files show against its config.json; no weight is read.

    `skeleton` is the model without its weights; None of one with code of its own: loading it shows most of them.
    """
    stored = _stored(folder)
    if problems := [*index_problems(folder), *_storage_problems(stored, skeleton)]:
        yield from problems
    elif skeleton is not None and stored:
        yield from _shape_problems(config, skeleton, stored, folder)


def check_weights(model: Any, report: dict[str, Any], config: ExperimentConfig, folder: Path | None) -> tuple[str, ...]:
    """Raise if a loaded model is not the one on disk, in `folder`; else return remarks for the result.

    Raises:
        BackendError: every reason, a line each.
    """
    found = misfit(model, report, folder)
    problems = [*index_problems(folder), *_storage_problems(_stored(folder), model)] if folder else []
    problems += problems_of(found, allowed=config.pytorch.allow_missing_weights)
    if problems:
        raise BackendError("\n".join(f"model: {config.model}: {problem}" for problem in problems))
    return tuple(remarks_on(found, config.model))


def check_numbers(model: Any, config: ExperimentConfig) -> None:
    """Raise if a weight, or a buffer that is saved with them, is NaN or infinite.

    Each is read once, on its device, and none is copied.

    Raises:
        BackendError: with the tensors' names.
    """
    import torch

    saved = model.state_dict().keys()  # of the buffers those that come from a file
    held = [*model.named_parameters(), *((name, each) for name, each in model.named_buffers() if name in saved)]
    weights = {name: each for name, each in held if each.is_floating_point() and each.numel()}
    with torch.inference_mode():
        extremes = [_largest(each) for each in weights.values()]
        largest = torch.stack(extremes).tolist() if extremes else []  # a GPU is waited for once
    if undefined := [name for name, value in zip(weights, largest, strict=True) if math.isnan(value)]:
        raise BackendError(
            f"model: {config.model}: NaN in {tensors(undefined)} ({named(undefined)}): the weights are damaged; fetch "
            "them again"
        )
    if infinite := [name for name, value in zip(weights, largest, strict=True) if math.isinf(value)]:
        first = "set precision: bf16, or " if config.precision == "fp16" else ""
        raise BackendError(
            f"model: {config.model}: infinity in {tensors(infinite)} in {config.precision} ({named(infinite)}); "
            f"{first}fetch them again"
        )


def _largest(weights: Any) -> Any:
    """The largest absolute value, in a tensor of one element; NaN where one is NaN."""
    import torch

    parts = [torch.stack(torch.aminmax(part)) for part in weights.reshape(-1).split(CHUNK)]
    return torch.cat(parts).float().abs().amax()


def _stored(folder: Path) -> dict[str, StoredTensor]:
    """The tensors of a model's files; none where a file cannot be read, as of a hub model that is not all here."""
    stored: dict[str, StoredTensor] = {}
    for file in loaded_files(folder):
        held = stored_tensors(file)
        if held is None:
            return {}
        stored |= held
    return stored


def _storage_problems(stored: Mapping[str, StoredTensor], model: Any) -> Iterator[str]:
    """A line if weights are stored as numbers that transformers would convert without their scales.

    Names in files and in `model` (None if it is not built) differ in their front parts, so the last part is compared.
    """
    floating, whole = {"weight", "bias"}, set[str]()
    for name, each in model.state_dict().items() if model is not None else ():
        (floating if each.is_floating_point() else whole).add(name.rpartition(".")[2])
    low = [
        name
        for name, each in stored.items()
        if each.dtype not in FLOATS and name.rpartition(".")[2] in floating - whole and not COMPUTED.search(name)
    ]
    if low:
        yield (
            f"its files store {tensors(low)} as {stored[min(low)].dtype} ({named(low)}): quantised weights; this "
            "version runs fp32, fp16 and bf16"
        )


def _shape_problems(
    config: ExperimentConfig, skeleton: Any, stored: Mapping[str, StoredTensor], folder: Path
) -> Iterator[str]:
    """Yield the misfits of tensors of these names and shapes: transformers loads them on the meta device."""
    import torch

    try:
        with _transformers_silent():
            model, report = type(skeleton).from_pretrained(
                None,
                config=skeleton.config,
                state_dict={name: torch.empty(each.shape, device="meta") for name, each in stored.items()},
                device_map={"": "meta"},
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except Exception as error:  # transformers raises whatever its parts raise
        raise_if_exhausted(error)
        if is_conversion_error(error):
            yield NOT_CONVERTED
        return
    yield from problems_of(misfit(model, report, folder), allowed=config.pytorch.allow_missing_weights)


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """Suppress the progress bars of transformers and the hub: the progress that is shown is the run's own."""
    from transformers.utils import logging

    shows_progress = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shows_progress:
            logging.enable_progress_bar()


@contextlib.contextmanager
def _transformers_silent() -> Iterator[None]:
    """Suppress the progress bar and the table of tensors for a model that is not loaded."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        with without_bars():
            yield
    finally:
        logging.set_verbosity(level)


def is_conversion_error(error: Exception) -> bool:
    """Return True if transformers could not make a model's tensors of those that it has; it logs which."""
    return isinstance(error, RuntimeError) and "CONVERSION" in str(error)


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of its message, see `untrusted_text.first_line`."""
    words = untrusted_text.first_line(error)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _left_out_rightly(model: Any, saved: Mapping[str, Any]) -> Callable[[str], bool]:
    """A test of a name that has no place in the model: whether the model computes it, or is made without its part.

    Of a model of text and images, whose config.json is `saved`, transformers may build the text part alone.
    """
    prefix = f"{model.base_model_prefix}."
    computed = {name.removeprefix(prefix) for name, _ in model.named_buffers()}
    base = getattr(model, model.base_model_prefix, model)
    parts = {"model", "language_model", "text_model", *dict(model.named_children()), *dict(base.named_children())}
    of_text_alone = "text_config" in saved and not hasattr(model.config, "text_config")

    def left_out(name: str) -> bool:
        if COMPUTED.search(name) or name.removeprefix(prefix) in computed:
            return True
        return of_text_alone and name.partition(".")[0] not in parts

    return left_out
