"""Keys in texts: however a server writes them, whole or in part, nothing of them is left."""

import base64
import html
import json
import random
import string
import time
import urllib.parse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labledger.redaction import HIDDEN, LEAST_KEY, LEAST_PART, Redactor, environment_keys, key_problem, redactor

SIGNS = string.ascii_letters + string.digits + '-_+/=."\\~%&'
KEY = "sk-test-4b1d0c77aa93f4e2"
LONG = "sk-" + "".join(random.Random(7).choices(SIGNS, k=197))  # noqa: S311

keys = st.text(SIGNS, min_size=LEAST_PART, max_size=60)
around = st.text(" ,:;()\u00e9\n", max_size=20)


def basic(scheme, encode):
    return lambda key: encode(f"{scheme}{key}".encode()).decode()


WRITINGS = {
    "as it is": lambda key: key,
    "in JSON": json.dumps,
    "in JSON, all escaped": lambda key: "".join(f"\\u{ord(letter):04x}" for letter in key),
    "in a URL": lambda key: urllib.parse.quote(key, safe=""),
    "in a URL, in small letters": lambda key: "".join(f"%{ord(letter):02x}" for letter in key),
    "in HTML": html.escape,
    "in HTML, all escaped": lambda key: "".join(f"&#{ord(letter)};" for letter in key),
    "in hexadecimal": lambda key: key.encode().hex(),
    "reversed": lambda key: key[::-1],
    "in capitals": str.upper,
    "folded": lambda key: "\n ".join(key[place : place + 5] for place in range(0, len(key), 5)),
    "with what is not seen between": lambda key: "\u200b".join(key),
    **{f"base64 after {n}": basic("user:"[:n], base64.b64encode) for n in range(4)},
    **{f"base64 of URLs after {n}": basic("user:"[:n], base64.urlsafe_b64encode) for n in range(4)},
}


@pytest.mark.parametrize("written", WRITINGS.values(), ids=WRITINGS)
@settings(max_examples=25)
@given(key=keys, before=around, after=around)
def test_a_key_is_hidden_however_it_is_written(written, key, before, after):
    text = f"{before}{written(key)}{after}"
    hidden = Redactor([key]).hide(text)
    assert HIDDEN in hidden
    left = hidden.replace(HIDDEN, "").removeprefix(before).removesuffix(after)
    assert len(left) <= 10  # the quotes, and of base64 what hangs together with its neighbours


def joined(sign, pattern):
    return lambda key: sign.join(pattern % ord(letter) for letter in key)


NESTED = {
    "in a URL, twice": lambda key: urllib.parse.quote(urllib.parse.quote(key, safe=""), safe=""),
    "in a URL, thrice": joined("", "%%2525%02x"),
    "in JSON in JSON": lambda key: json.dumps(json.dumps(key)),
    "in HTML, twice": lambda key: html.escape(html.escape(key)),
    "in HTML in JSON": lambda key: json.dumps(html.escape(key)),
    "escaped in JSON in JSON": joined("", r"\\u%04x"),
    "in hexadecimal with colons": lambda key: key.encode().hex(":"),
    "in hexadecimal with dashes": lambda key: key.encode().hex("-").upper(),
    "in a program's hexadecimal": joined(", ", "0x%02x"),
    "as a list of bytes": lambda key: str(list(key.encode())),
    "as Go prints bytes": lambda key: str(list(key.encode())).replace(",", ""),
    "octal": joined("", r"\%03o"),
    "in HTML without semicolons": joined("", "&#%d"),
    "as a script writes it": joined("", r"\u{%x}"),
    "in an old URL": joined("", "%%u%04x"),
    "quoted-printable": joined("", "=%02X"),
    "swapped": str.swapcase,
    "titled": str.title,
    "reversed in small letters": lambda key: key[::-1].lower(),
    "base64 of capitals": lambda key: base64.b64encode(key.upper().encode()).decode(),
    "base64 of small letters": lambda key: base64.b64encode(key.lower().encode()).decode(),
    "base64 of UTF-16": lambda key: base64.b64encode(key.encode("utf-16-le")).decode(),
    "base64 of base64": lambda key: base64.b64encode(base64.b64encode(key.encode())).decode(),
    "base64 of hexadecimal": lambda key: base64.b64encode(key.encode().hex().encode()).decode(),
    "hexadecimal of hexadecimal": lambda key: key.encode().hex().encode().hex(),
    "base32": lambda key: base64.b32encode(key.encode()).decode(),
    **{f"letters apart by {sign}": sign.join for sign in "-,._"},
}


@pytest.mark.parametrize("written", NESTED.values(), ids=NESTED)
@pytest.mark.parametrize("key", [KEY, "kEy-With-Dashes-And-Caps-1234", "aB3/dE6+gH9/jK2=mN5&pQ8/rT1+vW4="])
def test_what_proxies_and_programs_make_of_a_key_is_hidden(written, key):
    hidden = Redactor([key]).hide(f"no such key: {written(key)} is known")
    left = hidden.removeprefix("no such key: ").removesuffix(" is known").replace(HIDDEN, "")
    assert HIDDEN in hidden
    assert len(left) <= 12  # quotes, brackets, and of base64 what hangs together with its neighbours


def test_a_short_key_that_is_one_word_is_no_secret():
    assert Redactor(["length", "NUMBER", "Ollama"]).hide("length, number, ollama") == "length, number, ollama"


@given(key=keys, data=st.data())
def test_any_twelve_characters_of_a_key_are_hidden(key, data):
    begin = data.draw(st.integers(0, len(key) - LEAST_PART))
    part = key[begin : begin + data.draw(st.integers(LEAST_PART, len(key) - begin))]
    assert Redactor([key]).hide(f"({part})") == f"({HIDDEN})"


def test_of_a_short_key_the_whole_alone_is_hidden_and_what_is_shorter_is_no_key():
    assert Redactor(["s3cret"]).hide("my s3cret, s3cre, czNjcmV0") == f"my {HIDDEN}, s3cre, {HIDDEN}"
    assert Redactor(["EMPTY", "a", "", " "]).hide("a model, EMPTY") == "a model, EMPTY"
    assert len("EMPTY") < LEAST_KEY <= len("s3cret")


@given(key=keys, length=st.integers(0, 400), cut=st.integers(0, 400))
def test_the_end_of_a_cut_text_has_no_beginning_of_a_key(key, length, cut):
    whole = "." * length + key
    shown = Redactor([key]).hide(whole[: len(whole) - cut], is_cut=True)
    assert set(shown.replace(HIDDEN, "")) <= {"."} or shown.replace(HIDDEN, "") in whole[:length]


@settings(max_examples=30)
@given(st.text(max_size=300), st.integers(1, 100))
def test_words_without_a_key_stay_as_they_are(text, limit):
    assert Redactor([KEY]).hide(text) == text
    assert len(redactor(KEY).quoted(text, limit)) <= limit


def test_no_cut_of_a_quoted_text_leaves_a_part_of_a_key():
    for place in range(150, 230):
        said = redactor(LONG).quoted("." * place + f" {LONG} and more")
        assert len(said) <= 200
        assert set(said.replace(HIDDEN, "")) <= set(". …(thekyandmor")
        assert LONG[:4] not in said


def test_no_key_hides_nothing():
    assert redactor(None).quoted("every word stays") == "every word stays"
    assert redactor() is redactor()


@pytest.mark.parametrize("text", ["lorem ipsum, " * 60_000, "%41" * 250_000, (LONG + " ") * 1_000])
def test_time_is_linear_in_the_text(text):
    """Eight times the text takes about eight times as long, and not sixty-four."""

    def spent_s(text):
        began_s = time.process_time()
        redactor(LONG).hide(text)
        return time.process_time() - began_s

    spent_s(text[:1000])
    assert spent_s(text) < 30 * max(min(spent_s(text[: len(text) // 8]) for _ in range(3)), 1e-3)


def test_every_text_of_a_document_is_redacted():
    document = {"a": [f"x {KEY}", 1, None, {KEY: True}], "b": 2.5}
    assert redactor(KEY).hide_in(document) == {"a": [f"x {HIDDEN}", 1, None, {HIDDEN: True}], "b": 2.5}


def test_keys_in_a_file_are_overwritten_and_nothing_else(tmp_path):
    path, block = tmp_path / "log", 1_048_576
    content = bytearray(b"\xff\n".join([b"." * 99] * 22_000))
    places = [1_000, block - 10, block + 500, len(content) - len(KEY)]
    for place in places:
        content[place : place + len(KEY)] = KEY.encode()
    path.write_bytes(b"before " + KEY.encode() + content)
    redactor(KEY).mask_file(path, 7 + len(KEY))
    for place in places:
        content[place : place + len(KEY)] = b"*" * len(KEY)
    assert path.read_bytes() == b"before " + KEY.encode() + content


def test_keys_of_the_environment_are_known_by_the_names_of_their_variables(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", KEY)
    monkeypatch.setenv("MAX_TOKENS", "x" * 20)
    monkeypatch.setenv("OTHER_API_KEY", "EMPTY")
    monkeypatch.setenv("SHORT_API_KEY", "s3cret")
    monkeypatch.setenv("OPENAI_API_KEY_PROD", KEY)
    monkeypatch.setenv("KEPT_API_KEY", "/run/secrets/key")
    found = environment_keys()
    assert found["MY_API_KEY"] == KEY
    assert (found["SHORT_API_KEY"], found["OPENAI_API_KEY_PROD"]) == ("s3cret", KEY)
    assert not {"KEPT_API_KEY", "MAX_TOKENS", "OTHER_API_KEY"} & found.keys()


def test_what_http_cannot_carry_is_no_key_and_is_not_repeated():
    assert key_problem(KEY) is None
    assert KEY not in str(key_problem(KEY + "\n"))


def test_folders_and_files_in_the_environment_are_no_keys(monkeypatch, tmp_path):
    folder = tmp_path / "tmp.aB3xY9Qz1L"
    monkeypatch.setenv("PWD", str(folder))
    assert not {"PWD"} & set(environment_keys())
    monkeypatch.setenv("MY_CREDENTIALS", str(folder))
    assert "MY_CREDENTIALS" in environment_keys()
    folder.mkdir()
    assert "MY_CREDENTIALS" not in environment_keys()
