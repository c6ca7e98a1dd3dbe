"""JSON text of plain values, as files and screens have it. Records write their own: see `documents.dump_document`."""

import json
from typing import Any


def dump_json(value: Any, *, indent: int | None = 2) -> str:
    """Return `value` as JSON text, letters beyond ASCII as they are; on one line if `indent` is None.

    Raises:
        ValueError: it holds NaN or infinity, which JSON has no form for, or contains itself.
        TypeError: it holds something else that JSON has no form for.
    """
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
