"""The column of a file of payments that is its currency by what stands in it, under whatever name."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from labledger.untrusted_text import clean
from payment_simulator.scenario.payment_files.columns import ColumnsError
from payment_simulator.scenario.payment_files.currencies import DECIMALS
from payment_simulator.scenario.payment_files.sections import PaymentColumns

if TYPE_CHECKING:
    import pyarrow

SAMPLE_ROWS = 50
Cells = Mapping[str, Iterable[Any]]
"""The first cells of columns, by the file's name."""


def with_currency(columns: Mapping[str, str], given: PaymentColumns, cells: Cells, file: str) -> dict[str, str]:
    """Return the columns of a file by our name, with its currency: of several currencies amounts cannot be added.

    Raises:
        ColumnsError: several columns have nothing but codes of currencies.
    """
    if "currency" in columns or given.currency is not None:
        return dict(columns)
    taken = set(columns.values())
    found = [name for name, each in cells.items() if name not in taken and _are_codes(each)]
    if len(found) > 1:
        both = " and ".join(repr(clean(name, 60)) for name in found)
        problem = f'{both} could be the currency; say columns: {{currency: ...}}, "" if none is'
        raise ColumnsError(clean(file, 300), [problem], (), ())
    return {**columns, **({"currency": found[0]} if found else {})}


def first_cells(table: "pyarrow.Table") -> Cells:
    """Return the first cells of the columns of text."""
    import pyarrow as pa

    def is_text(kind: "pyarrow.DataType") -> bool:
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))

    head = table.slice(0, SAMPLE_ROWS)
    return {
        name: head.column(place).to_pylist()
        for place, name in enumerate(head.column_names)
        if is_text(head.schema.types[place])
    }


def _are_codes(cells: Iterable[Any]) -> bool:
    """Return True where each cell is the code of a currency, or empty, and some cell is a code."""
    words = {str(cell or "").strip() for cell in cells} - {""}
    return bool(words) and words <= DECIMALS.keys()
