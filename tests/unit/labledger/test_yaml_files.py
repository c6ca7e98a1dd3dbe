"""YAML as users write it: what is read, what is refused, and where the message points."""

import contextlib
import os
import signal
import tracemalloc
from pathlib import Path
from typing import Annotated, Literal, Self

import pytest
from pydantic import BaseModel, ConfigDict, Discriminator, Tag, ValidationError, model_validator

from labledger import yaml_composing
from labledger.errors import ConfigError
from labledger.yaml_files import describe_errors, read_yaml


def written(folder: Path, text: str) -> Path:
    path = folder / "file.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    return path


@contextlib.contextmanager
def within_seconds(limit: float):
    def too_late(number, frame):
        raise TimeoutError(f"took more than {limit} s")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def billion_laughs() -> str:
    lines = ["a0: &a0 [" + ", ".join(["ha"] * 10) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 10) + "]" for n in range(1, 10)]
    return "\n".join(lines)


def test_plain_values_come_out_as_plain_python(tmp_path):
    file = read_yaml(written(tmp_path, "a: 1\nb: [x, 2.5, true, null]\nc:\n  d: 'text'\n  e: |\n    two\n    lines\n"))
    assert file.data == {"a": 1, "b": ["x", 2.5, True, None], "c": {"d": "text", "e": "two\nlines\n"}}
    assert [type(each) for each in (file.data, file.data["b"], file.data["c"]["d"])] == [dict, list, str]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("true", True),
        ("012", 12),
        ("0o14", 12),
        ("0x1f", 31),
        ("12:30", "12:30"),
        ("1e3", 1000.0),
        ("~", None),
        ("2026-02-26", "2026-02-26"),
    ],
)
def test_values_are_read_by_the_rules_of_yaml_1_2(tmp_path, text, value):
    found = read_yaml(written(tmp_path, f"key: {text}")).data["key"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_an_empty_file_is_an_empty_mapping(tmp_path, text):
    assert read_yaml(written(tmp_path, text)).data == {}


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    file = read_yaml(written(tmp_path, "\ufeffa: 1\r\nb: x\r\n"))
    assert file.data == {"a": 1, "b": "x"}
    assert file.lines["b",] == 2


def test_every_value_knows_its_line(tmp_path):
    file = read_yaml(written(tmp_path, "# comment\na: 1\nb:\n  c:\n    - x\n    - y\n"))
    assert dict(file.lines) == {("a",): 2, ("b",): 3, ("b", "c"): 4, ("b", "c", 0): 5, ("b", "c", 1): 6}


def test_a_place_is_the_file_and_the_line_of_what_is_there_or_of_what_encloses_it(tmp_path):
    file = read_yaml(written(tmp_path, "a: 1\nb:\n  c: 2\n"))
    assert file.place(("b", "c")) == f"{file.path}:3"
    assert file.place(("b", "missing", "deeper")) == f"{file.path}:2"
    assert file.place(("missing",)) == str(file.path)


def test_a_merge_key_brings_in_what_it_names_and_what_is_written_wins(tmp_path):
    file = read_yaml(written(tmp_path, "base: &base {x: 1, y: 2}\nc:\n  <<: *base\n  y: 3\n"))
    assert file.data["c"] == {"x": 1, "y": 3}
    assert file.place(("c", "y")) == f"{file.path}:4"
    assert file.place(("c", "x")) == f"{file.path}:2"


def test_a_list_of_merge_keys_brings_in_all_of_them(tmp_path):
    text = "a: &a {x: 1}\nb: &b {y: 2}\nc:\n  <<: [*a, *b]\n"
    assert read_yaml(written(tmp_path, text)).data["c"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 'found duplicate key "a"'),
        ("a:\n  b: 1\n  b: 2\n", 3, 'found duplicate key "b"'),
        ("a: {b: 1, b: 2}\n", 1, 'found duplicate key "b"'),
        ("a: 1\nb: !!python/object:os.system x\n", 2, "python/object:os.system is not accepted"),
        ("a: !!str 3\n", 1, "str is not accepted; write the plain value"),
        ("a: !foo 3\n", 1, "the tag !foo is not accepted; write the plain value"),
        ("a: ! 3\n", 1, "the tag ! is not accepted"),
        ("a: !!binary aGk=\n", 1, "binary is not accepted"),
        ("a:\n  !!set {b}\n", 2, "set is not accepted"),
        ("!!str a: 1\n", 1, "str is not accepted"),
        ("- 1\n- 2\n", 1, "expected `key: value` lines, found a list"),
        ("only words\n", 1, "expected `key: value` lines, found the single value 'only words'"),
        ("a:\n  1: x\n", 2, "the key 1 is not text; put it in quotes"),
        ("a: 1\ntrue: x\n", 2, "the key True is not text"),
        ("~: x\n", 1, "the key None is not text"),
        ("? [a, b]\n: x\n", 1, "is not text"),
        ("a:\n\tb: 1\n", 2, "cannot start any token"),
        ("a: [1\n", 2, "expected ',' or ']'"),
        ("a: b: c\n", 1, "mapping values are not allowed here"),
        ("a: *nowhere\n", 1, "found undefined alias"),
        ("a: 1\n---\nb: 2\n", 2, "found another document"),
        ("a:\n  <<: 3\n", 2, "for merging"),
        ('a: "\\q"\n', 1, "unknown escape character"),
    ],
)
def test_a_mistake_is_reported_with_its_line(tmp_path, text, line, problem):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        read_yaml(path)
    assert str(refused.value).startswith(f"{path}:{line}: ")
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "1" * 5000,
        "a: 2026-13-45",
        "a: 2026-01-01T99:99:99Z",
        "a: 2026-01-01T10:00:00-99:00",
        "? {a: {b: c}}\n: x\n",
        "? [[a]]\n: x\n",
        "a: &a\n  <<: *a\n  b: 1\n",
        'a: "\\ud800"',
        "a: \0",
        "%YAML 9.9\n---\na: 1\n",
        "%YAML 1.21\n---\na: 1\n",
    ],
    ids=[
        "an integer of 5,000 digits",
        "a month 13",
        "an hour 99",
        "an offset of 99 hours",
        "a key that holds a mapping",
        "a key that holds a list of lists",
        "a mapping merged into itself",
        "half a surrogate pair",
        "a null byte",
        "a version to come",
        "a version that never was",
    ],
)
def test_what_yaml_lets_through_and_python_cannot_hold_is_a_config_error(tmp_path, text):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=str(path)):
        read_yaml(path)


@pytest.mark.parametrize(
    "text",
    [
        billion_laughs(),
        "a: &a [*a]\n",
        "a: &a\n  b: *a\n",
        "a: &a\n  b: [1, {c: *a}]\n",
        "a: " + "[" * 1000 + "]" * 1000,
    ],
    ids=["aliases of aliases", "a list in itself", "a mapping in itself", "a mapping deep in itself", "a deep list"],
)
def test_a_file_that_grows_without_end_is_refused_quickly(tmp_path, text):
    path = written(tmp_path, text)
    with within_seconds(5), pytest.raises(ConfigError, match=str(path)):
        read_yaml(path)


def test_text_that_is_named_many_times_is_held_once(tmp_path):
    path = written(tmp_path, f'a: &a "{"x" * 50_000}"\nb: [{", ".join(["*a"] * 4_000)}]\n')
    tracemalloc.start()
    try:
        read_yaml(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6


def test_a_missing_file_is_reported_with_the_folder_that_was_searched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        read_yaml(Path("file.yaml"))
    assert str(refused.value) == f"file.yaml: no such file (looked in {tmp_path})"


def test_a_folder_is_no_yaml_file(tmp_path):
    with pytest.raises(ConfigError, match=f"{tmp_path}: cannot be read: is a directory, not a regular file"):
        read_yaml(tmp_path)


def test_bytes_that_are_no_utf_8_are_refused_with_their_position(tmp_path):
    (tmp_path / "file.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(ConfigError, match=r"not UTF-8 text \(byte 3\)"):
        read_yaml(tmp_path / "file.yaml")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Random(Section):
    count: int
    length: int = 3


class Engine(Section):
    batch_size: int = 1
    attention: Literal["eager", "sdpa"] = "eager"

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if self.batch_size < 1:
            raise ValueError(f"batch_size: {self.batch_size} is less than 1")
        return self


def kind_of_prompts(value: object) -> str:
    return "name" if isinstance(value, str) else "random"


class Config(Section):
    model: str
    prompts: Annotated[
        Annotated[str, Tag("name")] | Annotated[Random, Tag("random")], Discriminator(kind_of_prompts)
    ] = "builtin"
    engine: Engine | None = None
    sizes: list[int] = []

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.engine and self.engine.batch_size in self.sizes:
            raise ValueError("engine.batch_size: is one of the sizes")
        if len(self.sizes) > 3:
            raise ValueError("too much is asked for")
        return self


def problems(folder: Path, text: str) -> list[str]:
    file = read_yaml(written(folder, text))
    try:
        Config.model_validate(file.data)
    except ValidationError as error:
        return [line.removeprefix(f"{folder}/") for line in describe_errors(error, Config, file.data, file.place)]
    return []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("model: x\nengine:\n  atention: eager\n", ["3: engine.atention: unknown key (did you mean attention?)"]),
        ("model: x\nzzz: 1\n", ["2: zzz: unknown key (known: model, prompts, engine, sizes)"]),
        (
            "model: x\nengine:\n  attention: eagre\n",
            ["3: engine.attention: should be 'eager' or 'sdpa', found 'eagre' (did you mean eager?)"],
        ),
        (
            "model: x\nengine:\n  attention: 7\n",
            ["3: engine.attention: should be 'eager' or 'sdpa', found 7 (known: eager, sdpa)"],
        ),
        ("model: 3\n", ['1: model: should be a valid string, found 3; put it in quotes: "3"']),
        (
            "model: x\nsizes:\n  - 1\n  - many\n",
            ["4: sizes.1: should be a valid integer, unable to parse string as an integer, found 'many'"],
        ),
        ("model: x\nengine: 4\n", ["2: engine: should be a section with keys of its own, found 4"]),
        ("model: x\nprompts:\n  length: 2\n", ["2: prompts.count: required, and missing"]),
        ("model: x\nprompts: {count: 1, lenght: 2}\n", ["2: prompts.lenght: unknown key (did you mean length?)"]),
        (
            "model: x\nprompts:\n  count: few\n",
            ["3: prompts.count: should be a valid integer, unable to parse string as an integer, found 'few'"],
        ),
        ("model: x\nprompts: 4\n", ["2: prompts: should be a section with keys of its own, found 4"]),
        ("model: x\nengine:\n  batch_size: 0\n", ["3: engine.batch_size: 0 is less than 1"]),
        ("model: x\nsizes: [2]\nengine:\n  batch_size: 2\n", ["4: engine.batch_size: is one of the sizes"]),
    ],
)
def test_a_problem_is_reported_with_file_line_and_field(tmp_path, text, lines):
    assert problems(tmp_path, text) == [f"file.yaml:{line}" for line in lines]


def test_a_key_that_is_missing_at_the_top_points_to_the_file(tmp_path):
    assert problems(tmp_path, "sizes: [1]\n") == ["file.yaml: model: required, and missing"]


def test_a_problem_of_no_field_points_to_the_file(tmp_path):
    assert problems(tmp_path, "model: x\nsizes: [1, 2, 3, 4]\n") == ["file.yaml: too much is asked for"]


def test_every_problem_is_reported_in_the_order_of_the_lines(tmp_path):
    assert problems(tmp_path, "\nmodle: x\n\n\n\n\n\n\n\nsizes: 3\n") == [
        "file.yaml:2: modle: unknown key (did you mean model?)",
        "file.yaml:10: sizes: should be a valid list, found 3",
        "file.yaml: model: required, and missing",
    ]


@pytest.mark.parametrize("key", ["1²2", "٣"])
def test_a_problem_is_reported_whatever_digits_the_key_is_made_of(tmp_path, key):
    assert problems(tmp_path, f"model: x\n'{key}': 1\n") == [
        f"file.yaml:2: {key}: unknown key (known: model, prompts, engine, sizes)"
    ]


def test_a_long_value_is_shortened_in_a_message(tmp_path):
    (line,) = problems(tmp_path, f"model: [{', '.join(['word'] * 100)}]\n")
    assert line.endswith("...")
    assert len(line) < 150


def a_pipe(path):
    os.mkfifo(path)


def a_device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(("make", "kind"), [(a_pipe, "a named pipe"), (a_device, "a device")])
def test_a_pipe_or_a_device_is_named_and_not_read(tmp_path, make, kind):
    path = tmp_path / "file.yaml"
    make(path)
    with within_seconds(5), pytest.raises(ConfigError, match=rf"file\.yaml: cannot be read: is {kind}, not a regular"):
        read_yaml(path)


def test_a_file_that_would_take_long_to_read_is_refused_with_the_limit(tmp_path):
    with pytest.raises(ConfigError, match=r"has 41\.0 MB, and at most 40\.0 MB are read"):
        read_yaml(written(tmp_path, "a: " + "x" * 40_999_997))


@pytest.mark.parametrize("form", ["k:\n{}", "{}"], ids=["a list", "a mapping"])
def test_more_values_than_the_limit_are_refused_with_it(tmp_path, monkeypatch, form):
    monkeypatch.setattr(yaml_composing, "MAX_NODES", 1_000)
    line = "- 1\n" if "k" in form else "k{}: [1]\n"
    for count in (450, 1_001):
        path = written(tmp_path, form.format("".join(line.format(number) for number in range(count))))
        if count == 450:
            assert read_yaml(path).data
            continue
        with pytest.raises(ConfigError, match="more than 1,000 values, which take too long to read; make it smaller"):
            read_yaml(path)


@pytest.mark.parametrize("number", ["1" * 4_001, "-" + "1" * 100_000, "0x" + "f" * 4_000], ids=["4,001", "long", "hex"])
@pytest.mark.parametrize("form", ["a: 1\nb: {}\n", "a: 1\n? {}\n: b\n"])
def test_an_integer_of_more_than_4000_digits_is_refused_with_its_line(tmp_path, form, number):
    with pytest.raises(ConfigError, match=r"file\.yaml:[12]: an integer of more than 4,000 digits, which is not read"):
        read_yaml(written(tmp_path, form.format(number)))


def test_an_integer_of_4000_digits_and_a_longer_text_of_digits_are_read(tmp_path):
    file = read_yaml(written(tmp_path, f"a: {'9' * 4_000}\nb: '{'1' * 5_000}'\n"))
    assert file.data == {"a": 10**4_000 - 1, "b": "1" * 5_000}


def test_more_merges_than_the_limit_are_refused_before_they_are_built(tmp_path, monkeypatch):
    monkeypatch.setattr(yaml_composing, "MAX_MERGES", 20)
    text = "a: &a {x: 1}\n" + "".join(f"b{number}: {{<<: *a}}\n" for number in range(20))
    assert read_yaml(written(tmp_path, text)).data["b19"] == {"x": 1}
    with pytest.raises(ConfigError, match=r"file\.yaml:22: more than 20 merges \(<<\), which take too long to read"):
        read_yaml(written(tmp_path, text + "c: {<<: *a}\n"))


def test_a_link_to_a_file_is_followed(tmp_path):
    written(tmp_path, "a: 1\n")
    (tmp_path / "link.yaml").symlink_to("file.yaml")
    assert read_yaml(tmp_path / "link.yaml").data == {"a": 1}


READ_ALIKE = [
    "a: 1\nb: [x, 2.5, true, null, ~, 012, 0o14, 0x1f, 1_000, 1e3, .inf, 12:30, 2026-02-26, off]\n",
    "a: {b: 'it''s', c: \"q\\n\\u00e9\"}\nd: |\n  two\n  lines\ne: >-\n  folded\n  text\n",
    "base: &base {x: 1, y: [1, 2]}\nc:\n  <<: *base\n  y: 3\nd: *base\ne: {<<: [*base, {z: 1}]}\n",
    "# comment\na:   # another\n- b\n-\n  c: d\n? e\n: f\n",
    "%YAML 1.1\n---\na: off\n...\n",
]


@pytest.mark.parametrize("text", READ_ALIKE)
def test_a_file_is_read_alike_with_and_without_libyaml(tmp_path, monkeypatch, text):
    path = written(tmp_path, text)
    quick = read_yaml(path)
    monkeypatch.setattr(yaml_composing, "_of_libyaml", lambda: None)
    exact = read_yaml(path)
    assert (quick.data, dict(quick.lines)) == (exact.data, dict(exact.lines))


def test_a_large_file_is_read_by_libyaml_alone_which_also_says_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(yaml_composing, "MAX_EXACT", 10)
    assert read_yaml(written(tmp_path, "a: 1\nb: [x,\ty]\n")).data == {"a": 1, "b": ["x", "y"]}
    for text, line in (("a: 1\nb: [1\n", 3), ("a: 1\nb: c: d\n", 2)):
        with pytest.raises(ConfigError, match=rf"file\.yaml:{line}: "):
            read_yaml(written(tmp_path, text))


def test_each_alias_has_values_of_its_own_and_its_own_line(tmp_path):
    file = read_yaml(written(tmp_path, "a: &a {x: [1]}\nb:\n- *a\n- *a\n"))
    file.data["b"][0]["x"].append(2)
    assert file.data == {"a": {"x": [1]}, "b": [{"x": [1, 2]}, {"x": [1]}]}
    assert [file.lines["b", 0], file.lines["b", 1], file.lines["b", 1, "x"]] == [3, 4, 1]


def test_a_plain_value_is_known_as_it_is_written(tmp_path):
    file = read_yaml(written(tmp_path, "a: 001\nb: '001'\nc: [1e3]\n"))
    assert [file.written((place,)) for place in "abx"] == ["001", None, None]
    assert file.written(("c", 0)) == "1e3"


def test_aliases_nested_in_each_other_end_at_the_depth_that_lists_end_at(tmp_path):
    lines = ["a0: &a0 [1]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 60))]
    with pytest.raises(ConfigError, match=r"file\.yaml:50: nested over 50 deep"):
        read_yaml(written(tmp_path, "\n".join(lines)))


def test_the_message_of_too_many_values_ends_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(yaml_composing, "MAX_NODES", 3)
    with pytest.raises(ConfigError, match="take too long to read; write them elsewhere"):
        read_yaml(written(tmp_path, "a: [1, 2, 3]\n"), "write them elsewhere")


def test_an_alias_is_the_last_value_with_its_anchor_also_inside_of_what_had_that_anchor_first(tmp_path):
    text = "k: &b\n  m: [&b 7, *b]\n  n: *b\ne: *b\n"
    assert read_yaml(written(tmp_path, text)).data == {"k": {"m": [7, 7], "n": 7}, "e": 7}


def test_merged_keys_come_in_the_order_in_which_they_stand(tmp_path):
    names = [f"key{number}" for number in range(30)]
    text = "base: &b {" + ", ".join(f"{name}: 1" for name in names) + "}\nmerged: {<<: *b}\n"
    assert list(read_yaml(written(tmp_path, text)).data["merged"]) == names


def test_long_files_with_signs_that_some_take_for_line_ends_mean_the_same_as_short_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(yaml_composing, "MAX_EXACT", 10)
    text = '# padding, padding, padding\na:\n- x\u2028- y\nb: "\\ud83d\\ude00"\n'
    assert read_yaml(written(tmp_path, text)).data == {"a": ["x\u2028- y"], "b": "\U0001f600"}
    monkeypatch.setattr(yaml_composing, "MAX_ODD", 20)
    with pytest.raises(ConfigError, match=r":3: the character '\\u2028' is read in files of up to 2e-05 MB"):
        read_yaml(written(tmp_path, text))
