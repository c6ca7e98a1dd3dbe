"""Tasks and results of lm_eval, as they are read: what they may hold, and what is refused with its place."""

import json

import pytest
from tiny import tiny_config

from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.errors import ConfigError
from llenergymeasure.workload.lm_eval_results import load_lm_eval
from llenergymeasure.workload.prompts import load_prompts
from llenergymeasure.workload.questions import digest_of


@pytest.fixture
def task(tmp_path):
    """Write lines of a task, and return a configuration that asks them."""

    def write(*lines, match="exact", **changes):
        path = tmp_path / "task.jsonl"
        path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
        quality = {"task": str(path), **({} if match == "exact" else {"match": match})}
        return ExperimentConfig(model="random:llama", quality=quality, **changes)

    return write


def test_a_task_has_texts_or_conversations_each_with_an_answer_and_a_rule(task):
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2"}]
    found = load_prompts(
        task(
            {"prompt": "1+1", "answer": 2, "match": "number", "source": "mine"},
            "",
            {"messages": turns, "answer": "4"},
            {"prompt": "c", "answer": "[Yy]es", "match": "regex"},
        )
    )
    assert found.prompts[0] == "1+1"
    assert [each.content for each in found.prompts[1]] == ["Be brief.", "2+2"]
    assert [(each.answer, each.match, each.line) for each in found.questions] == [
        ("2", "number", 1),
        ("4", "exact", 3),
        ("[Yy]es", "regex", 4),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"prompt": "a"}, "no answer"),
        ("just a text", "not JSON"),
        ('"just a text"', "no answer"),
        ({"answer": "a"}, "expected"),
        ({"prompt": "a", "answer": None}, "answer: expected a text in quotes"),
        ({"prompt": "a", "answer": 4}, "answer: expected a text in quotes, or match: number"),
        ({"prompt": "a", "answer": " "}, "answer: is empty"),
        ({"prompt": "a", "answer": True, "match": "number"}, "answer: expected a text"),
        ({"prompt": "a", "answer": "four", "match": "number"}, "'four' is not a number such as"),
        ({"prompt": "a", "answer": "4 or 5", "match": "number"}, "'4 or 5' is not a number such as"),
        ({"prompt": "a", "answer": "a", "match": "fuzzy"}, "match: 'fuzzy' is not known; one of exact, regex, number"),
        ({"prompt": "a", "answer": "a" * 1001, "match": "regex"}, "has 1,001 characters"),
    ],
)
def test_a_line_that_cannot_be_scored_is_refused_with_file_and_line(task, line, problem):
    config = task({"prompt": "fine", "answer": "yes"}, line)
    with pytest.raises(ConfigError) as caught:
        load_prompts(config)
    assert f"{config.task}:2: " in str(caught.value)
    assert problem in str(caught.value)


def test_all_questions_are_asked_up_to_a_hundred_or_as_many_as_are_wanted(task):
    lines = [{"prompt": f"{number}", "answer": "a"} for number in range(120)]
    assert len(load_prompts(task(*lines)).questions) == 100
    assert len(load_prompts(task(*lines, num_prompts=120)).questions) == 120
    with pytest.raises(ConfigError, match=r"has 120 prompts and num_prompts is 121.*, or add questions"):
        load_prompts(task(*lines, num_prompts=121))
    with pytest.raises(ConfigError, match="no questions; write one"):
        load_prompts(task())


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"dataset": "builtin"}, "dataset: has no effect with quality.task"),
        ({"dataset_repeat": True}, "dataset_repeat: has no effect with quality.task: each question is asked once"),
        ({"decoder": {"ignore_eos": True}}, "decoder.ignore_eos lets no answer end"),
        ({"quality": {}}, "names neither task nor lm_eval"),
        ({"quality": {"lm_eval": "a.json", "match": "number"}}, "match: has no effect without quality.task"),
    ],
)
def test_what_a_task_leaves_without_effect_is_refused(fields, problem):
    with pytest.raises(ValueError, match=problem):
        tiny_config(**{"quality": {"task": "task.jsonl"}} | fields)


def test_tasks_have_one_digest_if_their_questions_answers_and_rules_are_the_same(task):
    def digest(*lines, **changes):
        found = load_prompts(task(*lines, **changes))
        return digest_of(found.prompts, found.questions)

    line = {"prompt": "a", "answer": "1"}
    assert digest(line) == digest({**line, "match": "exact", "other": 1})
    others = [{**line, "prompt": "b"}, {**line, "answer": "2"}, {**line, "match": "number"}]
    assert len({digest(line), *map(digest, others), digest(line, line)}) == 5


GIVEN = {
    "gsm8k": {
        "alias": "gsm8k",
        "exact_match,strict-match": 0.41,
        "exact_match_stderr,strict-match": 0.013,
        "sample_len": 1319,
    },
    "arc": {"alias": " - arc", "acc,none": 0.5, "acc_stderr,none": "N/A", "acc_norm,none": float("nan")},
    "old": {"acc": 1, "acc_stderr": 0.25},
}


def test_metrics_of_lm_eval_are_kept_as_its_file_gives_them(tmp_path):
    path = tmp_path / "results_2026.json"
    path.write_text(json.dumps({"results": GIVEN, "config": {"model": "hf"}}))
    assert [tuple(each.model_dump().values()) for each in load_lm_eval(str(path))] == [
        ("gsm8k", "exact_match,strict-match", 0.41, 0.013),
        ("arc", "acc", 0.5, None),
        ("arc", "acc_norm", None, None),
        ("old", "acc", 1.0, 0.25),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"results":\n{"a": }}', ":2: not JSON"),
        ("[]", ':1: no "results" with an object for each task'),
        ('{"results": {"a": 1}}', ':1: no "results" with an object for each task'),
        ('{"results": {"a": {"alias": "a"}}}', ':1: no metric under "results"'),
        (json.dumps({"results": {"a": {f"m{n},none": 1 for n in range(10_001)}}}), "10,001 metrics; at most 10,000"),
    ],
)
def test_a_file_that_is_none_of_lm_eval_is_refused_with_its_place(tmp_path, text, problem):
    path = tmp_path / "given.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_lm_eval(str(path))
    assert str(caught.value).startswith(f"quality.lm_eval: {path}")
    assert problem in str(caught.value)
