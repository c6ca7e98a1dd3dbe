"""A scenario that draws days like those that were recorded, and how like the real ones its days are."""
