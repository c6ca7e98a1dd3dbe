"""Every field of a configuration about a server reaches the server, its requests or its load."""

import json

import pytest
from server_proofs import PROOFS, bodies

from llenergymeasure.backends.openai.settings import request_template
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.domain.requests import Request

pytestmark = pytest.mark.usefixtures("small_heap")


@pytest.mark.parametrize("field", PROOFS)
def test_the_field_reaches_what_it_configures(field, monkeypatch, tmp_path):
    PROOFS[field](tmp_path, monkeypatch)


# Fields that both backends know


NEUTRAL = {"top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0, "n": 1}


def test_greedy_decoding_asks_for_temperature_0_and_for_nothing_that_a_server_may_not_know():
    for body in bodies():
        own = {"model", "messages", "max_tokens", "stream", "stream_options"}
        assert {name: value for name, value in body.items() if name not in own} == {"temperature": 0, **NEUTRAL}
        assert body["stream_options"] == {"include_usage": True}


COMMON = {"temperature": 1.0, "seed": 42, **NEUTRAL}
COUNTS_EACH_CHUNK = {"include_usage": True, "continuous_usage_stats": True}


@pytest.mark.parametrize(
    ("preset", "told", "counts"),
    [
        ("vllm", {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}, COUNTS_EACH_CHUNK),
        ("sglang", {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}, COUNTS_EACH_CHUNK),
        ("tensorrt", {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}, {"include_usage": True}),
        ("llamacpp", {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}, {"include_usage": True}),
    ],
)
def test_the_server_of_a_preset_is_told_by_its_own_names_what_is_to_do_nothing(preset, told, counts):
    body = body_of(launch={"preset": preset}, decoder={"do_sample": True})
    assert body == {**COMMON, **told, "stream_options": counts}
    used = {"do_sample": True, "top_k": 5, "repetition_penalty": 1.3, "top_p": 0.9}
    body = body_of(launch={"preset": preset}, decoder=used)
    penalty = "repeat_penalty" if preset == "llamacpp" else "repetition_penalty"
    assert body == {**COMMON, **told, "stream_options": counts, "top_k": 5, "top_p": 0.9, penalty: 1.3}


def test_a_server_that_takes_a_generation_config_is_told_in_it_alone():
    body = body_of(launch={"preset": "transformers"}, decoder={"do_sample": True})
    told = json.loads(body.pop("generation_config"))
    assert body == {"seed": 42, "stream_options": {"include_usage": True}}
    assert (told["top_p"], told["top_k"], told["repetition_penalty"]) == (1.0, 0, 1.0)


def test_fields_that_the_user_sends_are_not_replaced():
    own = {"stream_options": COUNTS_EACH_CHUNK, "presence_penalty": 0.5}
    assert body_of(passthrough_kwargs=own) == {"temperature": 0, **NEUTRAL, **own}


def body_of(**fields):
    """The fields of a request that say how tokens are chosen and counted."""
    config = ExperimentConfig(model="a-model", backend="openai", **fields)
    asked = json.loads(request_template(config, "a-model").encode(Request(0, "Hello", None, 8)).data)
    return {name: asked[name] for name in asked.keys() - {"model", "messages", "max_tokens", "stream"}}


def test_how_tokens_are_sampled_is_in_every_request():
    decoder = {"temperature": 0.7, "top_k": 5, "top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.3}
    for body in bodies(decoder={"do_sample": True, **decoder}, random_seed=9):
        assert {name: body[name] for name in (*decoder, "seed")} == {**decoder, "seed": 9}
    for body in bodies(decoder={"do_sample": True}, random_seed=9):
        assert {name: body[name] for name in (*decoder, "seed") if name in body} == {
            "temperature": 1.0,
            "top_p": 1.0,
            "seed": 9,
        }


def test_what_greedy_decoding_knows_is_in_every_request_too():
    for body in bodies(decoder={"repetition_penalty": 1.3, "ignore_eos": True}):
        assert (body["repetition_penalty"], body["ignore_eos"]) == (1.3, True)


def test_extra_body_fields_are_in_every_request_and_so_is_the_length():
    body, *others = bodies(passthrough_kwargs={"logit_bias": {"7": -100}}, max_output_tokens=5)
    assert (body["logit_bias"], body["max_tokens"]) == ({"7": -100}, 5)
    assert all(each | {"messages": None} == body | {"messages": None} for each in others)


def test_each_prompt_of_the_dataset_is_sent_once(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Number {number}."}) + "\n" for number in range(3)))
    sent = [body["messages"] for body in bodies(dataset=str(path))]
    assert sorted(messages[0]["content"] for messages in sent) == ["Number 0.", "Number 1.", "Number 2."]
