"""The positions of a model: how long a sequence can be, and how long those were that it was made for.

Learned positions, and others that a model keeps in a table, end with the table. Rotary ones are computed, as are the
distances of ALiBi, and a recurrent model counts none: these go on, beyond what the model has learned.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

DECLARED = ("max_position_embeddings", "max_target_positions", "max_seq_len")
TABLES = frozenset({"wpe", "embed_positions", "position_embeddings", "positions_embed", "pos_encoding"})
"""The names of tables of positions, of modules or of tensors."""
ALIBI_TABLES = frozenset({"mpt"})
"""Models that make their table of distances for so many positions, and no more."""


class Positions(NamedTuple):
    """The most tokens that a model computes in one sequence, and those it was made for; None where there is no such
    number."""

    most: int | None = None
    made_for: int | None = None


class Length(NamedTuple):
    """The tokens of a request, its number from 0; `is_drawn`: its prompt is made to a length that was asked for."""

    number: int
    input_tokens: int
    output_tokens: int
    is_drawn: bool


def positions_of(model: Any) -> Positions:
    """Return the positions of a model, loaded or a skeleton."""
    declared = _declared(model.config)
    if declared is None:
        return Positions()
    ends = (
        rows - aside for rows, aside in map(_rows, _tables(model)) if rows in (declared, declared + aside)
    )  # a vision tower's table has other rows
    least = min(ends, default=None)
    if least is None and model.config.model_type in ALIBI_TABLES:
        least = declared
    return Positions(most=least, made_for=declared)


def length_problem(batch: Sequence[Length], positions: Positions) -> str | None:
    """Return why a batch exceeds the model's positions, by the first request that does; None if none does.

    Every row is computed until the batch's longest output is done. The last token is never fed back.
    """
    longest = max(each.output_tokens for each in batch)
    for each in batch:
        wanted = each.input_tokens + longest - 1
        if positions.most is not None and wanted > positions.most:
            own = each.output_tokens == longest
            return (
                f"prompt {each.number + 1} has {each.input_tokens} tokens, and takes {wanted} positions with "
                f"{'its output' if own else 'the longest output of its batch'} of {longest}; the model has "
                f"{positions.most}: {_advice(each, positions.most - longest + 1)}"
            )
    return None


def length_remark(batches: Iterable[Sequence[Length]], positions: Positions) -> str | None:
    """Return a warning that sequences are longer than the model was made for; None where none is."""
    lengths = (max(each.input_tokens for each in rows) + max(each.output_tokens for each in rows) for rows in batches)
    longest = max(lengths, default=0)
    if positions.made_for is None or longest - 1 <= positions.made_for:
        return None
    return (
        f"Sequences have up to {longest} tokens, and the model was made for {positions.made_for}: it computes on "
        "beyond that, and what it answers there means little."
    )


def _advice(length: Length, room: int) -> str:
    if length.is_drawn:
        return "ask for a shorter input_len or output_len"
    return f"set max_input_tokens to {room} or less" if room > 0 else "lower max_output_tokens"


def _declared(config: Any) -> int | None:
    text = config.get_text_config(decoder=True)
    numbers = (getattr(text, name, None) for name in DECLARED)
    return next((number for number in numbers if isinstance(number, int) and number > 0), None)


def _tables(model: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each table of positions, with the module that holds it."""
    for name, module in model.named_modules():
        if hasattr(module, "make_weights"):  # it grows
            continue
        for own, tensor in chain(module.named_parameters(recurse=False), module.named_buffers(recurse=False)):
            if tensor.dim() == 2 and not TABLES.isdisjoint((name.rpartition(".")[2], own)):
                yield module, tensor


def _rows(table: tuple[Any, Any]) -> tuple[int, int]:
    """Return the rows of a table, and how many of them no position takes."""
    module, tensor = table
    padding = getattr(module, "padding_idx", None)
    return int(tensor.shape[0]), getattr(module, "offset", 0) if padding is None else padding + 1
