"""A lower bound on a model's memory, compared with its device's before it is loaded.

What is counted cannot be less: the weights in the precision that was asked for, tables that the model makes for itself,
and the keys and values of the largest batch. Activations, the allocator's reserve and a batch whose lengths are not
known yet come on top. So a run that is refused could not have fitted, and one that is not may still run out.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labledger.nvml import load_nvml
from llenergymeasure.backends.pytorch.decoder_shape import COUNTED_ARCHITECTURES
from llenergymeasure.backends.pytorch.loading import choose_device
from llenergymeasure.backends.pytorch.random_llama import weight_count
from llenergymeasure.backends.pytorch.safetensors_files import FLOATS, loaded_files, stored_tensors
from llenergymeasure.backends.pytorch.skeleton import build_skeleton, saved_config
from llenergymeasure.config.datasets import SyntheticDataset
from llenergymeasure.config.models import RANDOM_LLAMA, ExperimentConfig, RandomModelConfig
from llenergymeasure.config.paths import local_folder
from llenergymeasure.domain.requests import BatchSize

GB = 1e9
SHOWN_BYTES = GB / 20  # less would be shown as 0.0 GB
BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}


@dataclass(frozen=True)
class Room:
    """A device's free memory in bytes, and what people call it."""

    name: str
    free: float


@dataclass(frozen=True)
class Need:
    """The numbers that the model is made of, and those that a token leaves in the key-value cache."""

    weights: int
    cached_per_token: int

    def bytes(self, size: int, tokens: int) -> int:
        """With numbers of `size` bytes and `tokens` in the cache."""
        return (self.weights + self.cached_per_token * tokens) * size


def memory_problems(
    config: ExperimentConfig, batch: BatchSize, board_uuids: Sequence[str], buffer_bytes: int = 0
) -> Iterator[str]:
    """Yield a line if weights and key-value cache alone, for `batch`, exceed the device's free memory.

    `board_uuids` are the GPUs that this process may see. `buffer_bytes` are those of tables that the model makes for
    itself, and count with its weights. No line where anything is unknown.
    """
    size, cached = BYTES[config.precision], batch.rows * (batch.tokens - 1)  # the last token is never fed back
    need = _from_files(config)
    if need is None or need.bytes(size, cached) + buffer_bytes <= _least_room(config, board_uuids):
        return
    room = _gpu_room(board_uuids) if choose_device(config.device) != "cpu" else _cpu_room()
    exact = need if config.model == RANDOM_LLAMA else _from_skeleton(config, need)
    if room is None or exact is None or exact.bytes(size, cached) + buffer_bytes <= room.free:
        return
    weights, total = exact.weights * size + buffer_bytes, exact.bytes(size, cached) + buffer_bytes
    has_cache = total - weights >= SHOWN_BYTES  # of texts, whose lengths are not known yet, it may be next to nothing
    tokens = f"{batch.tokens} tokens{'' if isinstance(config.dataset, SyntheticDataset) else ' or more'}"
    cache = f", KV cache {(total - weights) / GB:.1f} at batch_size {batch.rows} x {tokens}"
    yield (
        f"model: {config.model} needs at least {total / GB:.1f} GB in {config.precision} (weights {weights / GB:.1f}"
        f"{cache if has_cache else ''}), and {room.name} has {room.free / GB:.1f} GB free: "
        f"{_advice(config, weights > room.free or not has_cache)}"
    )


def _advice(config: ExperimentConfig, weights_alone: bool) -> str:
    smaller = "choose a smaller precision or a smaller model" if config.precision == "fp32" else "take a smaller model"
    return smaller if weights_alone else f"lower batch_size, ask for shorter lengths, or {smaller}"


def _least_room(config: ExperimentConfig, board_uuids: Sequence[str]) -> float:
    """Return the least bytes that the run may have; torch, which takes seconds to import, is asked only below it."""
    gpu = _gpu_room(board_uuids) if config.device != "cpu" else None
    cpu = _cpu_room() if config.device != "cuda" else None
    return min((room.free for room in (gpu, cpu) if room is not None), default=math.inf)


def _gpu_room(uuids: Sequence[str]) -> Room | None:
    """Return the GPU with the most free memory: which of several the run takes is up to CUDA."""
    nvml = load_nvml()
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    try:
        free = [float(nvml.nvmlDeviceGetMemoryInfo(nvml.nvmlDeviceGetHandleByUUID(uuid)).free) for uuid in uuids]
    except nvml.NVMLError:
        return None
    finally:
        nvml.nvmlShutdown()
    return Room("the GPU" if len(free) == 1 else "the emptiest GPU", max(free)) if free else None


def _cpu_room() -> Room:
    import psutil

    return Room("this machine", float(psutil.virtual_memory().available + psutil.swap_memory().free))


def _from_files(config: ExperimentConfig) -> Need | None:
    """Return the need of a random model, or of the files of a local folder; None where there are none.

    They may hold more than is loaded, and config.json may leave out what has a default.
    """
    if config.model == RANDOM_LLAMA:
        shape = config.random_model or RandomModelConfig()
        return Need(weight_count(shape), _cached_per_token({"model_type": "llama", **shape.model_dump()}))
    folder = local_folder(config.model)
    counts = [_floats_in(file) for file in loaded_files(folder)] if folder else []
    if folder is None or not counts or None in counts:
        return None
    return Need(sum(count or 0 for count in counts), _cached_per_token(saved_config(folder)))


def _from_skeleton(config: ExperimentConfig, files: Need) -> Need | None:
    """Return the need of what the model takes of its files: some hold more, a vision tower or layers that are not used.

    None where transformers does not build it, or not without running code of its own.
    """
    try:
        skeleton = build_skeleton(config.model, config.pytorch.revision)
    except Exception:  # transformers raises whatever its parts raise
        return None
    weights = sum(tensor.numel() for tensor in skeleton.parameters())
    return Need(min(weights, files.weights), _cached_per_token(skeleton.config.to_dict()))


def _floats_in(path: Path) -> int | None:
    """Return how many floating-point numbers the header of a safetensors file describes."""
    tensors = stored_tensors(path)
    if tensors is None:
        return None
    return sum(math.prod(tensor.shape) for tensor in tensors.values() if tensor.dtype in FLOATS)


def _cached_per_token(shape: Mapping[str, Any]) -> int:
    """0 where the architecture is not known, or a layer may keep less than every token's keys and values."""
    if shape.get("model_type") not in COUNTED_ARCHITECTURES or shape.get("sliding_window") or "kv_lora_rank" in shape:
        return 0
    try:
        heads = shape["num_attention_heads"]
        head_size = shape.get("head_dim") or shape["hidden_size"] // heads
        return int(2 * shape["num_hidden_layers"] * (shape.get("num_key_value_heads") or heads) * head_size)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):  # GPT-2's config has other names
        return 0
