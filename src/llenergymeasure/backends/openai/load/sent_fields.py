"""The fields of a request that change which of its tokens a text shows."""

from collections.abc import Iterator, Mapping
from typing import Any

HIDE_REASONING: tuple[tuple[str, Any], ...] = (
    ("include_reasoning", False),
    ("include_thoughts", False),
    ("includeThoughts", False),
    ("reasoning.exclude", True),
    ("exclude_reasoning", True),
    ("hide_reasoning", True),
    ("reasoning_format", "hidden"),
)
"""Fields and values with which thoughts are counted and left out of the answer: OpenRouter's, vLLM's, Gemini's and
Groq's, at any depth."""


def hides_reasoning(fields: Mapping[str, Any]) -> bool:
    """Return True if the fields ask for thoughts to be left out of the answer."""
    return any(
        f".{place}".endswith(f".{name}") and type(value) is type(hiding) and value == hiding
        for place, value in _values(fields)
        for name, hiding in HIDE_REASONING
    )


def _values(fields: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value that is no mapping, with its names from the outermost on, a full stop between them."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _values(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", value
