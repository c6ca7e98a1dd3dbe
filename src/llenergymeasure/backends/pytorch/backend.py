"""The pytorch backend: `generate` of transformers in static batches, with a time for every token."""

import gc
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llenergymeasure.backends.pytorch.clocks import CudaClock, HostClock, StepClock
from llenergymeasure.backends.pytorch.counting import decoder_shape
from llenergymeasure.backends.pytorch.loading import Loaded, first_line, load
from llenergymeasure.backends.pytorch.memory import HostMemory, device_peak_mb, reset_device_peak
from llenergymeasure.backends.pytorch.sources import local_folder, weight_files
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.domain.model import ModelFacts
from llenergymeasure.domain.requests import Batch, Request, RequestRecord
from llenergymeasure.errors import BackendError, ConfigError

MB = 1e6


@dataclass(frozen=True)
class _Encoded:
    """A request as the model takes it."""

    request: Request
    token_ids: tuple[int, ...]


class PytorchBackend:
    """See `backends.protocol.Backend`. Batches are padded on the left and run one after another.

    `corpus` gives the text that a random model's tokenizer is trained on.
    """

    def __init__(self, config: ExperimentConfig, corpus: Callable[[], str]) -> None:
        self._config = config
        self._corpus = corpus
        self._loaded: Loaded | None = None
        self._batches: list[tuple[_Encoded, ...]] = []
        self._host_memory = HostMemory()

    def weight_files(self) -> tuple[Path, ...]:
        """A local folder's safetensors files."""
        folder = local_folder(self._config.model)
        return weight_files(folder) if folder else ()

    def load(self) -> ModelFacts:
        """Load the model and tell what it is."""
        loaded = self._loaded = load(self._config, self._corpus)
        return _facts(loaded)

    def prepare(self, requests: Sequence[Request]) -> list[str]:
        """Encode, cut to `max_input_tokens`, and check the lengths against the model's positions."""
        encoded = [_Encoded(request, self._token_ids(request)) for request in requests]
        limit = self._config.max_input_tokens
        cut = [each for each in encoded if limit is not None and len(each.token_ids) > limit]
        encoded = [_Encoded(each.request, each.token_ids[:limit]) for each in encoded]
        self._check_lengths(encoded)
        size = self._config.batch_size
        self._batches = [tuple(encoded[start : start + size]) for start in range(0, len(encoded), size)]
        return [f"{len(cut)} prompts were cut to max_input_tokens = {limit}."] if cut else []

    def warmup(self) -> tuple[float, int]:
        """Run the first batch."""
        batch = self._generate(0)
        return batch.end_s - batch.start_s, len(batch.requests)

    def run(self) -> Iterator[Batch]:
        """Run every batch."""
        for number in range(len(self._batches)):
            yield self._generate(number)

    def synchronize(self) -> None:
        """Wait for the GPU; a CPU has nothing queued."""
        if self._ready.device != "cpu":
            import torch

            torch.cuda.synchronize(self._ready.device)

    def reset_peak_memory(self) -> None:
        """On a GPU the allocator's own peak, on a CPU the process's resident memory."""
        if self._ready.device == "cpu":
            self._host_memory.reset()
        else:
            reset_device_peak(self._ready.device)

    def peak_memory_mb(self) -> float | None:
        """The peak since the reset."""
        return self._host_memory.peak_mb() if self._ready.device == "cpu" else device_peak_mb(self._ready.device)

    def close(self) -> None:
        """Drop the model and give its memory back."""
        if self._loaded is None:
            return
        on_gpu, self._loaded, self._batches = self._loaded.device != "cpu", None, []
        gc.collect()
        if on_gpu:
            import torch

            torch.cuda.empty_cache()

    @property
    def _ready(self) -> Loaded:
        if self._loaded is None:
            raise BackendError("the model is not loaded")
        return self._loaded

    @property
    def _static_cache(self) -> bool:
        return self._config.pytorch.cache == "static"

    def _token_ids(self, request: Request) -> tuple[int, ...]:
        if request.token_ids is not None:
            return request.token_ids
        token_ids = tuple(self._ready.tokenizer(request.prompt)["input_ids"])
        if not token_ids:
            raise ConfigError(f"prompt {request.index + 1} has no tokens in this model's vocabulary; remove it")
        return token_ids

    def _check_lengths(self, encoded: Sequence[_Encoded]) -> None:
        positions = getattr(self._ready.model.config, "max_position_embeddings", None)
        if positions is None:
            return
        for each in encoded:
            wanted = len(each.token_ids) + each.request.max_output_tokens
            if wanted > positions:
                room = positions - each.request.max_output_tokens
                advice = f"set max_input_tokens to {room} or less" if room > 0 else "generate fewer"
                raise ConfigError(
                    f"prompt {each.request.index + 1} has {len(each.token_ids)} tokens, and {wanted} with its output; "
                    f"the model has {positions} positions: {advice}"
                )

    def _generate(self, number: int) -> Batch:
        import torch

        batch = self._batches[number]
        clock: StepClock = HostClock() if self._ready.device == "cpu" else CudaClock()
        torch.manual_seed(self._config.random_seed + number)  # a batch draws the same whatever ran before it
        input_ids, mask = self._padded(batch)
        arguments = {
            "input_ids": input_ids,
            "attention_mask": mask,
            "generation_config": self._generation_config(batch),
            "stopping_criteria": [_step_marker(clock, len(batch), self._ready.device)],
            **self._config.passthrough_kwargs,
        }
        start_s = clock.start()
        try:
            with torch.inference_mode():
                sequences = self._ready.model.generate(**arguments)
            output = sequences[:, input_ids.shape[1] :].tolist()  # on a GPU this waits for the batch
        except torch.OutOfMemoryError as error:
            raise BackendError(
                f"the GPU's memory ran out in batch {number + 1} of {len(self._batches)} at batch_size "
                f"{self._config.batch_size}; lower batch_size, max_input_tokens or max_output_tokens"
            ) from error
        except Exception as error:  # transformers raises whatever its parts raise
            raise BackendError(f"generation failed in batch {number + 1}: {first_line(error)}") from error
        end_s = time.monotonic()
        return self._finished(batch, output, start_s, end_s, clock.step_times_s(), input_ids.shape[1])

    def _padded(self, batch: Sequence[_Encoded]) -> tuple[Any, Any]:
        """Token ids and attention mask, (batch, longest prompt) int64 on the device, padded on the left."""
        import torch

        width = max(len(each.token_ids) for each in batch)
        ids = [[self._ready.pad_id] * (width - len(each.token_ids)) + list(each.token_ids) for each in batch]
        mask = [[0] * (width - len(each.token_ids)) + [1] * len(each.token_ids) for each in batch]
        return torch.tensor(ids, device=self._ready.device), torch.tensor(mask, device=self._ready.device)

    def _generation_config(self, batch: Sequence[_Encoded]) -> Any:
        from transformers import GenerationConfig

        decoder, first = self._config.decoder, batch[0].request
        sampling = {
            "temperature": decoder.temperature if decoder.temperature is not None else 1.0,
            "top_k": decoder.top_k if decoder.top_k is not None else 0,
            "top_p": decoder.top_p if decoder.top_p is not None else 1.0,
            "min_p": decoder.min_p,
        }
        return GenerationConfig(
            max_new_tokens=first.max_output_tokens,
            do_sample=decoder.do_sample,
            **(sampling if decoder.do_sample else {}),
            repetition_penalty=decoder.repetition_penalty,
            eos_token_id=None if first.ignore_eos else list(self._ready.eos_ids) or None,
            pad_token_id=self._ready.pad_id,
            use_cache=True,
            cache_implementation="static" if self._static_cache else None,
            disable_compile=True,  # torch_compile says whether anything is compiled
        )

    def _finished(
        self,
        batch: Sequence[_Encoded],
        output: list[list[int]],
        start_s: float,
        end_s: float,
        step_times_s: tuple[float, ...],
        width: int,
    ) -> Batch:
        records = []
        for each, tokens in zip(batch, output, strict=True):
            eos_ids = () if each.request.ignore_eos else self._ready.eos_ids
            count = next((place for place, token in enumerate(tokens, start=1) if token in eos_ids), None)
            records.append(
                RequestRecord(
                    index=each.request.index,
                    input_tokens=len(each.token_ids),
                    output_tokens=count or len(tokens),
                    start_s=start_s,
                    token_times_s=tuple(itertools.islice(step_times_s, count or len(tokens))),
                    finish_reason="stop" if count else "length",
                )
            )
        return Batch(
            start_s=start_s,
            end_s=end_s,
            requests=tuple(records),
            padded_input_tokens=width,
            step_times_s=step_times_s,
            full=len(batch) == self._config.batch_size,
            attended_tokens=width + batch[0].request.max_output_tokens if self._static_cache else None,
        )


def _step_marker(clock: StepClock, rows: int, device: str) -> Any:
    """A stopping criterion that stops nothing: `generate` calls it once for each token."""
    import torch
    from transformers import StoppingCriteria

    go_on = torch.zeros(rows, dtype=torch.bool, device=device)

    class StepMarker(StoppingCriteria):  # type: ignore[misc]
        def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
            clock.step()
            return go_on

    return StepMarker()


def _facts(loaded: Loaded) -> ModelFacts:
    import torch
    import transformers

    shape, unknown = decoder_shape(loaded.model)
    special = set(loaded.tokenizer.all_special_ids)
    parameters = sum(tensor.numel() * tensor.element_size() for tensor in loaded.model.parameters())
    on_gpu = loaded.device != "cpu"
    return ModelFacts(
        device=loaded.device,
        device_name=torch.cuda.get_device_name(loaded.device) if on_gpu else "cpu",
        backend_version=f"transformers {transformers.__version__}, torch {torch.__version__}",
        model_memory_mb=parameters / MB,
        max_positions=getattr(loaded.model.config, "max_position_embeddings", None),
        prompt_tokens=tuple(token for token in range(len(loaded.tokenizer)) if token not in special),
        shape=shape,
        shape_unknown=unknown,
        revision=getattr(loaded.model.config, "_commit_hash", None),
        effective={"device": loaded.device},
    )
