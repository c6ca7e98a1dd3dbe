"""Every field of a configuration about a server reaches the server, its requests or its load."""

import json

import pytest
from server_proofs import PROOFS, bodies

pytestmark = pytest.mark.usefixtures("small_heap")


@pytest.mark.parametrize("field", PROOFS)
def test_the_field_reaches_what_it_configures(field, monkeypatch, tmp_path):
    PROOFS[field](tmp_path, monkeypatch)


# Fields that both backends know


def test_greedy_decoding_asks_for_temperature_0_and_for_nothing_that_a_server_may_not_know():
    for body in bodies():
        assert body.keys() == {"model", "messages", "max_tokens", "stream", "stream_options", "temperature"}
        assert body["temperature"] == 0


def test_how_tokens_are_sampled_is_in_every_request():
    decoder = {"temperature": 0.7, "top_k": 5, "top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.3}
    for body in bodies(decoder={"do_sample": True, **decoder}, random_seed=9):
        assert {name: body[name] for name in (*decoder, "seed")} == {**decoder, "seed": 9}
    for body in bodies(decoder={"do_sample": True}, random_seed=9):
        assert {name: body[name] for name in (*decoder, "seed") if name in body} == {"temperature": 1.0, "seed": 9}


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
