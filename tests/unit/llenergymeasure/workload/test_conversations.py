"""Datasets of conversations: what is sent of them, and how the model reads it."""

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_config
from transformers import AutoTokenizer

from llenergymeasure.api import run_experiment
from llenergymeasure.backends.pytorch.backend import PytorchBackend
from llenergymeasure.domain.requests import Message
from llenergymeasure.energy.sources import find_sources
from llenergymeasure.errors import ConfigError, PreFlightError
from llenergymeasure.run import preflight
from llenergymeasure.workload.conversations import parse_prompt
from llenergymeasure.workload.prompts import build_requests, builtin_text, load_prompts
from standins.streaming_server import StreamingServer

pytestmark = pytest.mark.usefixtures("small_heap")

SHAREGPT = {
    "id": "a1",
    "conversations": [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "What is a joule?"},
        {"from": "gpt", "value": "A watt for a second."},
        {"from": "human", "value": "And a watt?"},
        {"from": "gpt", "value": "A joule a second."},
    ],
}
OPENAI = {"messages": [{"role": "user", "content": "What is a joule?", "name": "x"}]}
ASKED = (
    Message("system", "Be brief."),
    Message("user", "What is a joule?"),
    Message("assistant", "A watt for a second."),
    Message("user", "And a watt?"),
)


def written(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mine.jsonl"


def encoded(config):
    """The token ids of each prepared request, and the backend's tokenizer."""
    backend = PytorchBackend(config, builtin_text)
    facts = backend.load()
    backend.prepare(build_requests(config, load_prompts(config).prompts, facts.prompt_tokens))
    return [each.token_ids for batch in backend.batches for each in batch], backend.loaded.tokenizer


def test_a_conversation_is_sent_up_to_the_last_turn_of_its_user(path):
    config = tiny_config(dataset=written(path, SHAREGPT, OPENAI, {"prompt": "a"}), num_prompts=3)
    prompts = load_prompts(config).prompts
    assert prompts == [ASKED, (Message("user", "What is a joule?"),), "a"]
    requests = build_requests(config, prompts, ())
    assert [each.messages for each in requests] == [ASKED, prompts[1], None]
    assert [each.prompt for each in requests] == [None, None, "a"]


@given(st.lists(st.sampled_from(["system", "human", "user", "gpt", "assistant"]), min_size=1))
def test_what_is_asked_is_a_head_of_the_conversation_that_ends_with_its_last_user(roles):
    turns = [{"from": role, "value": f"text {place}"} for place, role in enumerate(roles)]
    asked = [place for place, role in enumerate(roles, start=1) if role in ("human", "user")]
    if not asked:
        with pytest.raises(ValueError, match="nothing is asked"):
            parse_prompt({"conversations": turns})
    else:
        found = parse_prompt({"conversations": turns})
        assert [each.content for each in found] == [turn["value"] for turn in turns[: asked[-1]]]
        assert found[-1].role == "user"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"conversations": "hello"}, "conversations: expected a list of turns"),
        ({"conversations": []}, "conversations: no turn of the user"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, "messages: no turn of the user"),
        ({"conversations": [{"role": "user", "content": "a"}]}, 'turn 1: expected {"from": "user", "value": "some'),
        ({"messages": [{"role": "user", "content": [{"text": "a"}]}]}, 'turn 1: expected {"role": "user", "content"'),
        ({"messages": ["a"]}, "messages: turn 1: expected"),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "a"}]},
            "turn 2: role 'tool' is not known (known: system, human, user, gpt, assistant)",
        ),
        ({"messages": [{"role": "user", "content": " "}]}, "turn 1, the user's last, has no text"),
        ({"prompt": "a", **OPENAI}, "has prompt and messages; keep the one that is meant"),
        ({"text": "a"}, 'expected {"prompt": "some text"}, {"conversations": [...]} or {"messages": [...]}'),
    ],
)
def test_a_line_of_another_shape_is_refused_with_its_place(path, line, problem):
    with pytest.raises(ConfigError) as error:
        load_prompts(tiny_config(dataset=written(path, "fine", line), num_prompts=2))
    assert f"{path}:2: " in str(error.value)
    assert problem in str(error.value)


@pytest.mark.parametrize("model", ["random:llama", "folder"])
def test_a_conversation_is_rendered_with_the_models_template_and_begins_once(path, model_folder, model):
    own = {} if model == "random:llama" else {"model": str(model_folder), "random_model": None}
    config = tiny_config(dataset=written(path, SHAREGPT, "And a watt?"), num_prompts=2, max_input_tokens=None, **own)
    (rendered, plain), tokenizer = encoded(config)
    assert tokenizer.decode(rendered) == (
        "<s>system: Be brief.\nuser: What is a joule?\nassistant: A watt for a second.\nuser: And a watt?\nassistant:"
    )
    assert rendered.count(tokenizer.bos_token_id) == plain.count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(plain) == "<s>And a watt?"


def test_a_plain_prompt_is_a_turn_of_the_user_where_the_template_is_asked_for(path):
    config = tiny_config(
        dataset=written(path, "And a watt?"), num_prompts=1, max_input_tokens=None, chat_template="always"
    )
    (rendered,), tokenizer = encoded(config)
    assert tokenizer.decode(rendered) == "<s>user: And a watt?\nassistant:"


def test_a_chat_template_has_no_effect_on_synthetic_prompts():
    with pytest.raises(ValueError, match="chat_template: has no effect with a synthetic dataset"):
        tiny_config(
            dataset={"synthetic": {"input_len": 4, "output_len": 4}}, chat_template="always", max_output_tokens=None
        )


@pytest.fixture
def without_template(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "base-model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = None
    (folder / "chat_template.jinja").unlink()
    tokenizer.save_pretrained(folder)
    return folder


def test_conversations_for_a_model_without_a_template_are_refused_before_it_is_loaded(path, without_template):
    def check(*lines, **changes):
        dataset = written(path, *lines)
        config = tiny_config(model=str(without_template), random_model=None, dataset=dataset, num_prompts=1, **changes)
        return config, preflight.check(config, find_sources(), None)

    for lines, changes in [((SHAREGPT,), {}), (("a",), {"chat_template": "always"})]:
        with pytest.raises(PreFlightError) as error:
            check(*lines, **changes)
        assert "base-model: the model's tokenizer has no chat template" in str(error.value)
        assert len(str(error.value).splitlines()) == 1
    assert check("a")[1].prompts == ["a"]


def test_conversations_for_a_model_whose_template_is_missed_only_when_it_is_loaded_are_refused(path, without_template):
    config = tiny_config(model=str(without_template), random_model=None, dataset=written(path, SHAREGPT), num_prompts=1)
    with pytest.raises(ConfigError, match="no chat template"):
        encoded(config)


def test_a_conversation_that_the_template_refuses_is_named(path, model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "strict")
    (folder / "chat_template.jinja").write_text("{{ raise_exception('Roles must alternate') }}")
    config = tiny_config(model=str(folder), random_model=None, dataset=written(path, "a", SHAREGPT), num_prompts=2)
    with pytest.raises(ConfigError, match="prompt 2 is refused by the model's chat template: Roles must alternate"):
        encoded(config)


@pytest.fixture(scope="module")
def server():
    with StreamingServer() as server:
        yield server


def served(server, model, dataset, endpoint="chat", **plan):
    return run_experiment(
        model=str(model),
        backend="openai",
        openai={"base_url": server.url, "endpoint": endpoint},
        dataset=dataset,
        num_prompts=2,
        warmup={"iterations": 2},
        passthrough_kwargs={"standin": {"tokens": 3, **plan}},
    )


def test_a_server_is_sent_the_conversation_and_renders_it_itself(server, path):
    result = served(server, "stand-in", written(path, SHAREGPT, OPENAI))
    messages = [
        [{"role": each.role, "content": each.content} for each in ASKED],
        [{"role": "user", "content": "What is a joule?"}],
    ]
    # The stand-in counts the words of what it was sent.
    assert result.process_results[0].requests.input_tokens == [len(json.dumps(each).split()) for each in messages]
    assert result.warmup_excluded_samples == 2


def test_a_conversation_is_counted_as_it_is_rendered_where_a_server_sends_no_usage(server, path, model_folder):
    result = served(server, model_folder, written(path, SHAREGPT, OPENAI), usage=False)
    config = {"model": str(model_folder), "random_model": None, "max_input_tokens": None}
    in_process, _ = encoded(tiny_config(dataset=str(path), num_prompts=2, **config))
    assert result.token_count_source == "tokenizer"  # noqa: S105 - no password
    assert result.process_results[0].requests.input_tokens == [len(ids) for ids in in_process]


def test_a_completions_endpoint_takes_no_conversation(server, path):
    with pytest.raises(PreFlightError, match="conversations, which the chat endpoint takes: set openai"):
        served(server, "stand-in", written(path, SHAREGPT, OPENAI), endpoint="completions")


def test_a_chat_template_is_a_servers_own(server):
    with pytest.raises(ConfigError, match="chat_template: has no effect with backend: openai"):
        run_experiment(model="x", backend="openai", openai={"base_url": server.url}, chat_template="always")
