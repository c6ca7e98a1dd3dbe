"""Floating-point operations of a decoder, counted from what it computed.

For one forward pass of B rows, S new positions each, over a past of P positions, a multiplication and an
addition counting as two:

    2 * N * B * S                     the linear layers, N their weights (embeddings and norms are none); of a
                                      mixture of experts the router's and those of a token's own experts
    4 * L * B * A * S * (P + S)       attention scores and values in L layers of width A = heads * head size
    2 * E * B * (P + S)               cached latents made keys and values, E the weights that do it, where there are any
    2 * V * B                         the output head, V its weights, on the last position alone

Padding is computed, so it is counted. With a static cache a pass attends to its whole length. A layer with a window
computes the whole prefill, whose far part is masked, and keeps no more than its window after that. Attention is counted
in full, as an eager kernel executes it and torch's counter has it; a flash kernel skips what causality masks. Compare
Kaplan et al. (2020), section 2.1, for the same terms.
"""

from collections.abc import Iterable, Sequence

from llenergymeasure.domain.model import DecoderShape
from llenergymeasure.domain.requests import Batch

FLOPS_METHOD = "analytic, executed operations, padding included"
FLOPS_METHOD_SERVED = "analytic, of each request alone: without a prefix cache, speculation, and padding"
FLOPS_CONFIDENCE = "within 0.1 % of torch.utils.flop_counter for this architecture"


def passes_flops(shape: DecoderShape, rows: int, new: int, attended: Sequence[int]) -> float:
    """Operations of a forward pass for each of `attended`, to so many positions, of `rows` sequences, `new` positions
    each."""
    passes, positions = len(attended), sum(attended)
    linear = 2 * shape.matmul_parameters * rows * new * passes
    whole = shape.layers * positions
    if shape.attention_window is not None and new == 1:
        whole -= shape.windowed_layers * sum(max(each - shape.attention_window, 0) for each in attended)
    attention = 4 * rows * shape.attention_width * new * whole
    expansion = 2 * shape.expanding_parameters * rows * positions
    head = 2 * shape.head_parameters * rows * passes
    return float(linear + attention + expansion + head)


def batch_flops(shape: DecoderShape, batch: Batch, start_s: float, end_s: float) -> float:
    """Operations of the forward passes of `batch` that ended within the window."""
    rows, prompt, fixed = len(batch.requests), batch.padded_input_tokens or 0, batch.attended_tokens
    steps = [step for step, moment_s in enumerate(batch.step_times_s) if start_s <= moment_s <= end_s]
    prefill = [fixed or prompt] if steps and steps[0] == 0 else []
    decodes = [fixed or prompt + step for step in steps[len(prefill) :]]
    return passes_flops(shape, rows, prompt, prefill) + passes_flops(shape, rows, 1, decodes)


def total_flops(shape: DecoderShape | None, batches: Iterable[Batch], start_s: float, end_s: float) -> float | None:
    """Operations of all forward passes within the window; None where the shape or a length cannot be counted."""
    if shape is None:
        return None
    total = 0.0
    for batch in batches:
        length = batch.attended_tokens  # what a static cache keeps of a windowed layer is not counted
        if length is not None and shape.attention_window is not None and length > shape.attention_window:
            return None
        if batch.padded_input_tokens is None:
            return None
        total += batch_flops(shape, batch, start_s, end_s)
    return total
