"""One batch through `generate`: what goes in, and the records that come out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llenergymeasure.backends.pytorch.clocks import StepClock
from llenergymeasure.backends.pytorch.loading import Loaded
from llenergymeasure.backends.pytorch.positions import Length
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.domain.requests import Request, RequestRecord
from llenergymeasure.errors import BackendError


@dataclass(frozen=True)
class Encoded:
    """A request as the model takes it."""

    request: Request
    token_ids: tuple[int, ...]

    @property
    def length(self) -> Length:
        """Its length."""
        number, output = self.request.index, self.request.max_output_tokens
        return Length(number, len(self.token_ids), output, is_drawn=self.request.token_ids is not None)


def padded(batch: Sequence[Encoded], loaded: Loaded) -> dict[str, Any]:
    """Return `input_ids` and `attention_mask`, (batch, longest prompt) int64 on the device, padded on the left."""
    import torch

    width = max(len(each.token_ids) for each in batch)
    gaps = [width - len(each.token_ids) for each in batch]
    ids = [[loaded.pad_id] * gap + list(each.token_ids) for gap, each in zip(gaps, batch, strict=True)]
    mask = [[0] * gap + [1] * (width - gap) for gap in gaps]
    return {
        "input_ids": torch.tensor(ids, device=loaded.device),
        "attention_mask": torch.tensor(mask, device=loaded.device),
    }


def longest_output(batch: Sequence[Encoded]) -> int:
    """Return the tokens that a batch generates: a static batch computes every row until the last one is done."""
    return max(each.request.max_output_tokens for each in batch)


def generation_config(
    batch: Sequence[Encoded], config: ExperimentConfig, loaded: Loaded, static_length: int | None
) -> Any:
    """Return transformers' settings for a batch, whose requests end at an end-of-sequence token all or none.

    Nothing that matters is inherited.
    """
    from transformers import GenerationConfig

    decoder = config.decoder
    sampling = {
        "temperature": decoder.temperature,
        "top_k": decoder.top_k,
        "top_p": decoder.top_p,
        "min_p": decoder.min_p or None,
    }
    return GenerationConfig(
        max_new_tokens=longest_output(batch),
        do_sample=decoder.do_sample,
        **(sampling if decoder.do_sample else {}),
        repetition_penalty=decoder.repetition_penalty,
        eos_token_id=None if batch[0].request.ignore_eos else list(loaded.eos_ids) or None,
        pad_token_id=loaded.pad_id,
        use_cache=True,
        cache_implementation="static" if static_length else None,
        max_cache_len=static_length,
        disable_compile=True,  # torch_compile says whether anything is compiled
    )


def step_marker(clock: StepClock, rows: int, device: str) -> Any:
    """Return a stopping criterion that stops nothing: `generate` calls it once for each token."""
    import torch
    from transformers import StoppingCriteria

    go_on = torch.zeros(rows, dtype=torch.bool, device=device)

    class StepMarker(StoppingCriteria):  # type: ignore[misc]
        def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
            clock.step()
            return go_on

    return StepMarker()


def request_records(
    batch: Sequence[Encoded],
    output: Sequence[Sequence[int]],
    start_s: float,
    step_times_s: tuple[float, ...],
    eos_ids: Sequence[int],
) -> tuple[RequestRecord, ...]:
    """Return a record for each request: its tokens up to its end or its own limit, each with its step's time.

    What a row computes after that, while others of its batch go on, is in the batch's steps and in no token count.

    Raises:
        BackendError: there were not as many steps as tokens (speculative decoding), so times are unknown.
    """
    # transformers may take one more step, whose token it drops, before it sees that every sequence has ended.
    if any(not 0 <= len(step_times_s) - len(tokens) <= 1 for tokens in output):
        raise BackendError(
            f"{len(output[0])} tokens came in {len(step_times_s)} steps: decoding of several tokens per step cannot be "
            "timed; remove what turns it on from passthrough_kwargs"
        )
    records = []
    for each, tokens in zip(batch, output, strict=True):
        ends = () if each.request.ignore_eos else eos_ids
        own = tokens[: each.request.max_output_tokens]
        stopped_at = next((place for place, token in enumerate(own, start=1) if token in ends), None)
        count = stopped_at or len(own)
        records.append(
            RequestRecord(
                index=each.request.index,
                input_tokens=len(each.token_ids),
                output_tokens=count,
                start_s=start_s,
                token_times_s=step_times_s[:count],
                finish_reason="stop" if stopped_at else "length",
            )
        )
    return tuple(records)
