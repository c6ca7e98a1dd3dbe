"""Counts that no answer can have count nothing, wherever a server reports them."""

import pytest

from llenergymeasure.api import run_experiment
from llenergymeasure.results.catalog import results_table
from standins.scripted_server import DONE, ScriptedServer, counts, event, usage_event

pytestmark = pytest.mark.usefixtures("small_heap")

HUGE = 10**12
"""Fits into 64 bits, and no context is so long."""

SAID = [event(" tok"), event(" tok")]


def usage(**changes):
    return [*SAID, event(reason="stop"), usage_event({**counts(5, 3), **changes}), DONE]


OF_THE_PROMPT = [
    usage(prompt_tokens=HUGE, total_tokens=HUGE + 3),
    usage(prompt_tokens=10**30, total_tokens=10**30),
    usage(prompt_tokens=1e30),
    usage(prompt_tokens=-5),
]
OTHERS = [
    usage(prompt_tokens_details={"cached_tokens": HUGE}),
    usage(completion_tokens=HUGE, total_tokens=HUGE),
    usage(completion_tokens=1e300, total_tokens=-8),
    [*SAID, event(reason="stop"), usage_event({"prompt_tokens": 5, "total_tokens": HUGE}), DONE],
    usage(completion_tokens_details={"reasoning_tokens": HUGE}),
    [event(" tok", usage=counts(5, HUGE + 1)), event(" tok", usage=counts(5, HUGE + 2)), DONE],
    [event(" tok", usage=counts(5, HUGE)), event(" tok", usage=counts(5, HUGE)), DONE],
]


@pytest.mark.parametrize("answers", [OF_THE_PROMPT, OTHERS])
def test_a_count_that_no_answer_can_have_counts_nothing(answers, tmp_path):
    def script(asked):
        return usage() if asked.limit == 1 else answers[asked.number - 1]

    with ScriptedServer({"it": script}) as server:
        result = run_experiment(
            model="m",
            backend="openai",
            openai={"base_url": server.url("it")},
            num_prompts=len(answers),
            max_output_tokens=8,
            warmup={"iterations": 0},
            energy={"source": "none"},
            output_dir=tmp_path,
        )
    assert result.request_failures == {}
    assert result.input_tokens == (None if answers is OF_THE_PROMPT else 5 * len(answers))
    assert 2 * len(answers) <= result.output_tokens <= 3 * len(answers)
    assert (result.cached_input_tokens or 0) < 10
    told = any("that no prompt can have" in each for each in result.measurement_warnings)
    assert told == (answers is OF_THE_PROMPT)
    assert results_table(tmp_path).num_rows == 1
