"""The marks of a key: the name that it is given to, the value itself, and its shape.

A *strong* name (`api_key`, `HF_TOKEN`, `password`) is given nothing but keys, so that every literal there is one. A
*weak* name (`key`, `token`, `auth`) is given other things too: what was drawn at random there is one.
"""

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterator
from enum import IntEnum


class Secrecy(IntEnum):
    """The sureness with which a name is a secret's."""

    NONE = 0
    WEAK = 1
    STRONG = 2


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PROVIDERS = (
    "anthropic|azure|claude|cohere|deepseek|fireworks|gemini|google|groq|hf|litellm|llm|mistral|ngc|nvidia|openai"
)
KEYS = f"api|access|account|admin|auth|encryption|master|private|secret|server|signing|subscription|{PROVIDERS}"
TOKENS = (
    "access|api|auth|bearer|bot|face|gh|github|gitlab|hub|huggingface|personal|private|refresh|secret|session|wandb"
    f"|{PROVIDERS}"
)
STRONG = re.compile(
    rf"(?:^|-)(?:(?:{KEYS})-?keys?|(?:{TOKENS})-?token|hft|pwd|bearer|credentials?|authorization|cookies?|passcode)(?:-|$)"
    r"|(?:password|passwd|passphrase|secret)s?(?:-|$)"
)
STRONG_JOINED = re.compile(r"apikey|accesskey|secretkey|privatekey|authtoken|accesstoken")
VARIABLE = re.compile(r"(?=[A-Z0-9_]++\Z).+?_(?:KEY|TOKEN|PAT|PASS|PW)(?:_.+)?")
"""A variable whose name has one of these in it is a secret's, but for those below."""
WEAK = _words("auth cred creds jsessionid jwt key keys pass pat phpsessid pw session sig signature token tokens")
SWITCHES = _words("allow disable disabled enable enabled no require required requires skip without")
SWITCHING = SWITCHES | _words("force hide ignore mask redact show")
"""A name that begins with one of these is a switch, and its value no key."""
USES = SWITCHES | _words("use using with")
"""A name with one of these is a switch as a rule; `use_auth_token` took a token once."""
REFERENCES = re.compile(r"(?:^|-)existing-|-pull-secrets?$")
"""Names of settings that take the name of a secret which is kept elsewhere: `existingSecret`, `imagePullSecrets`."""
COUNTS = _words("budget count len length limit max min n num per size total ttl")
PLACES = _words(
    "cmd column command dir directory env extension field file files folder format header helper index level method"
    " mode name names parallelism path paths policy prefix provider ref store type uri url var variable"
)
"""A name that ends with one of these is no secret's: it is where one stands, or what it is like."""
OF_TEXT = _words(
    "bos cache class cls draft end eos eot foreign group image mask media next pad partition primary public row sep"
    " sort special speculative start stop unk vision audio video"
)
"""Words before `key` and `token` in names that are no secrets'."""
OF_RECORDS = _words("config dataset idempotency model registry run")
"""Words before `key` alone; a token of these may be a secret."""

NAMES_ONE = frozenset({"--secret"})
"""Flags that take the name of a secret that is kept elsewhere."""

CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@functools.lru_cache(maxsize=1_000)  # the keys of a file's sections come again and again
def secrecy(name: str) -> Secrecy:
    """Return how surely a flag, a field, a header or a variable of this name holds a key, token or password."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
    words = [word.lower() for word in re.findall("[A-Za-z]+", CAMEL.sub("-", plain))]
    joined = "-".join(words)
    if not words or name in NAMES_ONE or COUNTS & {*words} or words[-1] in PLACES or _is_of_text(words):
        return Secrecy.NONE
    if words[0] in SWITCHING or REFERENCES.search(joined):
        return Secrecy.NONE
    is_strong = STRONG.search(joined) or STRONG_JOINED.search("".join(words)) or VARIABLE.fullmatch(plain)
    if (is_strong and not USES & {*words}) or (plain.startswith("-") and words == ["token"]):
        return Secrecy.STRONG
    return Secrecy.WEAK if is_strong or words[-1] in WEAK else Secrecy.NONE


def takes_the_next_word(flag: str) -> bool:
    """Return False for a flag that is a switch, so that the word after it is not its value."""
    return not USES & {word.lower() for word in re.findall("[A-Za-z]+", flag)}


def is_secret_name(name: str) -> bool:
    """Return True if a flag, a field, a header or a variable of this name holds nothing but keys."""
    return secrecy(name) is Secrecy.STRONG or name.lower() == "token"


def _is_of_text(words: list[str]) -> bool:
    if words[-1] == "id" and "token" in words and "access" not in words:
        return True
    return any(
        (before in OF_TEXT and word in ("key", "keys", "token", "tokens"))
        or (before in OF_RECORDS and word in ("key", "keys"))
        for before, word in itertools.pairwise(words)
    )


DUMMIES = _words(
    "- any anything array auto basic boolean bool changeme default dummy empty example fake false float ignored int"
    " integer key llama.cpp lm-studio lmstudio local n/a na nil no no-key no-key-required none not-needed not-required"
    " not-used null number object off ollama on openai optional placeholder required sglang sk-dummy"
    " sk-no-key-required sk-test str string test token token-abc123 true undefined unset unused vllm xxx yes"
    " your-api-key your_api_key"
)
"""Values that are written where a server wants no key, and the types of a schema."""
NAME = r"[A-Za-z_][\w.]*"
REFERENCE = re.compile(
    rf"\$(?:env:)?{NAME}|\$\{{{NAME}(?::?\?[^}}]*)?\}}|\$\(.*|`.*|\$\{{\{{.*\}}\}}|%{NAME}%|\{{+\s*{NAME}\s*\}}+"
    r"|<[/|]?[\w .-]+\|?>"
    rf"|env[:./]{NAME}|os\.environ/{NAME}|(?:file|vault|secret|ref|op|keyring)s?:.*|@.+"
    r"|(?:~|\.{1,2})?/[\w./~-]*|[\w./-]+\.(?:json|ya?ml|toml|ini|env|txt|pem|key|crt|cert)",
    re.DOTALL,
)
"""Places where a key is kept, instead of the key: a variable, a command, a file, a place that is left open."""
LEAST_LITERAL = 3
LEAST_DIGITS = 8


def is_literal(value: object) -> bool:
    """Return True if a value may be a key that is written down: no reference, dummy, switch or small number."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    text = str(value).strip().strip("\"'").rstrip(";)") if isinstance(value, str) else str(abs(value))
    if len(text) < LEAST_LITERAL or text.casefold() in DUMMIES or len(set(text)) == 1:
        return False
    if re.fullmatch(r"-?[\d.]+", text):
        return len(text) >= LEAST_DIGITS
    return not REFERENCE.fullmatch(text) or is_random(text)


RUN = re.compile("[A-Za-z0-9]+")
PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[A-Z]|\d+")
READS_AS_WORD = re.compile(
    r"(?=.*[aeiouy])(?!.*[^aeiouyAEIOUY]{5})(?!.*[aeiou]{4})(?!.*[jqxz][^aeiouwy])[A-Za-z][a-z]{2,}|(?:19|20)\d\d"
    "|AWQ|BERT|CHAT|EXL|FINAL|GGML|GGUF|GPT|GPTQ|INSTRUCT|INT|LLAMA|LORA|MLX|MODEL|NER|QLORA"
)
"""A piece of a name: letters that can be spoken, a year, or what the names of models have in capitals."""
WORDS_SHARE = 0.6
LEAST_RUN = 8


def is_random(text: str, least: int = LEAST_RUN) -> bool:
    """Return True if a run of letters and digits in a text reads as drawn at random, and not as words."""
    return any(_was_drawn(run) for run in RUN.findall(text) if len(run) >= least)


def _was_drawn(run: str) -> bool:
    pieces = PIECES.findall(run)
    has_digits, has_letters = any(map(str.isdigit, run)), any(map(str.isalpha, run))
    if not has_letters or not (has_digits or len(pieces) * 3 >= len(run) >= 12) or len(pieces) < 3:
        return False
    return sum(len(piece) for piece in pieces if READS_AS_WORD.fullmatch(piece)) < WORDS_SHARE * len(run)


HONEST_PIECE = re.compile(r"[0-9a-f]+|[0-9A-F]+|\d+T\d+Z?|[A-Z]?[a-z]+\d*[A-Za-z]?|[A-Z]+\d*[A-Za-z]?|\d+[A-Za-z]{1,2}")
"""A part of a name: a date, a number or digest in hexadecimal, a word with a number or without."""
RESOURCE = re.compile(
    r"(?:asst|batch|chatcmpl|cmpl|conv|file|ft|ftjob|msg|org|proj|resp|run|step|thread|vs)[-_][A-Za-z0-9]+"
)
"""An id that a server gives to what it keeps, which opens nothing."""
MIXED = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)")
LEAST_SEGMENT = 20
LEAST_REST = 12


def is_key_in_path(segment: str) -> bool:
    """Return True if a part of a URL's path is long, and much of it is letters and digits that no name has."""
    if len(segment) < LEAST_SEGMENT or RESOURCE.fullmatch(segment):
        return False
    pieces = (piece for piece in re.split("[^A-Za-z0-9]", segment) if not HONEST_PIECE.fullmatch(piece))
    rest = "".join(pieces)
    return len(rest) >= LEAST_REST and MIXED.match(rest) is not None and _was_drawn(rest)


SHAPES = {
    "a Hugging Face token (hf_…)": r"(?:hf|HF)_(?P<hf>[A-Za-z0-9]{28,})|api_org_(?P<org>[A-Za-z0-9]{28,})",
    "a GitHub token": r"gh[pousr]_(?P<gh>[A-Za-z0-9]{30,})|github_pat_(?P<pat>\w{30,})",
    "a GitLab token": r"glpat-(?P<glpat>[\w-]{20,})",
    "an AWS key": r"(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])",
    "a Slack token": r"xox[abeoprs]-(?:\d{8,}-\w+|(?P<slack>[0-9A-Za-z-]{10,}))",
    "a Google key": r"AIza(?P<google>[\w-]{35,})|ya29\.(?P<oauth>[\w-]{20,})|GOCSPX-(?P<gocspx>[\w-]{20,})",
    "an NVIDIA key": r"nvapi-(?P<nvapi>[\w-]{20,})",
    "a Groq key": r"gsk_(?P<gsk>[A-Za-z0-9]{20,})",
    "a Replicate token": r"r8_(?P<r8>[A-Za-z0-9]{30,})",
    "a Databricks token": r"dapi[0-9a-f]{32}(?![0-9A-Za-z])",
    "a Shopify token": r"shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{32}(?![0-9A-Za-z])",
    "a Telegram token": r"\d{8,10}:AA(?P<telegram>[\w-]{30,})",
    "a Vault token": r"hv[sb]\.(?P<vault>[\w-]{20,})|dp\.(?:pt|st|ct|sa|scim|audit)\.(?P<doppler>[A-Za-z0-9]{40,})",
    "a private key": (
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[\w+/=\s]*-----END[A-Z ]*-----)?|AGE-SECRET-KEY-1[0-9A-Z]{50,}"
    ),
    "an API key (sk-…)": r"sk-(?:ant|or-v1|proj|svcacct)-[\w-]{20,}|[sr]k_(?:live|test)_(?P<stripe>\w{16,})",
    "an API key": (
        r"(?:pplx-|xai-|csk-|fw_|tgp_v1_|npm_|pypi-|dop_v1_|lsv2_[a-z]{2}_|wandb_v1_|SG\.|pcsk_|tvly-(?:[a-z]+-)?|jina_"
        r"|esecret_|rpa_)(?P<other>[\w.-]{20,})"
    ),
}
KNOWN_SHAPE = re.compile(
    "|".join(rf"(?P<shape{place}>(?<![A-Za-z0-9])(?:{each}))" for place, each in enumerate(SHAPES.values()))
)
SK_KEY = re.compile(r"(?<![A-Za-z0-9])sk-[\w-]{15,}")
LEAST_SK_RUN = 12
WEB_TOKEN = re.compile(r"(?<![A-Za-z0-9])eyJ[\w-]{10,}+(?P<rest>\.[\w-]{10,}+\.)?")
"""Found also without its `rest`, as the search would begin again within a long run."""
REST = re.compile(r"[\w+/=-]*(?:\.[\w+/=-]+)*")


def shapes(text: str) -> Iterator[str]:
    """Yield the kinds of keys in a text that are known by how they begin; what follows must not read as words."""
    return (kind for kind, _ in _shaped(text))


def without_shapes(text: str, instead: str) -> str:
    """Return a text with `instead` in place of each key that is known by its shape."""
    shown, place = [], 0
    for begin, end in sorted(span for _, span in _shaped(text)):
        if begin >= place:
            shown.append(text[place:begin])
            rest = REST.match(text, end)
            place = rest.end() if rest else end
    return instead.join([*shown, text[place:]])


def _shaped(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    for found in KNOWN_SHAPE.finditer(text):
        groups = {name: body for name, body in found.groupdict().items() if body is not None}
        shape = next(name for name in groups if name.startswith("shape"))
        bodies = [body for name, body in groups.items() if name != shape]
        if all(_was_drawn(re.sub("[^A-Za-z0-9]", "", body)) for body in bodies):
            yield list(SHAPES)[int(shape.removeprefix("shape"))], found.span()
    for found in SK_KEY.finditer(text):
        if is_random(found[0][3:], LEAST_SK_RUN):
            yield "an API key (sk-…)", found.span()
    for found in WEB_TOKEN.finditer(text):
        if found["rest"] is not None:
            yield "a JSON Web Token", found.span()
