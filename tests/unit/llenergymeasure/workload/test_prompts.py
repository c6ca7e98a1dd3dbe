import json

import pytest
from tiny import tiny_config

from llenergymeasure.errors import ConfigError
from llenergymeasure.workload.prompts import builtin_text, load_prompts


def from_file(path, text, count=1):
    path.write_text(text, encoding="utf-8")
    return load_prompts(tiny_config(dataset=str(path), num_prompts=count)).prompts


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mine.jsonl"


def test_the_built_in_set_has_over_two_hundred_prompts_of_several_lengths():
    prompts = [json.loads(line)["prompt"] for line in builtin_text().splitlines()]
    assert len(set(prompts)) == len(prompts) >= 200
    lengths = [len(prompt.split()) for prompt in prompts[:32]]
    assert min(lengths) <= 20
    assert max(lengths) >= 200


def test_a_line_is_an_object_with_a_prompt_or_just_the_text(path):
    assert from_file(path, '{"prompt": "a", "id": 7, "weight": NaN}\n\n"b"\n', 2) == ["a", "b"]


def test_text_keeps_every_character(path):
    text = 'Zeile eins\nZeile zwei\u2028\u00e9 \U0001f600 \\ " end'
    assert from_file(path, json.dumps({"prompt": text}, ensure_ascii=False) + "\n") == [text]


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_a_dataset(path):
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "a"}\r\n"b"\r\n')
    assert load_prompts(tiny_config(dataset=str(path), num_prompts=2)).prompts == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"prompt": "a"}\nnot json\n', ":2: not JSON"),
        (r'{"prompt": "half \ud83e"}', r":1: half of a surrogate pair (\ud83e) is not valid Unicode"),
        ('{"prompt": "a"}\n' + "[" * 200_000, ":2: nested over 400 deep"),
        ('{"prompt": "a", "id": ' + "1" * 100_000 + "}", ":1: an integer of 100,000 digits; at most 4,000 are read"),
        ('{"text": "a"}\n', ':1: expected {"prompt"'),
        ('{"prompt": 5}\n', ":1: expected"),
        ('{"prompt": "  "}\n', ":1: expected"),
        ("", "no prompts"),
        ('{"prompt": "a"}\n', "has 1 prompts and num_prompts is 3; set num_prompts to 1 or less"),
    ],
)
def test_a_dataset_that_cannot_be_used_is_refused_with_its_place(path, text, problem):
    with pytest.raises(ConfigError) as error:
        from_file(path, text, 3)
    assert str(path) in str(error.value)
    assert problem in str(error.value)


def test_a_name_that_is_no_dataset_is_refused():
    with pytest.raises(ConfigError, match=r"neither 'builtin' nor the path of a \.jsonl file"):
        load_prompts(tiny_config(dataset="sharegpt"))
