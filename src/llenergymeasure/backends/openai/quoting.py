"""What a message may hold of a key and of a server's words: of the key nothing."""


def key_problem(key: str) -> str | None:
    """Why this is no key; None where it may be one. HTTP would refuse it too, and quote it."""
    if key.isascii() and key.isprintable():
        return None
    return "the API key holds a line break or another character that no key has; set it again"
