"""Finding what a user named by its id, or by the beginning of its id."""

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import TypeVar

from labledger.errors import ConfigError
from labledger.untrusted_text import SHOWN, clean

NAMED_AT_MOST = 5
LEAST_LIKENESS = 0.3
COMPARED_AT_MOST = 1_000  # names, where none fits: it takes some 10 us each

T = TypeVar("T")


def by_prefix(
    items: Iterable[T],
    prefix: str,
    *,
    id_of: Callable[[T], str],
    kind: str,
    where: object,
    name_of: Callable[[T], str] | None = None,
) -> T:
    """Return the item whose id is `prefix`, or else the only one whose id begins with it.

    Messages call an item a `kind` ("run") and name it by `name_of` (by default its id); `where` is the place looked in.

    Raises:
        ConfigError: no id begins with it, which names the nearest; or more than one does, which names some of them.
    """
    known = list(items)
    named = name_of or id_of
    found = [item for item in known if id_of(item) == prefix]
    found = found or [item for item in known if prefix and id_of(item).startswith(prefix)]
    if len(found) == 1:
        return found[0]
    if found:
        listed = _listed([named(item) for item in found])
        raise ConfigError(f"{where}: {len(found)} {kind}s have an id that begins with {prefix} ({listed}); name one")
    if not known:
        raise ConfigError(f"{where}: there is no {kind} {prefix}, nor any other")
    names = [named(item) for item in known]
    near = get_close_matches(prefix, names[:COMPARED_AT_MOST], n=NAMED_AT_MOST, cutoff=LEAST_LIKENESS) or names
    raise ConfigError(f"{where}: there is no {kind} {prefix}; near it are {_listed(near)}")


def _listed(names: Sequence[str]) -> str:
    """Return the first few of these names on one line."""
    shown = [clean(name, SHOWN) for name in names[:NAMED_AT_MOST]]
    return ", ".join(shown + ["…"] * (len(names) > NAMED_AT_MOST))
