"""Amounts as whole cents, exactly: no number of money passes through a product of doubles.

A text is taken where it can be read in one way only. The decimal sign is the one that is said, or evident from the
column: some cell has it in a place where no thousands are apart (`12.5`, `1,234.50`).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labledger.counts import counted
from payment_simulator.scenario.numbers import LARGEST_CENTS

if TYPE_CHECKING:
    import pyarrow

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Report = Callable[[Mask, Callable[[str], str] | str], None]
"""Takes rows, and what is wrong with the cells there."""

MAX_DIGITS = 25
QUOTE = '"'
TOO_LARGE = "more than 2^61 cents, which no sum here may pass"
EXPONENT = r"^[+-]?\d{1,25}(?:\.\d{0,25})?[eE][+-]?\d{1,2}$"
BLANKS = " '\u00a0\u2009\u202f\u2019"
"""Signs between thousands that are never a decimal sign."""

SIGNED = re.compile(r"^(?:[$€£¥]|[A-Z]{3}\b)|(?:[$€£¥]|\b[A-Z]{3})$")
MAX_EXACT_DOUBLE = 2**53


@dataclass(frozen=True)
class Money:
    """The form of amounts in a file: `decimals` of the currency, called `unit` in messages.

    `decimal` is the sign before them, None where it is to be found; the sign that was found is put into `signs`.
    """

    decimals: int
    unit: str
    decimal: str | None
    separator: str | None
    signs: list[str | None] = field(default_factory=list)


def cents_of(column: "pyarrow.ChunkedArray", money: Money, report: Report) -> Ints:
    """Return the amounts of a column of the kind `AMOUNT` in cents, negative ones too; 0 where one is reported."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_string(kind):
        return _of_text(column, money, report)
    missing = column.is_null().to_numpy()
    report(missing, "no amount")
    if pa.types.is_integer(kind):
        return _of_integers(column, money, report)
    if pa.types.is_floating(kind):
        return _of_doubles(column, missing, money, report)
    return _of_decimals(column, money, report)


def as_decimals(column: "pyarrow.ChunkedArray", decimal: str | None, separator: str | None) -> Any:
    """Return amounts in text as exact decimals, None where one of the cells is none, or the sign is not evident."""
    import pyarrow as pa

    text = _trimmed(column.cast(pa.string()))
    sign = _decimal_sign(text, Money(0, "", decimal, separator))
    plain = text if sign is None else _canonical(text, sign)
    if sign is None or not _matches(plain, r"^[+-]?\d{1,25}(?:\.\d{0,9}0{0,12})?$").all():
        return None
    return pa.chunked_array([plain.cast(pa.decimal128(38, 9))])


def _trimmed(column: "pyarrow.ChunkedArray") -> "pyarrow.Array":
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pc.utf8_trim_whitespace(column).fill_null("")
    return text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text


def _of_integers(column: "pyarrow.ChunkedArray", money: Money, report: Report) -> Ints:
    import pyarrow as pa

    most = LARGEST_CENTS // 10**money.decimals
    if pa.types.is_uint64(column.type):  # beyond what int64 holds
        values = np.minimum(column.fill_null(0).to_numpy(), np.uint64(most + 1)).astype(np.int64)
    else:
        values = column.fill_null(0).to_numpy().astype(np.int64)
    large = (values > most) | (values < -most)
    report(large, TOO_LARGE)
    return np.where(large, 0, values) * np.int64(10**money.decimals)


def _of_doubles(column: "pyarrow.ChunkedArray", missing: Mask, money: Money, report: Report) -> Ints:
    """Each is the double, of its width, that is nearest to whole cents; where doubles lie wider apart, none is."""
    kind: Any = column.type.to_pandas_dtype()
    values = column.fill_null(0).to_numpy().astype(kind)
    scale, limit = 10**money.decimals, MAX_EXACT_DOUBLE if kind is np.float64 else 2 ** (np.finfo(kind).nmant + 1)
    scaled = values.astype(np.float64) * scale
    large = ~(np.abs(scaled) <= limit)
    report(large & ~missing, f"is a floating-point number beyond {limit:,} cents, where not every cent has one")
    cents = np.rint(np.where(large, 0, scaled)).astype(np.int64)
    exact = (cents / scale).astype(kind) == values
    report(~exact & ~large, f"is not whole cents ({money.unit})")
    return np.where(exact & ~large, cents, 0)


def _of_decimals(column: "pyarrow.ChunkedArray", money: Money, report: Report) -> Ints:
    """Whole cents of decimals of any scale; the rows that have more decimals are few, and looked at one by one."""
    import pyarrow as pa

    try:
        return _cents_of_decimals(column.fill_null(0).cast(pa.decimal128(38, money.decimals)), report)
    except pa.ArrowInvalid:
        pass
    scaled = [Decimal(0) if each is None else each.scaleb(money.decimals) for each in column.to_pylist()]
    whole = np.array([each == each.to_integral_value() for each in scaled], dtype=bool)
    report(~whole, f"more decimals than {money.unit} has, {money.decimals}")
    large = np.array([abs(each) > LARGEST_CENTS for each in scaled], dtype=bool)
    report(large & whole, TOO_LARGE)
    usable = whole & ~large
    return np.array([int(each) if use else 0 for each, use in zip(scaled, usable, strict=True)], dtype=np.int64)


def _of_text(column: "pyarrow.ChunkedArray", money: Money, report: Report) -> Ints:
    import pyarrow as pa
    import pyarrow.compute as pc

    text = _trimmed(column)
    sign = _decimal_sign(text, money)
    money.signs.append(sign)
    whole = rf"^[+-]?\d{{1,{MAX_DIGITS}}}"
    usual = rf"{whole}(?:\.\d{{0,{money.decimals}}}0{{0,12}})?$"
    plain, good = text, _matches(text, usual)
    if sign != "." or not good.all():
        plain = _canonical(text, sign or ".")
        good = _matches(plain, usual)
    if sign is None:
        good &= ~_matches(text, "[.,]")
    report(~good, lambda cell: f"{cell}: {_problem(cell.strip(QUOTE), sign, money)}")
    if not good.all():
        plain = pc.if_else(pa.array(good), plain, "0")
    return _cents_of_decimals(pa.chunked_array([pc.cast(plain, pa.decimal128(38, money.decimals))]), report)


def _decimal_sign(text: "pyarrow.Array", money: Money) -> str | None:
    """Return the sign before a column's decimals: said or evident; None where each could be one between thousands."""
    import pyarrow as pa

    if money.decimal is not None:
        return money.decimal
    signed = text.filter(pa.array(_matches(text, "[.,]")))
    if len(signed) == 0:
        return "."
    for sign, other in (".,", ",."):
        before = rf"\d{{1,3}}(?:\{other}\d{{3}})+\{sign}\d*"
        alone = rf"[\d{BLANKS}]*\{sign}(?:\d{{0,2}}|\d{{4,}})|(?:0|\d{{4,}})\{sign}\d*"
        parts_columns = sign == money.separator
        if _matches(signed, rf"^[+-]?(?:{before}{'' if parts_columns else '|' + alone})-?$").any():
            return sign
    is_there = {sign: bool(_matches(signed, rf"\{sign}").any()) for sign in ".,"}
    if is_there["."] and is_there[","]:
        return None
    sign, other = (".", ",") if is_there["."] else (",", ".")
    if _matches(signed, rf"\{sign}\d{{3}}\{sign}").any():  # two of them: thousands
        return other
    return sign if money.decimals == 3 and sign != money.separator else None


def _canonical(text: "pyarrow.Array", sign: str) -> "pyarrow.Array":
    """Return amounts as Python writes them; what is none of ours stays as it is, but for its points."""
    import pyarrow as pa
    import pyarrow.compute as pc

    other = "," if sign == "." else "."
    behind = pc.ends_with(text, "-")
    if pc.any(behind).as_py():  # as accounting writes what is below 0
        text = pc.if_else(behind, pc.binary_join_element_wise("-", pc.utf8_rtrim(text, "-"), ""), text)
    groups = "|".join(rf"(?:{re.escape(each)}\d{{3}})+" for each in other + BLANKS)
    grouped = _matches(text, rf"^[+-]?\d{{1,3}}(?:{groups})(?:\{sign}\d*)?$")
    if grouped.any():
        text = pc.if_else(pa.array(grouped), pc.replace_substring_regex(text, rf"[\{other}{BLANKS}]", ""), text)
    if sign == ",":
        text = pc.replace_substring(pc.replace_substring(text, ".", "?"), ",", ".")
    bare = _matches(text, r"^[+-]?\.\d")
    if bare.any():
        text = pc.if_else(pa.array(bare), pc.replace_substring(text, ".", "0.", max_replacements=1), text)
    return _without_exponents(text)


def _without_exponents(text: "pyarrow.Array") -> "pyarrow.Array":
    import pyarrow as pa

    (rows,) = np.nonzero(_matches(text, EXPONENT))
    if not len(rows):
        return text
    cells = text.to_pylist()
    for row in rows.tolist():
        cells[row] = f"{Decimal(cells[row]):f}"
    return pa.array(cells, pa.string())


def _problem(cell: str, sign: str | None, money: Money) -> str:
    other = "." if sign == "," or (sign is None and "." in cell) else ","
    if sign != "," and re.fullmatch(EXPONENT, cell, re.ASCII):
        cell = f"{Decimal(cell):f}"
    if cell in ("", "empty"):
        return "no amount"
    if re.search(SIGNED, cell):
        return "a currency's sign or code; leave it out"
    if sign is None and re.fullmatch(rf"[+-]?\d{{1,3}}([{BLANKS}.,]\d{{3}})+-?", cell, re.ASCII):
        return 'does the sign part thousands, or decimals? say decimal: "." or decimal: ","'
    if re.fullmatch(rf"[+-]?\d+\{other}\d*", cell, re.ASCII):
        return f'a {"comma" if other == "," else "point"}; say decimal: "{other}"'
    number = re.fullmatch(rf"[+-]?(\d+)(?:\{sign or '.'}(\d*))?", cell, re.ASCII)
    if number is not None and len(number[1]) > MAX_DIGITS:
        return TOO_LARGE
    if number is not None:
        return f"{counted(len(number[2] or ''), 'decimal')}, and {money.unit} has {money.decimals}"
    return "is not an amount"


def _cents_of_decimals(column: "pyarrow.ChunkedArray", report: Report) -> Ints:
    """Return decimals without their point; each is two words in memory, the lower first."""
    parts = [_words(chunk) for chunk in column.chunks]
    words = np.concatenate(parts) if parts else np.zeros((0, 2), dtype=np.int64)
    low, high = words[:, 0], words[:, 1]
    large = (high != low >> 63) | (low > LARGEST_CENTS) | (low < -LARGEST_CENTS)
    report(large, TOO_LARGE)
    return np.where(large, 0, low)


def _words(chunk: "pyarrow.Array") -> Ints:
    content = chunk.buffers()[1]
    words = np.frombuffer(content, dtype=np.int64) if content is not None else np.zeros(0, dtype=np.int64)
    found: Ints = words[2 * chunk.offset : 2 * (chunk.offset + len(chunk))].reshape(-1, 2)
    return found


def _matches(text: "pyarrow.Array", pattern: str) -> Mask:
    import pyarrow.compute as pc

    found: Mask = pc.match_substring_regex(text, pattern).to_numpy(zero_copy_only=False).astype(np.bool_)
    return found
