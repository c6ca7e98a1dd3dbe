"""Keys of a section that have a second name, that of files of other programs."""

from collections.abc import Mapping
from typing import Any


def with_own_names(data: Any, names: Mapping[str, str]) -> Any:
    """Return the data of a section with its keys by our names; `names` has ours by the other.

    Raises:
        ValueError: both names of a key are written.
    """
    if not isinstance(data, Mapping):
        return data
    if twice := [other for other, own in names.items() if other in data and own in data]:
        raise ValueError(f"{twice[0]}: is another name of {names[twice[0]]}; write one of them")
    return {names.get(key, key): value for key, value in data.items()}
