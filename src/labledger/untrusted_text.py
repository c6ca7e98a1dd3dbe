"""Texts that others wrote (a server, a model, a file, a database), as a result, a message or a terminal may hold them.

Printable is what `str.isprintable` accepts: no control characters (ESC, CSI and NUL among them), no halves of surrogate
pairs, no bidirectional overrides, no invisible format characters, no line or paragraph separators.
"""

import re

SHOWN = 200
"""Characters of somebody else's words in a message."""

CUT = "…"
UNPRINTABLE = "\ufffd"
TAB_OR_BREAK = "\t\n\v\f\r"
BEYOND_ASCII = re.compile(r"[^\t\n -~]")


def clean(text: str, limit: int | None = None) -> str:
    """Return `text` on one printable line of valid Unicode, at most `limit` characters long.

    Blanks of every kind, tabs and line breaks become spaces; other characters that cannot be printed become U+FFFD, so
    that one sees that something stood there. A text that is cut ends with an ellipsis.
    """
    is_long = limit is not None and len(text) > limit
    start = text[:limit] if is_long else text
    if not start.isprintable():
        start = "".join(letter if letter.isprintable() else _stand_in(letter) for letter in start)
    return start[: -len(CUT)] + CUT if is_long else start


def clean_lines(text: str) -> str:
    """Return `text` with its line breaks (`\\n`) and tabs, and otherwise as `clean` leaves it."""
    return "\n".join(_clean_tabbed(line) for line in text.split("\n"))


def first_line(text: object, limit: int = SHOWN) -> str:
    """Return the first line of a text, such as an error's, that is not blank, clean and at most `limit` long.

    Where it ends in a colon, what it announces belongs to it: the next line is added, and so on.
    """
    lines = (line.strip() for line in str(text).splitlines())
    words = ""
    for line in filter(None, lines):
        words = f"{words} {line}".lstrip()
        if not words.endswith(":") or len(words) > limit:
            break
    return clean(words, limit)


def reason_of(error: BaseException, limit: int = SHOWN) -> str:
    """Return the first line (see `first_line`) of an error's message, of the system's without the path that it names.

    Of an error without a message, return its kind.
    """
    return first_line(getattr(error, "strerror", None) or error, limit) or type(error).__name__


def escaped_json(document: str, encoding: str = "utf-8") -> str:
    """Return a JSON document, unchanged in meaning, in which `\\u` escapes stand for what cannot be printed.

    Nor is there anything left in it that `encoding` has no sign for.
    """
    if document.isascii() and "\x7f" not in document:
        return document
    escaped = BEYOND_ASCII.sub(lambda found: found[0] if found[0].isprintable() else _escape(found[0]), document)
    try:
        escaped.encode(encoding)
    except UnicodeEncodeError:
        return BEYOND_ASCII.sub(lambda found: _escape(found[0]), document)
    return escaped


def _clean_tabbed(line: str) -> str:
    return line if line.isprintable() else "\t".join(map(clean, line.split("\t")))


def _stand_in(letter: str) -> str:
    is_blank = letter in TAB_OR_BREAK or (letter.isspace() and letter > "\x9f" and letter not in "\u2028\u2029")
    return " " if is_blank else UNPRINTABLE


def _escape(letter: str) -> str:
    units = letter.encode("utf-16-be", errors="surrogatepass")
    return "".join(f"\\u{units[place]:02x}{units[place + 1]:02x}" for place in range(0, len(units), 2))
