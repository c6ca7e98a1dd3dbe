"""Figures: their one style, and text in them."""

from labledger.untrusted_text import clean

MAX_DRAWN = 100  # characters


def drawn(name: str) -> str:
    """A name as a picture shows it: nothing that is not seen, nothing that matplotlib would set as mathematics."""
    return clean(name, MAX_DRAWN).replace("$", r"\$")
