"""Keys that somebody has written into a configuration, which results would keep.

A key is known by what it is given to (`--api-key X`, `api_key: X`, `HF_TOKEN=X`, `Authorization: Bearer X`,
`https://user:X@host`), or by its shape (`sk-…`, `hf_…`). A reference to a variable (`$HF_TOKEN`) is none.
"""

import contextlib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from labledger.errors import ConfigError
from labledger.untrusted_text import SHOWN, clean

Location = tuple[str | int, ...]

WRITTEN_DOWN = "a key that is written down is no secret, and results would keep it"
MAX_DEPTH = 50

SHAPES = {
    "a Hugging Face token (hf_…)": r"hf_[A-Za-z0-9]{30}",
    "a GitHub token": r"gh[pousr]_[A-Za-z0-9]{30}|github_pat_\w{30}",
    "a GitLab token": r"glpat-[\w-]{20}",
    "an AWS key": r"(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])",
    "a Slack token": r"xox[abeoprs]-(?=[A-Za-z-]*\d)[0-9A-Za-z-]{10}",
    "a Google key": r"AIza[\w-]{35}",
    "an NVIDIA key": r"nvapi-[\w-]{20}",
    "a Groq key": r"gsk_[A-Za-z0-9]{20}",
    "a Replicate token": r"r8_[A-Za-z0-9]{30}",
    "a JSON Web Token": r"eyJ[\w-]{10,}\.[\w-]{10,}\.",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
}
KNOWN_SHAPE = re.compile(
    "|".join(f"(?P<shape{place}>(?<![A-Za-z0-9])(?:{each}))" for place, each in enumerate(SHAPES.values()))
)
SK_KEY = re.compile(r"(?<![A-Za-z0-9])sk-[\w-]{16,}")

SECRETS = ("secret", "password", "passwd", "passphrase", "authorization", "hft")
"""How the last word of a secret's name ends, but for keys and tokens; `-hft` is llama.cpp's."""
OF_SECRET_KEYS = frozenset(
    {"api", "access", "secret", "account", "auth", "subscription", "master"}
    | {"anthropic", "azure", "gemini", "google", "hf", "mistral", "ngc", "nvidia", "openai"}
)
OF_SECRET_TOKENS = OF_SECRET_KEYS | frozenset(
    {"hf", "hub", "huggingface", "face", "bearer", "github", "gitlab", "gh", "session", "refresh", "personal", "wandb"}
)
"""The words before `key` and `token` in a secret's name: a `sort_key` and an `eos_token` are none."""
OF_TEXT_TOKENS = frozenset(
    {"eos", "bos", "pad", "unk", "sep", "cls", "mask", "stop", "image", "special", "start", "end"}
)
"""The words before TOKEN in a variable's name that is no secret's."""
NAMES_ONE = frozenset({"--secret"})
"""Flags that take the name of a secret that is kept elsewhere."""

HEADERS = frozenset({"authorization", "proxy-authorization", "api-key", "x-api-key", "x-auth-token", "cookie"})
SCHEME = r"(?:Bearer|Basic|Token|Digest)\s+"
HEADER = re.compile(rf"(?:-H\s*|--header=)?([A-Za-z-]+)\s*:\s*(?:{SCHEME})?([^\s;]+)(?:;.*)?", re.IGNORECASE)
ASSIGNMENT = re.compile(r"(-{0,2}[A-Za-z_][\w.-]*)=(.*)", re.DOTALL)
FLAG = re.compile(r"--?[A-Za-z][\w.-]*")
QUERY = re.compile(r"[?&;]([\w.-]+)=([^&;#\s]+)")
PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:([^/\s@]+)@")
KEY_OR_TOKEN = re.compile(r"(?P<before>[a-z]*?)-?(?:(?P<key>keys?)|token)$")
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


class WrittenKeyError(ConfigError):
    """A configuration has keys in it. `found` has the place of each and a text that does not repeat it."""

    def __init__(self, found: Sequence[tuple[Location, str]]) -> None:
        super().__init__("\n".join(f"{'.'.join(map(str, location))}: {text}" for location, text in found))
        self.found = tuple(found)

    def placed(self, place: Callable[[Location], str]) -> ConfigError:
        """The same with the place of each, as `describe_errors` names it: `file:line: field: problem`."""
        lines = []
        for location, text in self.found:
            where = place(location)
            field = "" if where.startswith("--") else ".".join(clean(str(part), SHOWN) for part in location)
            lines.append(": ".join(part for part in (where, field, text) if part))
        return ConfigError("\n".join(lines))


def refuse_written_keys(document: Any, way: str) -> None:
    """Refuse a configuration, as YAML or Python gives it, that has a key in it; `way` is what to do instead.

    Raises:
        WrittenKeyError: it has.
    """
    if found := [(location, f"{what}: {WRITTEN_DOWN}; {way}") for location, what in written_keys(document)]:
        raise WrittenKeyError(found)


def written_keys(document: Any, location: Location = ()) -> Iterator[tuple[Location, str]]:
    """Where a mapping, a list or a text has a key in it, and how it is known. A list of texts is read as a command."""
    if len(location) > MAX_DEPTH:
        return
    if hasattr(document, "model_dump"):
        document = document.model_dump()
    if isinstance(document, Mapping):
        for name, value in document.items():
            yield from _in_entry(str(name), value, location)
    elif isinstance(document, list | tuple):
        for place, each in enumerate(document):
            before = document[place - 1] if place else ""
            if not isinstance(each, str):
                yield from written_keys(each, (*location, place))
            elif what := _in_word(each, before if isinstance(before, str) else ""):
                yield (*location, place), what
    elif isinstance(document, str) and (what := _in_word(document) if _is_word(document) else in_text(document)):
        yield location, what


def is_secret_name(name: str) -> bool:
    """Return True if a flag, a field, a header or a variable of this name holds a key, a token or a password."""
    words = [word.lower() for word in WORDS.findall(name)]
    if not words or name in NAMES_ONE:
        return False
    if words[-1].endswith(SECRETS):
        return True
    kind = KEY_OR_TOKEN.search("-".join(words))
    if kind is None:
        return False
    before = kind["before"]
    if kind["key"]:
        return before in OF_SECRET_KEYS
    return not before or before in OF_SECRET_TOKENS or (name.isupper() and before not in OF_TEXT_TOKENS)


def in_text(text: str) -> str | None:
    """Return the sign by which a key in a text is known, its shape or its place in a URL; None where there is none."""
    if found := KNOWN_SHAPE.search(text):
        shape = list(SHAPES)[int(str(found.lastgroup).removeprefix("shape"))]
        return f"holds what looks like {shape}"
    if any(_is_random(found[0]) for found in SK_KEY.finditer(text)):
        return "holds what looks like an API key (sk-…)"
    if any(_is_written(found[1]) for found in PASSWORD.finditer(text)):
        return "holds a password in a URL"
    named = (found[1] for found in QUERY.finditer(text) if is_secret_name(found[1]) and _is_written(found[2]))
    return next((f"holds a value of {name} in a URL" for name in named), None)


def _in_entry(name: str, value: Any, location: Location) -> Iterator[tuple[Location, str]]:
    if what := _in_word(name):
        yield location, f"a name in it {what}"
    elif is_secret_name(name) and any(map(_is_one_written_word, value if isinstance(value, list) else [value])):
        yield (*location, name), "holds a key"
    else:
        yield from written_keys(value, (*location, name))


def _is_one_written_word(value: Any) -> bool:
    """Return True if a value may be a key: a text without blanks, but for the scheme before it."""
    if not isinstance(value, str) or not _is_written(value):
        return False
    return re.fullmatch(rf"(?:{SCHEME})?\S+", value.strip(), re.IGNORECASE) is not None


def _is_written(value: str) -> bool:
    """Return True if a value is there, and is not what a shell puts in its place."""
    return bool(value.strip()) and not value.lstrip("\"'").startswith(("$", "`", "<"))


def _is_random(text: str) -> bool:
    """Return True if letters, capitals and digits change as in a key, and in no name: in one run, and often."""
    least = 12 if len(text) >= 40 else 16
    runs = (run for run in re.split("[-_]", text) if len(run) >= least)
    return any(len(re.findall(r"[a-z]+|[A-Z]+|\d+", run)) >= 4 for run in runs)


def _is_word(text: str) -> bool:
    """Return True if a text may be a flag, a header or JSON, and not a person's prose."""
    return text.startswith(("-", "{", "[")) or len(text.split(None, 1)) < 2 or HEADER.fullmatch(text) is not None


def _in_word(word: str, before: str = "", depth: int = 0) -> str | None:
    """Return the sign of a key in a word of a command, or of one that is given to the flag `before` it."""
    if what := in_text(word):
        return what
    if FLAG.fullmatch(before) and is_secret_name(before) and _is_written(word) and not word.startswith("--"):
        return f"holds a value of {before}"
    if (found := ASSIGNMENT.fullmatch(word)) and is_secret_name(found[1]) and _is_written(found[2]):
        return f"holds a value of {found[1]}"
    if (found := HEADER.fullmatch(word)) and found[1].lower() in HEADERS and _is_written(found[2]):
        return f"holds a value of {found[1]}"
    return next(_in_parts(word, depth), None) if depth < MAX_DEPTH else None


def _in_parts(word: str, depth: int) -> Iterator[str]:
    """Yield the signs of keys in a word that is JSON, a shell's command, or a flag with one of these as its value."""
    if word.startswith(("{", "[")):
        with contextlib.suppress(ValueError, RecursionError):
            yield from (what for _, what in written_keys(json.loads(word)))
    parts: Iterable[str] = ()
    if found := ASSIGNMENT.fullmatch(word):
        parts = [found[2]]
    elif len(word.split(None, 1)) > 1:
        parts = _shell_words(word)
    before = ""
    for part in parts:
        if part != word and (what := _in_word(part, before, depth + 1)):
            yield what
        before = part


def _shell_words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # a quote that is not closed
        return command.split()
