"""One grammar of conditions on rows of the flat table."""

import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llenergymeasure.errors import ConfigError
from llenergymeasure.results.conditions import Condition, parse_conditions
from llenergymeasure.results.flat import flat_row
from small_result import make_result

BEGAN = datetime(2026, 11, 30, 8, 5, 7, tzinfo=UTC)
CONFIG: dict[str, Any] = {
    "model": "Salt and Pepper",
    "backend": "pytorch",
    "batch_size": 8,
    "decoder": {"do_sample": True, "top_k": 50},
    "energy": {"source": "nvml_counter", "sensor_gain": 0.05},
    "passthrough_kwargs": {"a.b": 1, "beams": 4, "word": "x=y"},
}
ROW = flat_row(
    make_result(verdict="valid", total_energy_j=50.0, start_time=BEGAN, end_time=BEGAN, effective_config=CONFIG)
)


def holds(text: str) -> bool:
    return all(condition.holds(ROW) for condition in parse_conditions(text))


@pytest.mark.parametrize(
    "text",
    [
        "batch_size=8",
        "batch_size == 8.0",
        "batch_size >= 8 and batch_size<=8 AND batch_size != 9",
        "total_energy_j < 5.1e1",
        "verdict=valid",
        "model='Salt and Pepper' and verdict = valid",
        'model = "Salt and Pepper"',
        "config.batch_size = 8",
        '"config.decoder.top_k" > 49.5',
        "config.decoder.do_sample = true",
        "config.decoder.do_sample != False",
        "config.decoder.temperature = 1",
        "config.energy.sensor_gain = 5%",
        'config.passthrough_kwargs["a.b"] = 1',
        '"config.passthrough_kwargs[""a.b""]" = 1',
        "config.passthrough_kwargs.word = x=y",
        "config.passthrough_kwargs.beams >= 4",
        "config.passthrough_kwargs.no_such_thing is unknown",
        "start_time = 2026-11-30",
        "start_time <= 2026-11-30 and start_time > 2026-11-29",
        "start_time = '2026-11-30 08:05'",
        "start_time = 2026-11-30T10:05:07+02:00",
        "start_time = 2026-11-30T08:05:07+00:00",
        "start_time >= 2026-11",
        "ttft_ms_mean is unknown and batch_size is known",
        "precision is unknown and config.precision = bf16",
    ],
)
def test_a_condition_that_is_met_holds(text):
    assert holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "batch_size=9",
        "batch_size > 7 and batch_size < 8",
        "model != 'Salt and Pepper'",
        "ttft_ms_mean < 500",
        "ttft_ms_mean != 500",
        "ttft_ms_mean = 0",
        "batch_size is unknown",
        "start_time < 2026-11-30",
        "config.passthrough_kwargs.word > 3",
        "config.passthrough_kwargs.beams = four",
        "config.decoder.do_sample = false",
    ],
)
def test_a_condition_that_is_not_met_or_of_an_unknown_figure_does_not_hold(text):
    assert not holds(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batch_sise=8", "unknown column 'batch_sise' (did you mean batch_size?)"),
        ("config.decoder.top = 8", "(did you mean config.decoder.top_"),
        ("decoder.top_k = 8", "(did you mean config.decoder.top_k?)"),
        ("config.decoder = 8", "unknown column 'config.decoder'"),
        ("ttft > 3", "'ttft' (did you mean ttft_ms_median or ttft_ms_p99 or ttft_ms_mean?)"),
        ("ttft_ms_m > 3", "(did you mean ttft_ms_mean?)"),
        ("batch_size = eight", "the column holds numbers, and 'eight' is none"),
        ("ttft_ms_p99 = None", "write ttft_ms_p99 is unknown"),
        ("model < gpt2", "the column holds text, which only = and != compare"),
        ("config.decoder.do_sample = 3", "write config.decoder.do_sample = true"),
        ("start_time > yesterday", "the column holds times"),
        ("start_time > 2026-13", "the column holds times"),
        ("batch_size", "'batch_size' is no condition; write COLUMN OP VALUE"),
        ("", "'' is no condition"),
        ("model = salt and pepper", 'a value with " and " in it stands in quotes'),
        ("batch_size = 8 and", "'8 and' breaks off"),
        ("batch_size is unknown, verdict = valid", "is no condition"),
        ("batch_size is unknown verdict = valid", "put `and` before it"),
    ],
)
def test_what_is_no_condition_is_refused_with_what_to_write(text, said):
    with pytest.raises(ConfigError) as refused:
        parse_conditions(text)
    assert str(refused.value).startswith("--where: ")
    assert said in str(refused.value)


def test_a_limit_has_its_number():
    assert parse_conditions("ttft_ms_p99 <= 300 and tpot_ms_p95 <= 5e1") == [
        Condition("ttft_ms_p99", "<=", 300),
        Condition("tpot_ms_p95", "<=", 50.0),
    ]


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(ConfigError):
        assert parse_conditions(text)


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_can_be_written_in_quotes(text):
    quoted = text.replace("'", "''")
    assert parse_conditions(f"model = '{quoted}' and verdict = valid") == [
        Condition("model", "=", text),
        Condition("verdict", "=", "valid"),
    ]


def test_a_name_far_from_every_column_has_a_few_of_them_named_and_where_all_are():
    with pytest.raises(ConfigError) as refused:
        parse_conditions("cell = 1")
    text = str(refused.value)
    assert "(there are model, batch_size, " in text
    assert text.endswith(' more: llem results sql "describe results" lists them)')
    assert len(text) < 320


@pytest.mark.parametrize("text", ["model = 'random:llama", 'model = "random:llama', "model = a and", "model = a AND"])
def test_a_quote_or_a_condition_that_is_missing_is_told(text):
    with pytest.raises(ConfigError, match="breaks off: a quote or a condition is missing"):
        parse_conditions(text)
