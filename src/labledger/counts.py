"""Counts of things in texts."""


def counted(number: int, one: str, several: str | None = None) -> str:
    """Return a number with its noun, such as `1 day` or `1,200 days`; `several` is a plural without s."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"
