"""Servers that refuse fields of a request: it is sent without those that it can do without, and that is told."""

import json

import pytest
from server_proofs import measured

from llenergymeasure.errors import BackendError
from standins.recording_server import RecordingServer

pytestmark = pytest.mark.usefixtures("small_heap")

OPTIONAL = {"stream_options", "top_p", "frequency_penalty", "presence_penalty", "n"}


def asked_without(refuses, status=422, **changes):
    """Return the server, and the result of a run on it."""
    with RecordingServer(refuses=refuses, refusal=status) as server:
        return server, measured(server.url, **changes)


def first_of(*names):
    """A server that names the first of these fields that it finds, as OpenAI's does."""
    return lambda body: next((f"Unsupported parameter: '{name}'" for name in names if name in body), None)


def remarks(result):
    return [each for each in result.measurement_warnings if "was asked without" in each]


def test_fields_that_a_server_refuses_one_by_one_are_left_out_and_the_others_are_not():
    server, result = asked_without(first_of("top_p", "stream_options"))
    assert len(server.probed) == 3
    assert len(server.asked) == 3
    for each in server.asked:
        assert OPTIONAL & each.body.keys() == {"frequency_penalty", "presence_penalty", "n"}
    first, second = remarks(result)
    assert first == (
        "The server refused top_p (status 422: Unsupported parameter: 'top_p') and was asked without: "
        "its own defaults hold for top_p."
    )
    assert "it tells how many tokens an answer has only if it does so unasked" in second
    assert result.request_failures == {}


def test_all_that_may_be_left_out_is_where_a_server_does_not_say_what_it_refuses():
    server, result = asked_without(lambda body: "invalid request" if "n" in body else None)
    assert [bool(OPTIONAL & each.body.keys()) for each in server.probed] == [True, True, False]
    assert all(not OPTIONAL & each.body.keys() for each in server.asked)
    (remark,) = remarks(result)
    assert remark.startswith("The server refused stream_options, top_p, frequency_penalty, presence_penalty, n (status")


def test_a_server_that_fails_over_a_field_instead_of_refusing_it_is_asked_without():
    def fails(body):
        return "penalty must be positive" if "frequency_penalty" in body else None

    server, result = asked_without(fails, status=500)
    assert all(not OPTIONAL & each.body.keys() for each in server.asked)
    (remark,) = remarks(result)
    assert remark.startswith("The server failed over stream_options, top_p")
    assert "(status 500: penalty must be positive)" in remark


@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_refusal_that_names_no_field_and_passes_leaves_nothing_out(status):
    asked = iter(["warming up"])
    server, result = asked_without(lambda body: next(asked, None), status=status)
    assert len(server.probed) == 2
    assert all(each.body.keys() >= OPTIONAL for each in server.asked)
    assert remarks(result) == []


def test_a_server_that_takes_everything_has_no_remark():
    server, result = asked_without(lambda body: None)
    assert all(each.body.keys() >= OPTIONAL for each in server.asked)
    assert remarks(result) == []


@pytest.mark.parametrize(
    "refuses",
    [
        lambda body: f"the first: temperature, among {len(body)} fields",
        lambda body: "the first: top_p" if "top_p" in body else "the second: temperature",
    ],
)
def test_a_refusal_that_leaving_fields_out_does_not_mend_is_told_in_the_servers_first_words(refuses):
    with pytest.raises(BackendError, match=r"status 422: the first: (temperature|top_p)"):
        asked_without(refuses)


def test_a_request_that_is_refused_later_is_sent_once_more_without_what_the_refusal_names():
    def refuses(body):
        return "no presence_penalty" if "presence_penalty" in body and "Number 1." in json.dumps(body) else None

    server, result = asked_without(refuses, **numbered(3))
    assert (len(server.asked), result.output_tokens, result.request_failures) == (4, 9, {})
    again = next(each.body for each in server.asked if "presence_penalty" not in each.body)
    assert OPTIONAL & again.keys() == OPTIONAL - {"presence_penalty"}
    assert again["messages"] == [{"role": "user", "content": "Number 1."}]
    (remark,) = remarks(result)
    assert remark.startswith("For 1 request, the server refused presence_penalty (status 422: no presence_penalty)")


def test_a_request_that_is_refused_for_another_reason_is_sent_once_and_fails():
    def refuses(body):
        return "the prompt is too long" if "Number 1." in json.dumps(body) else None

    server, result = asked_without(refuses, **numbered(3))
    assert (len(server.asked), result.request_failures) == (3, {"http_4xx": 1})
    assert remarks(result) == []


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def numbered(count):
    """Prompts of their numbers, in a file here."""
    with open("numbered.jsonl", "w") as file:
        file.writelines(json.dumps({"prompt": f"Number {number}."}) + "\n" for number in range(count))
    return {"dataset": "numbered.jsonl", "num_prompts": count}
