"""The pytorch backend: `generate` of transformers in static batches, with a time for every token."""

import contextlib
import gc
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from llenergymeasure.backends.chat_template import ChatTemplate
from llenergymeasure.backends.kept import Kept
from llenergymeasure.backends.protocol import RunContext
from llenergymeasure.backends.pytorch.clocks import CudaClock, HostClock, StepClock
from llenergymeasure.backends.pytorch.decoder_shape import decoder_shape
from llenergymeasure.backends.pytorch.encoding import stray_token_problem, token_ids
from llenergymeasure.backends.pytorch.folders import hub_commit
from llenergymeasure.backends.pytorch.generation import (
    Encoded,
    generation_config,
    longest_output,
    padded,
    request_records,
    step_marker,
)
from llenergymeasure.backends.pytorch.loading import Loaded, load
from llenergymeasure.backends.pytorch.memory import MB, HostMemory, device_peak_mb, reset_device_peak
from llenergymeasure.backends.pytorch.positions import length_problem, length_remark, positions_of
from llenergymeasure.backends.pytorch.safetensors_files import loaded_files
from llenergymeasure.backends.pytorch.skeleton import embedded_tokens
from llenergymeasure.backends.pytorch.weights import first_line
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.config.paths import local_folder
from llenergymeasure.domain.model import ModelFacts
from llenergymeasure.domain.requests import Batch, Request
from llenergymeasure.errors import BackendError, ConfigError, MemoryExhaustedError


def build(config: ExperimentConfig, context: RunContext) -> "PytorchBackend":
    """Return the backend of one process of a run."""
    return PytorchBackend(
        config,
        context.corpus,
        process_index=context.process_index,
        processes=context.processes,
        kept=context.kept,
    )


@dataclass(frozen=True)
class KeptModel:
    """A model between two runs: see `backends.kept.Keepable`."""

    loaded: Loaded
    facts: ModelFacts

    def problem(self) -> None:
        """Return None: it lies in memory."""

    def close(self) -> None:
        """Do nothing: whoever drops it has dropped the model."""


class PytorchBackend:
    """See `backends.protocol.Backend`. Batches are padded on the left and run one after another.

    `corpus` gives the text that a random model's tokenizer is trained on; `batches` are the prepared requests. Of
    `processes` that share the work this one, `process_index`, takes every so many-th batch.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        corpus: Callable[[], str],
        *,
        process_index: int = 0,
        processes: int = 1,
        kept: Kept | None = None,
    ) -> None:
        self.server = None
        self._first, self._step = process_index, processes
        self._config = config
        self._corpus = corpus
        self._kept = kept
        self._taken = kept.take(KeptModel) if kept is not None else None
        self._loaded: Loaded | None = None
        self._facts: ModelFacts | None = None
        self.batches: list[tuple[Encoded, ...]] = []
        self._outputs: dict[int, list[int]] = {}
        self._host_memory = HostMemory()

    def weight_files(self) -> tuple[Path, ...]:
        """Return the safetensors files that are loaded of a local folder."""
        folder = local_folder(self._config.model)
        return loaded_files(folder) if folder else ()

    def load(self) -> ModelFacts:
        """Load the model, if it is not kept, and return its facts."""
        if self._taken is not None:
            self._loaded, self._facts, self._taken = self._taken.loaded, self._taken.facts, None
            return self._facts
        loaded = self._loaded = load(self._config, self._corpus)
        self._facts = _facts(loaded, hub_commit(self._config), self._config)
        return self._facts

    def prepare(self, requests: Sequence[Request]) -> list[str]:
        """Encode, cut to `max_input_tokens`, and check that the model takes the tokens and the lengths."""
        tokenizer = self.loaded.tokenizer
        with ChatTemplate(tokenizer) as template:
            encoded = [Encoded(request, token_ids(tokenizer, template, request)) for request in requests]
        limit = self._config.max_input_tokens
        cut = [each for each in encoded if limit is not None and len(each.token_ids) > limit]
        encoded = [Encoded(each.request, each.token_ids[:limit]) for each in encoded]
        size = self._config.batch_size
        self.batches = [tuple(encoded[start : start + size]) for start in range(0, len(encoded), size)]
        notes = [f"{len(cut)} prompts were cut to max_input_tokens = {limit}."] if cut else []
        notes += self._check_requests()
        shapes = {(len(batch), max(len(each.token_ids) for each in batch)) for batch in self.batches}
        if self._config.pytorch.torch_compile and len(shapes) > 1:
            notes.append(
                f"Batches have {len(shapes)} different shapes, and torch_compile may compile inside the window for "
                "those that the warm-up has not seen: use synthetic lengths and a num_prompts that batch_size divides."
            )
        return notes

    def warmup(self) -> tuple[float, int]:
        """Run the first batch."""
        batch = self._generate(self._first)
        return batch.end_s - batch.start_s, len(batch.requests)

    def run(self) -> Generator[Batch, None, None]:
        """Run every batch of this process."""
        self._outputs = {}
        for number in range(self._first, len(self.batches), self._step):
            yield self._generate(number)

    def recounted(self, batches: Sequence[Batch]) -> tuple[Sequence[Batch], str | None]:
        """Return the batches: the tokens are those that were generated."""
        return batches, None

    def answers(self) -> dict[int, str]:
        """Return the generated tokens as texts, their blanks as they are."""
        how = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
        try:
            return {index: self.loaded.tokenizer.decode(tokens, **how) for index, tokens in self._outputs.items()}
        except Exception as error:  # a tokenizer raises whatever its parts raise
            raise BackendError(f"the tokenizer cannot read the answers: {first_line(error)}") from error

    def remarks(self) -> list[str]:
        """Return none: batches are as they were prepared."""
        return []

    def synchronize(self) -> None:
        """Wait for the GPU; a CPU has nothing queued."""
        if self.loaded.device != "cpu":
            import torch

            with _device_errors():
                torch.cuda.synchronize(self.loaded.device)

    def reset_peak_memory(self) -> None:
        """Begin to watch the GPU allocator's peak or, on a CPU, the process's resident memory."""
        if self.loaded.device == "cpu":
            self._host_memory.reset()
        else:
            with _device_errors():
                reset_device_peak(self.loaded.device)

    def peak_memory_mb(self) -> float | None:
        """Return the peak since the reset."""
        if self.loaded.device == "cpu":
            return self._host_memory.peak_mb()
        with _device_errors():
            return device_peak_mb(self.loaded.device)

    def keep(self) -> None:
        """Leave the model to the next run; what the allocator holds besides it is given back by `close`."""
        if self._kept is not None and self._facts is not None:
            self._kept.keep(KeptModel(self.loaded, self._facts))

    def close(self) -> None:
        """Drop the model and give its memory back, but for what is kept."""
        self._taken = None
        if self._loaded is None:
            return
        on_gpu, self._loaded = self._loaded.device != "cpu", None
        gc.collect()
        if on_gpu:
            import torch

            with contextlib.suppress(Exception):  # a device that has failed says so again, and hides the first error
                torch.cuda.empty_cache()

    @property
    def loaded(self) -> Loaded:
        """The model on its device.

        Raises:
            BackendError: it is not loaded, or was closed.
        """
        if self._loaded is None:
            raise BackendError("the model is not loaded")
        return self._loaded

    @property
    def _static_length(self) -> int | None:
        """The length of a static cache in tokens: that of the longest batch for all, so that none resizes it."""
        if self._config.pytorch.cache != "static":
            return None
        lengths = (max(len(each.token_ids) for each in batch) + longest_output(batch) for batch in self.batches)
        return max(lengths) - 1  # the last token is never fed back

    def _check_requests(self) -> list[str]:
        """Raise ConfigError if the model does not take the prepared requests; else return a warning for each oddity."""
        model, embedded = self.loaded.model, embedded_tokens(self.loaded.model)
        positions, lengths = positions_of(model), [[each.length for each in batch] for batch in self.batches]
        stray = (
            stray_token_problem(row.request.index, row.token_ids, embedded) for rows in self.batches for row in rows
        )
        too_long = (length_problem(batch, positions) for batch in lengths)
        if problem := next(filter(None, (*stray, *too_long)), None):
            raise ConfigError(problem)
        return [*filter(None, [length_remark(lengths, positions)])]

    def _generate(self, number: int) -> Batch:
        import torch

        batch = self.batches[number]
        clock: StepClock = HostClock() if self.loaded.device == "cpu" else CudaClock()
        torch.manual_seed(self._config.random_seed + number)  # a batch draws the same whatever ran before it
        arguments = {
            **padded(batch, self.loaded),
            "generation_config": generation_config(batch, self._config, self.loaded, self._static_length),
            "stopping_criteria": [step_marker(clock, len(batch), self.loaded.device)],
            **self._config.passthrough_kwargs,
        }
        width = arguments["input_ids"].shape[1]
        start_s = clock.start()
        try:
            with torch.inference_mode():
                sequences = self.loaded.model.generate(**arguments)
            output = sequences[:, width:].tolist()  # on a GPU this waits for the batch
        except torch.OutOfMemoryError as error:
            raise MemoryExhaustedError(
                f"the GPU's memory ran out in batch {number + 1} of {len(self.batches)} at batch_size "
                f"{self._config.batch_size}; lower batch_size, max_input_tokens or max_output_tokens"
            ) from error
        except Exception as error:  # transformers raises whatever its parts raise
            raise BackendError(f"generation failed in batch {number + 1}: {first_line(error)}") from error
        end_s = time.monotonic()
        step_times_s = clock.step_times_s()
        records = request_records(batch, output, start_s, step_times_s, self.loaded.eos_ids)
        if self._config.task is not None:
            kept = zip(records, output, strict=True)
            self._outputs |= {record.index: tokens[: record.output_tokens] for record, tokens in kept}
        return Batch(
            start_s=start_s,
            end_s=end_s,
            requests=records,
            padded_input_tokens=width,
            step_times_s=step_times_s,
            full=len(batch) == self._config.batch_size,
            attended_tokens=self._static_length,
        )


@contextlib.contextmanager
def _device_errors() -> Iterator[None]:
    """Raise what PyTorch raises of a device as a BackendError."""
    try:
        yield
    except Exception as error:
        raise BackendError(f"the GPU failed: {first_line(error)}") from error


def device_uuid(device: str) -> str:
    """Return a GPU's UUID as its driver writes it; one that begins with MIG- is a slice's."""
    import torch

    kind = "MIG" if "MIG-" in os.environ.get("CUDA_VISIBLE_DEVICES", "") else "GPU"
    return f"{kind}-{torch.cuda.get_device_properties(device).uuid}"


def _facts(loaded: Loaded, revision: str | None, config: ExperimentConfig) -> ModelFacts:
    import torch
    import transformers

    shape, unknown = decoder_shape(loaded.model)
    special = set(loaded.tokenizer.all_special_ids)
    parameters = sum(tensor.numel() * tensor.element_size() for tensor in loaded.model.parameters())
    vocabulary = min(len(loaded.tokenizer), embedded_tokens(loaded.model))
    on_gpu = loaded.device != "cpu"
    return ModelFacts(
        device=loaded.device,
        device_name=torch.cuda.get_device_name(loaded.device) if on_gpu else "cpu",
        backend_version=f"transformers {transformers.__version__}, torch {torch.__version__}",
        model_memory_mb=parameters / MB,
        device_uuids=(device_uuid(loaded.device),) if on_gpu else (),
        prompt_tokens=tuple(token for token in range(vocabulary) if token not in special),
        shape=shape,
        shape_unknown=unknown,
        revision=revision,
        remarks=loaded.remarks,
        effective={"device": loaded.device, **_attention_taken(loaded, config)},
    )


def _attention_taken(loaded: Loaded, config: ExperimentConfig) -> dict[str, JsonValue]:
    """Return the pytorch section where it left the attention open, and the model does not have the usual one."""
    if loaded.attention == config.pytorch.attn_implementation:
        return {}
    return {"pytorch": {**config.pytorch.in_effect(), "attn_implementation": loaded.attention}}
