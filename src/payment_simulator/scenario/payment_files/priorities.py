"""Priorities of payments, 0 to 10, out of whatever words a file has for them."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from labledger.json_text import dump_json
from labledger.untrusted_text import clean
from labledger.value_hints import in_a_line
from payment_simulator.scenario.numbers import DEFAULT_PRIORITY

if TYPE_CHECKING:
    import pyarrow

T2 = {"0": 10, "1": 9, "2": 5, "3": 2, "URGT": 10, "HIGH": 9, "NORM": 5}
"""T2's numbers, 0 and 1 urgent, and the words of ISO 20022 for the first three."""
MOST = 10
MOST_WORDS = 10
"""Words that a message shows, the most frequent ones."""
URGENT = 9
NONE = ("", "nan", "none", "null", "n/a")
Report = Callable[[NDArray[np.bool_], str], None]


def priorities_of(
    column: "pyarrow.ChunkedArray", words: Mapping[Any, int] | Literal["t2"] | None, report: Report
) -> NDArray[np.int8]:
    """Return a column's priorities; an empty cell is the default. Unknown words are reported once, with what to say."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encoded = pc.dictionary_encode(column.cast(pa.string())).combine_chunks()
    chunks = encoded.chunks if isinstance(encoded, pa.ChunkedArray) else [encoded]
    if not chunks:
        return np.zeros(0, dtype=np.int8)
    known = {str(word): number for word, number in (T2 if words == "t2" else words or {}).items()}
    takes_numbers = not any(word.isdecimal() for word in known)
    found = [_priority(word or "", known, takes_numbers) for word in chunks[0].dictionary.to_pylist()]
    numbers = np.array([*found, DEFAULT_PRIORITY], dtype=np.int16)  # the last is that of an empty cell
    index = np.concatenate([chunk.indices.fill_null(len(found)).to_numpy() for chunk in chunks])
    priorities = numbers[index]
    if (priorities < 0).any():
        all_words = [(word or "").strip() for word in chunks[0].dictionary.to_pylist()]
        counts = np.bincount(index, minlength=len(numbers))[:-1].tolist()
        report(priorities < 0, _problem(all_words, found, counts, len(index), is_said=bool(known)))
    numbered: NDArray[np.int8] = np.maximum(priorities, 0).astype(np.int8)
    return numbered


def _priority(word: str, known: Mapping[str, int], takes_numbers: bool) -> int:
    """Return -1 of a word that is not known."""
    text = word.strip()
    whole = text.removesuffix(".0")  # as a column of doubles with gaps writes it
    if text in known or whole in known:
        return known.get(text, known.get(whole, -1))
    if text.lower() in NONE:
        return DEFAULT_PRIORITY
    is_number = takes_numbers and whole.isascii() and whole.isdecimal() and len(whole) < 3 and int(whole) <= MOST
    return int(whole) if is_number else -1


def _problem(words: Sequence[str], found: Sequence[int], counts: Sequence[int], rows: int, *, is_said: bool) -> str:
    """Return what is wrong with the unknown words of a column, whose priority in `found` is -1, and what to say."""
    number = dict(zip(words, found, strict=True))
    count: dict[str, int] = {}
    for word, times in zip(words, counts, strict=True):
        count[word] = count.get(word, 0) + times
    ordered = sorted(count, key=lambda word: -count[word])
    unknown = [word for word in ordered if number[word] < 0]
    shown = [f"{clean(word, 40)} ({_share(count[word] / rows)})" for word in unknown[:MOST_WORDS]]
    if len(unknown) > MOST_WORDS:
        shown.append(f"{len(unknown) - MOST_WORDS:,} other words")
    which = "not among payments.priorities" if is_said else "not 0 to 10"
    named = [word for word in ordered if word and not word.removesuffix(".0").isdecimal() and word.lower() not in NONE]
    named = list(dict.fromkeys([*unknown, *named]))[:MOST_WORDS]
    guessed = {word: number[word] if number[word] >= 0 else _guess(word, word == ordered[0]) for word in named}
    example = ", ".join(f"{_as_key(word)}: {each}" for word, each in guessed.items())
    listed = " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
    return f"has {listed}, {which}; say payments.priorities, as {{{example}}}"


def _guess(word: str, is_usual: bool) -> int:
    return T2.get(word, DEFAULT_PRIORITY if is_usual else URGENT)


def _share(share: float) -> str:
    return "under 1 %" if share < 0.005 else f"{share:.0%}".replace("%", " %")


def _as_key(word: str) -> str:
    shown = clean(word, 40)
    return in_a_line(shown) if re.fullmatch(r"[A-Za-z]\w*", shown) else dump_json(shown, indent=None)
