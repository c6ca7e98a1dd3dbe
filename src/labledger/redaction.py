"""Keys out of texts: a server that is sent one may repeat it anywhere, whole or in part, and in another encoding."""

import base64
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from html import unescape
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Any, BinaryIO

from labledger.regular_files import open_regular
from labledger.secret_rules import is_literal, is_secret_name
from labledger.untrusted_text import SHOWN, clean

HIDDEN = "(the key)"
LEAST_KEY = 6
"""Characters: what is shorter is no key (`EMPTY` is what servers without one are sent), and stands as it is."""
LEAST_PART = 12
"""So many consecutive characters of a key are hidden; of a shorter key, the whole of it alone."""

IN_URL = r"%(?:u[0-9A-Fa-f]{4}|[0-9A-Fa-f]{2})"
IN_JSON = r"\\u[0-9A-Fa-f]{4}|\\u\{[0-9A-Fa-f]{1,6}\}|\\x[0-9A-Fa-f]{2}|\\[0-3][0-7]{2}|\\[^ux]"
IN_HTML = r"&(?:#\d{1,7};?|#[xX][0-9A-Fa-f]{1,6};?|[a-z]{2,6};)"
ENCODED = re.compile(f"{IN_URL}|{IN_JSON}|{IN_HTML}")
"""A character as URLs, JSON, programs and HTML write it."""
ENCODED_ONE_WAY = tuple(map(re.compile, (IN_URL, IN_JSON, IN_HTML, "(?!)")))
"""For keys that have such a character's signs in them, which another encoding leaves as they are."""
PASSES = 3
"""Encodings within each other that are undone: a proxy quotes what a framework has quoted."""
QUOTED_PRINTABLE = re.compile("=[0-9A-F]{2}")
DECIMAL = re.compile(r"(?<!\d)\d{2,3}(?:[\s,;]+|(?=[\])}]))")
"""A byte in a list of numbers."""
JOINED = re.compile(r"0x(?=[0-9A-Fa-f]{2})|[^0-9A-Za-z]+")
"""Signs between letters or groups of digits that are written apart: `73:6b`, `0x73, 0x6b`, `s.k`."""
LEAST_JOINED = 8
BETWEEN = re.compile(r"[^!-~]+")
"""No part of a key, but what may stand between two: folding puts line breaks there, and malice what is not seen."""

MASK = re.compile(r"[*\u2022\u25cf]{2,}|\.{3,}|\u2026")
"""Signs that a server puts in place of the middle of a key that it repeats."""
BESIDE_MASK = re.compile(r"[A-Za-z0-9_-]*")
LEAST_BESIDE_MASK = 3
"""So many characters of a key, before and after its mask together, are hidden."""
LONGEST_BESIDE_MASK = 64

URLSAFE = str.maketrans("+/", "-_")
SMALL = str.maketrans(ascii_uppercase, ascii_lowercase)
LONGEST_ENCODED = 10
BLOCK = 1_048_576  # bytes of a file that are read at a time
TAIL = LONGEST_ENCODED * LEAST_PART
"""At a cut, so many characters may be the beginning of a key that is not recognised."""


def key_problem(key: str) -> str | None:
    """Return the reason why this is no key; None where it may be one. HTTP would refuse it too, and quote it."""
    if key.isascii() and key.isprintable():
        return None
    return "the API key holds a line break or another character that no key has; set it again"


class Redactor:
    """Hides `keys` in texts: in letters of any case, escaped for JSON, HTML or a URL (up to `PASSES` times), in base64
    or base32, in hexadecimal or decimal numbers, reversed, or letter by letter, and any `LEAST_PART` consecutive
    characters of each of these. Its time is linear in the text.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        stripped = {key for key in ("".join(key.split()) for key in keys) if _is_secret(key)}
        self._keys = [key.lower() for key in stripped]
        forms = {form.lower() for key in stripped for form in _forms(key)}
        forms |= {joined for form in forms if len(joined := JOINED.sub("", form)) >= LEAST_JOINED}
        self._parts = {part for form in forms for part in _pieces(form, min(len(form), LEAST_PART))}
        self._lengths = sorted({len(part) for part in self._parts}, reverse=True)
        has_signs = any(set("%&\\") & set(key) for key in stripped)
        one_way = [[way] * PASSES for way in ENCODED_ONE_WAY] if has_signs else []
        self._ways = [[*[ENCODED] * PASSES, JOINED], *one_way, [QUOTED_PRINTABLE], [DECIMAL]]
        self._least = self._lengths[-1] if self._lengths else sys.maxsize
        self._seed_size = (self._least + 1) // 2
        self._seeds = {seed for part in self._parts for seed in _pieces(part, self._seed_size)}

    def hide(self, text: str, *, is_cut: bool = False) -> str:
        """Return `text` with `HIDDEN` in place of each key. Where it `is_cut`, its end may be the beginning of a key,
        and is dropped.
        """
        end = max(0, len(text) - TAIL) if is_cut else len(text)
        shown, place = [], 0
        for begin, after in self.spans(text):
            shown.append(text[place : min(begin, end)])
            place = after
        return HIDDEN.join([*shown, text[place:end]])

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return the spans of `text` in which keys stand, whole or masked, from and to; in order and apart."""
        return self._found_spans(text, self._masked_spans(text) if self._keys else ())

    def _found_spans(self, text: str, masked: Iterable[tuple[int, int]] = ()) -> list[tuple[int, int]]:
        """Return the `masked` spans of `text` and those of parts of a key that are whole."""
        found = [*masked]
        if len(text) >= self._least:
            found += [*self._plain_spans(text), *self._encoded_spans(text)]
        merged: list[tuple[int, int]] = []
        for span in sorted(found):
            _add(merged, *span)
        return merged

    def quoted(self, text: str, limit: int = SHOWN, *, is_cut: bool = False) -> str:
        """Return the start of `text`, without keys, as `clean` has it; `is_cut` where it is itself but a start."""
        horizon = 4 * limit + 16 * TAIL
        return clean(self.hide(text[:horizon], is_cut=is_cut or len(text) > horizon), limit)

    def mask_file(self, path: Path, begin: int = 0) -> None:
        """Overwrite the keys in a file, from the byte `begin` on, with asterisks.

        Raises:
            OSError: it cannot be read or written.
        """
        with os.fdopen(open_regular(path, os.O_RDWR), "r+b") as file:
            while block := _read_at(file, begin):
                for start, end in self._found_spans(block.decode("latin-1")):  # what we masked stays as it is
                    file.seek(begin + start)
                    file.write(b"*" * (end - start))
                begin += len(block) if len(block) < BLOCK else len(block) - TAIL

    def hide_in(self, document: Any) -> Any:
        """Return a JSON document with the keys hidden in each of its texts."""
        if isinstance(document, str):
            return self.hide(document)
        if isinstance(document, Mapping):
            return {self.hide_in(name): self.hide_in(value) for name, value in document.items()}
        return [self.hide_in(each) for each in document] if isinstance(document, list | tuple) else document

    def _plain_spans(self, text: str) -> list[tuple[int, int]]:
        """Return the spans of parts of a key, in order. Wherever one begins, it has one of the places looked at."""
        text = text.lower() if text.isascii() else text.translate(SMALL)
        size, seeds = self._seed_size, self._seeds
        step = self._least - size + 1
        hits = [place for place in range(0, len(text) - size + 1, step) if text[place : place + size] in seeds]
        spans: list[tuple[int, int]] = []
        looked = 0
        for place in hits:
            for begin in range(max(looked, place + size - self._lengths[0]), place + 1):
                for length in self._lengths:
                    if (part := text[begin : begin + length]) in self._parts:
                        _add(spans, begin, begin + len(part), gap=-1)  # what was between two keys may be gone
                        break
            looked = place + 1
        return spans

    def _masked_spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield the spans of keys whose middle is masked, as in `sk-ab***yz`: a beginning, an end or both are left."""
        for mask in MASK.finditer(text):
            before = BESIDE_MASK.match(text[max(0, mask.start() - LONGEST_BESIDE_MASK) : mask.start()][::-1])
            after = BESIDE_MASK.match(text, mask.end(), mask.end() + LONGEST_BESIDE_MASK)
            if before is None or after is None or len(before[0]) + len(after[0]) < LEAST_BESIDE_MASK:
                continue
            first, last = before[0][::-1].lower(), after[0].lower()
            shown = len(first) + len(last)
            if any(shown < len(key) and key.startswith(first) and key.endswith(last) for key in self._keys):
                yield mask.start() - len(first), after.end()

    def _encoded_spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield the spans of parts of a key in `text` once that is decoded and has nothing between."""
        for way in self._ways:
            passes: list[tuple[str, re.Pattern[str]]] = []
            current = text
            for encoded in way:
                decoded = BETWEEN.sub("", encoded.sub(_decoding(encoded), current))
                if decoded == current:
                    continue
                passes.append((current, encoded))
                current = decoded
                if spans := self._plain_spans(current):
                    yield from _traced(spans, passes)


def _traced(
    spans: Iterable[tuple[int, int]], passes: Sequence[tuple[str, re.Pattern[str]]]
) -> Iterable[tuple[int, int]]:
    """Return spans of what came out of `passes` as spans of what went into the first."""
    for source, encoded in reversed(passes):
        begins, ends = _origins(source, encoded)
        spans = [(begins[begin], ends[end - 1]) for begin, end in spans]
    return spans


def _is_secret(key: str) -> bool:
    """Return True if a key is to be hidden: not what is short, nor one plain word, which honest texts have too."""
    is_word = key.isalpha() and (key.islower() or key.isupper() or key.istitle())
    return len(key) >= (LEAST_PART if is_word else LEAST_KEY)


def _read_at(file: BinaryIO, place: int) -> bytes:
    file.seek(place)
    return file.read(BLOCK)


def _pieces(text: str, length: int) -> Iterator[str]:
    return (text[place : place + length] for place in range(len(text) - length + 1))


def _forms(key: str) -> Iterator[str]:
    """Yield the forms in which a key may be written, but for capitals and those that a `Redactor` decodes."""
    yield from (key, key[::-1])
    plain = [each.encode(errors="replace") for each in dict.fromkeys((key, key.lower(), key.upper()))]
    wide = key.encode("utf-16-le", errors="replace")
    for data in [*plain, wide, plain[0].hex().encode()]:
        yield data.hex()
        yield from _base64_forms(data)
    data = base64.b64encode(plain[0])
    yield data.hex()
    yield from _base64_forms(data)
    yield base64.b32encode(plain[0]).decode().rstrip("=")


def _base64_forms(data: bytes) -> Iterator[str]:
    for before in range(3):  # bytes, of what is encoded with it
        bits = 8 * (before + len(data))
        encoded = base64.b64encode(bytes(before) + data)[-(-8 * before // 6) : bits // 6].decode()
        yield from (encoded, encoded.translate(URLSAFE))


def _decoding(encoded: re.Pattern[str]) -> Callable[[re.Match[str]], str]:
    if encoded is JOINED:
        return lambda found: ""
    return _decimal if encoded is DECIMAL else _decoded


def _decimal(found: re.Match[str]) -> str:
    return chr(int("".join(filter(str.isdigit, found[0]))))


def _decoded(found: re.Match[str]) -> str:
    text = found[0]
    if text[0] == "&":
        return unescape(text if text.endswith(";") else f"{text};")
    if text[0] in "%=":
        return chr(int(text[1:].lstrip("u"), 16))
    if text[1] in "ux":
        return chr(min(int(text[2:].strip("{}"), 16), sys.maxunicode))
    if len(text) == 4:
        return chr(int(text[1:], 8))
    return "" if text[1] in "abfnrtv" else text[1]


def _origins(text: str, encoded: re.Pattern[str]) -> tuple[list[int], list[int]]:
    """Return where each character of `text` decoded, with nothing between, begins and ends in `text`."""
    begins: list[int] = []
    ends: list[int] = []
    place = 0
    decode = _decoding(encoded)
    for found in [*encoded.finditer(text), None]:
        end = len(text) if found is None else found.start()
        places = [each for each in range(place, end) if "!" <= text[each] <= "~"]
        begins += places
        ends += [each + 1 for each in places]
        if found is not None:
            letters = sum("!" <= letter <= "~" for letter in decode(found))
            begins += [end] * letters
            ends += [found.end()] * letters
            place = found.end()
    return begins, ends


def _add(spans: list[tuple[int, int]], begin: int, end: int, gap: int = 0) -> None:
    """Append a span that begins after the others begin, or make the last longer where at most `gap` is between."""
    if spans and begin <= spans[-1][1] + gap:
        begin, before = spans.pop()
        end = max(end, before)
    spans.append((begin, end))


def environment_keys() -> dict[str, str]:
    """Return the keys in this process's environment: the variables that have a secret's name, and their values.

    A folder or a file that is there is no key, and `PWD` is no password but the shell's folder.
    """
    return {
        name: key
        for name, key in os.environ.items()
        if name != "PWD" and is_secret_name(name) and is_literal(key) and _is_secret(key) and not _is_path(key)
    }


def _is_path(text: str) -> bool:
    return text.startswith("/") and os.path.lexists(text)


@lru_cache(maxsize=8)
def redactor(*keys: str | None) -> Redactor:
    """Return the redactor of these keys, made once; None is none, and without any it only quotes."""
    return Redactor(key for key in keys if key is not None)
