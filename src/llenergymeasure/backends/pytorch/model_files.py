"""Files of models and adapters, which others have written: JSON, and what is no file at all."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from labledger.json_text import load_json
from labledger.regular_files import A_REGULAR_FILE, kind_of, read_regular

LOADED = {".json", ".jinja", ".model", ".safetensors", ".txt"}
"""The endings of what is read of a folder."""

MAX_DEPTH = 100  # transformers copies a configuration by recursion
MAX_JSON_BYTES = 100_000_000
"""The largest known, tokenizers of a quarter of a million tokens, have a third of it."""

MOST_TOKENS = 1_000_000
"""The largest vocabulary that is known, of XLM-V, has 901,629 tokens."""

MOST_ADDED = 100_000
"""Speech models add the most, 65,536; each takes far longer to load than one of the vocabulary."""

ADDED = ("added_tokens", "added_tokens_decoder", "additional_special_tokens", "extra_special_tokens")
MOST_LISTED = {**dict.fromkeys(ADDED, MOST_ADDED), **dict.fromkeys(("single", "pair"), 1_000)}
"""The entries at most of what has such a name: tokens, and the pieces that a tokenizer puts around each prompt."""

MOST_VALUES = dict.fromkeys(("config.json", "adapter_config.json", "generation_config.json"), 100_000)
"""The entries at most in all; a config.json of 20,000 labels, both ways, has 40,000."""

MOST_BYTES = {
    **dict.fromkeys(("chat_template.jinja", "generation_config.json", "special_tokens_map.json"), 1_000_000),
    **dict.fromkeys(("config.json", "adapter_config.json"), 10_000_000),
    **dict.fromkeys(("tokenizer.model", "spiece.model", "merges.txt", "vocab.txt"), 50_000_000),
    **dict.fromkeys(("tokenizer.json", "tokenizer_config.json", "vocab.json", "added_tokens.json"), MAX_JSON_BYTES),
}
"""The size at most of files that are always loaded whole."""

SIGNS_OF_AN_ENTRY = {".txt": (b"\n",), ".json": (b":", b"[")}
"""Signs of which a long list or object has one for each entry: to count them is quick."""

LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers", "depth")
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
TABLES = ("n_positions", "max_seq_len", "num_labels")
"""What a model of some kind makes a table for, as long as it says: GPT-J of positions, MPT of distances."""
MOST = {
    **dict.fromkeys(LAYERS, 1_000),
    **dict.fromkeys(EXPERTS, 10_000),
    **dict.fromkeys((*TABLES, "vocab_size"), MOST_TOKENS),
}
"""What is built at most; to build so many layers, without their weights, takes seconds."""


def read_json(path: Path) -> Any:
    """The value in a file; a link is followed, as the hub's cache is made of them.

    Raises:
        OSError: it cannot be read, or is no regular file.
        ValueError: it is no JSON that is read, see `load_json`.
    """
    return load_json(read_regular(path, MAX_JSON_BYTES, follow=True), allow_nan=True, max_depth=MAX_DEPTH)


def unusable_files(folder: Path) -> Iterator[str]:
    """Yield a line for each file of a model's, a tokenizer's or an adapter's that is none, or too large to be loaded.

    To open a named pipe would hang, and a tokenizer of millions of tokens goes on and on, with no signal heard.
    """
    for path in sorted(folder.iterdir()):
        if path.suffix not in LOADED:
            continue
        try:
            kind = kind_of(os.path.realpath(path))
        except FileNotFoundError:  # a link that leads nowhere is not there for transformers either
            continue
        except OSError as error:
            yield f"{path}: {error.strerror}"
            continue
        if kind != A_REGULAR_FILE:
            yield f"{path}: is {kind}, not a regular file; fetch it again"
        elif path.name in MOST_BYTES and (problem := _too_large(path)):
            yield f"{path}: {problem}; fetch it again"


def _too_large(path: Path) -> str | None:
    """Return the size of a file, or of what it lists, that is above the limit; None where none is."""
    try:
        content = read_regular(path, MOST_BYTES[path.name], follow=True)
    except OSError as error:
        return error.strerror
    if (most := MOST_VALUES.get(path.name)) is not None:
        return _too_many("values", max(content.count(b","), content.count(b":")), most)
    signs = max(content.count(sign) for sign in SIGNS_OF_AN_ENTRY.get(path.suffix, (b"\0",)))
    if signs <= min(MOST_ADDED, MOST_TOKENS):
        return None
    try:
        if path.suffix == ".txt":
            return _too_many("tokens", content.count(b"\n"), MOST_TOKENS)
        return _too_long(path.stem, from_json(content))  # the quicker parser
    except ValueError:  # what is wrong with it is told where it is read
        return None


def _too_long(name: str, value: Any) -> str | None:
    """Return the first list or object in a value, whose own name is `name`, that has too many entries; None if none."""
    waiting = [(name, value)]
    while waiting:
        name, each = waiting.pop()
        if not isinstance(each, dict | list):
            continue
        most = MOST_LISTED.get(name)
        if problem := _too_many("tokens" if most is None else name, len(each), MOST_TOKENS if most is None else most):
            return problem
        items = each.items() if isinstance(each, dict) else ((name, item) for item in each)
        waiting += ((key, item) for key, item in items if item)
    return None


def _too_many(what: str, count: int, most: int) -> str | None:
    return f"lists {count:,} {what}, and at most {most:,} are loaded" if count > most else None


def excessive_counts(settings: Any) -> Iterator[tuple[str, int, int]]:
    """Yield the counts of layers, experts and tokens in a config.json that are above what is built: name, it, limit."""
    waiting = [settings]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting += each
        elif isinstance(each, dict):
            waiting += each.values()
            counts = ((name, each[name]) for name in MOST if name in each)
            yield from ((name, n, MOST[name]) for name, n in counts if isinstance(n, int) and n > MOST[name])


def odd_numbers(settings: Any) -> Iterator[tuple[str, float]]:
    """Yield the numbers that no model computes with, each with its key: NaN, infinity, a negative epsilon.

    A limit may be infinite: `time_step_limit` of Mamba's kin is.
    """
    waiting = [("", settings)]
    while waiting:  # no recursion: the text may be nested as deep as the parser allows
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(key if key != "__float__" else name, each) for key, each in value.items()]
        elif isinstance(value, list):
            waiting += [(name, each) for each in value]
        elif (number := _number(value)) is not None and _is_odd(name, number):
            yield name, number


def _number(value: Any) -> float | None:
    if value in ("NaN", "Infinity", "-Infinity"):  # as transformers writes them, under __float__
        return float(value)
    return value if isinstance(value, float | int) else None


def _is_odd(name: str, number: float) -> bool:
    if isinstance(number, float) and not math.isfinite(number):
        return math.isnan(number) or not name.endswith("limit")
    return (name.endswith(("eps", "epsilon")) and number < 0) or (name == "rope_theta" and number <= 0)
