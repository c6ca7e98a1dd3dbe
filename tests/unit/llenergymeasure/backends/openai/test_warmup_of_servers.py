"""A warm-up, and the probe before it, end a run only where nothing of them succeeds."""

import pytest

from llenergymeasure.api import run_experiment
from llenergymeasure.errors import BackendError, ExperimentError
from standins.scripted_server import DONE, Reply, ScriptedServer, counts, event, usage_event

pytestmark = pytest.mark.usefixtures("small_heap")

ANSWER = [event(" tok"), event(" tok"), event(reason="stop"), usage_event(counts(5, 3)), DONE]
BUSY = Reply([b"busy"], status=503)


@pytest.fixture
def measure(monkeypatch):
    """The result of a run of four requests, whose probes and warm-up are answered as `answers` says, in its order."""
    monkeypatch.setattr("llenergymeasure.backends.openai.backend.PROBE_EVERY_S", 0.0)

    def measure(answers, *, iterations=2, **load):
        with ScriptedServer({"it": lambda asked: [*answers, *[ANSWER] * 99][asked.number]}) as server:
            return run_experiment(
                model="m",
                backend="openai",
                openai={"base_url": server.url("it")},
                load=load or {"concurrency": 4},
                num_prompts=4,
                max_output_tokens=8,
                warmup={"iterations": iterations},
                energy={"source": "none"},
            )

    return measure


def test_a_warm_up_goes_on_where_one_of_its_requests_succeeds_and_says_how_many_failed(measure):
    result = measure([ANSWER, BUSY, BUSY, BUSY, ANSWER, *[BUSY] * 4])
    assert result.request_failures == {}
    assert result.warmup_result.iterations_completed == 1
    told = [each for each in result.measurement_warnings if "warm-up" in each]
    assert any(each.startswith("7 of 8 requests of the warm-up failed; the last: status 503") for each in told)
    assert any(each.startswith("1 of 2 warm-up calls failed") for each in told)


def test_a_warm_up_of_an_open_loop_goes_on_too(measure):
    assert measure([ANSWER, BUSY, ANSWER, ANSWER, BUSY], iterations=1, request_rate=400.0).request_failures == {}


def test_a_warm_up_of_which_nothing_succeeds_ends_the_run(measure):
    with pytest.raises(ExperimentError, match=r"every warm-up call failed \(2\); the last: all 4 requests failed"):
        measure([ANSWER, *[BUSY] * 8])


def test_a_probe_that_a_busy_server_refuses_is_made_again(measure):
    assert measure([BUSY, BUSY, BUSY], iterations=0).request_failures == {}
    with pytest.raises(BackendError, match="does not give one token of 'm': status 503: busy"):
        measure([BUSY] * 99, iterations=0)
