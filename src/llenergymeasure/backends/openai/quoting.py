"""What a message may hold of a key and of a server's words: of the key nothing, of the words their start."""

import json

QUOTED = 200  # characters
HIDDEN = "(the key)"


def key_problem(key: str) -> str | None:
    """Why this is no key; None where it may be one. HTTP would refuse it too, and quote it."""
    if key.isascii() and key.isprintable():
        return None
    return "the API key holds a line break or another character that no key has; set it again"


def quoted(words: str, key: str | None) -> str:
    """The start of a server's words. Servers repeat a key that they refuse: it goes first, for a cut through it would
    leave a part.
    """
    for form in _forms(key):
        words = words.replace(form, HIDDEN)
    return words[:QUOTED]


def printable(words: str) -> str:
    """The words in one line of valid Unicode: a result holds no half of a surrogate pair, and no terminal obeys it."""
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "\ufffd" for letter in words)


def undivided(data: bytes, most: int, key: str | None) -> bytes:
    """The first `most` bytes of an answer, and fewer where the answer goes on: a key may begin in the last of them."""
    if len(data) < most:
        return data
    for form in _forms(key):
        data = data.replace(form.encode(), HIDDEN.encode())[: -len(form)]
    return data[:most]


def _forms(key: str | None) -> set[str]:
    """How a server writes the key that it was sent: as it is, or inside JSON."""
    sent = (key or "").strip()
    return {sent, json.dumps(sent)[1:-1]} - {""}
