"""`from_json(save(x)) == x`, for whatever a result can hold and whatever its model is called."""

import tempfile
import types
import warnings
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError
from pydantic.fields import FieldInfo

from labledger.schema_versions import Known, Record
from llenergymeasure.domain.experiment import ExperimentResult, RawProcessResult
from llenergymeasure.domain.figures import ComputeMetrics, EnergyMetrics, InferenceMetrics, Timestamps
from properties import examples
from small_result import make_result

MOMENT = datetime(2026, 2, 26, 14, 0)
AWARE_MOMENT = MOMENT.replace(tzinfo=UTC)

TEXTS = st.text(max_size=20)
FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([-0.0, 5e-324, 1.7976931348623157e308])
INTEGERS = st.integers() | st.sampled_from([2**63, -(2**63) - 1, 10**3_999])
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
NAIVE_TIMES = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1))
OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
AWARE_TIMES = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=OFFSETS)
PLAIN = {bool: st.booleans(), int: INTEGERS, float: FLOATS, str: TEXTS}


@cache
def values_of(annotation: Any, times: st.SearchStrategy) -> st.SearchStrategy:
    """Whatever a field of this annotation can hold."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation is JsonValue:
        return JSON_VALUES
    if annotation is datetime:
        return times
    if annotation is types.NoneType:
        return st.none()
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return records(annotation, times)
    if origin in (Union, types.UnionType):
        return st.one_of([values_of(each, times) for each in inner])
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is list:
        return st.lists(values_of(inner[0], times), max_size=2)
    if origin is tuple:
        return st.tuples(*[values_of(each, times) for each in inner])
    if origin is dict:
        return st.dictionaries(TEXTS, values_of(inner[1], times), max_size=2)
    return PLAIN[annotation]


def values_of_field(field: FieldInfo, times: st.SearchStrategy) -> st.SearchStrategy:
    if Known not in field.metadata:
        return values_of(field.annotation, times)
    (annotation,) = set(get_args(field.annotation)) - {types.NoneType}
    return values_of(annotation, times)


@cache
def fields_of(model: type[Record], times: st.SearchStrategy) -> tuple[dict[str, Any], dict[str, Any]]:
    """The strategies of a record's required fields, and of the others."""
    fields = {name: field for name, field in model.model_fields.items() if name != "schema_version"}
    strategies = {name: values_of_field(field, times) for name, field in fields.items()}
    required = {name: strategies[name] for name, field in fields.items() if field.is_required()}
    return required, {name: strategy for name, strategy in strategies.items() if name not in required}


@st.composite
def records(draw: st.DrawFn, model: type[Record], times: st.SearchStrategy) -> Any:
    """A record with its required fields and some of the others."""
    required, others = fields_of(model, times)
    chosen = draw(st.lists(st.sampled_from(sorted(others)), unique=True, max_size=6)) if others else []
    return model(**{name: draw(strategy) for name, strategy in (required | {n: others[n] for n in chosen}).items()})


def results() -> st.SearchStrategy[ExperimentResult]:
    return st.sampled_from([NAIVE_TIMES, AWARE_TIMES]).flatmap(lambda times: records(ExperimentResult, times))


def saved_and_loaded(result: ExperimentResult) -> ExperimentResult:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a drawn `timeseries` names a sidecar that is not there
        return ExperimentResult.from_json(result.save(Path(folder)))


def make_process(start: datetime, end: datetime) -> RawProcessResult:
    return RawProcessResult(
        experiment_id="test-001",
        process_index=0,
        gpu_id=None,
        config_name=None,
        model_name=None,
        timestamps=Timestamps(start=start, end=end, duration_sec=None),
        inference_metrics=InferenceMetrics(
            total_tokens=2,
            input_tokens=1,
            output_tokens=1,
            inference_time_sec=1.0,
            tokens_per_second=2.0,
            latency_per_token_ms=None,
        ),
        energy_metrics=EnergyMetrics(total_energy_j=None, duration_sec=None),
        compute_metrics=ComputeMetrics(flops_total=None),
    )


@examples(100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(result=results())
def test_a_result_is_loaded_as_it_was_saved(result):
    loaded = saved_and_loaded(result)
    assert loaded == result
    assert loaded.model_dump_json() == result.model_dump_json()  # tells -0.0 from 0.0, and 1 from 1.0


@examples(50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(process=st.sampled_from([NAIVE_TIMES, AWARE_TIMES]).flatmap(lambda times: records(RawProcessResult, times)))
def test_the_results_of_processes_are_loaded_as_they_were_saved(process):
    same_kind = AWARE_MOMENT if process.timestamps.start.tzinfo else MOMENT
    result = make_result(start_time=same_kind, end_time=same_kind, process_results=[process, process])
    loaded = saved_and_loaded(result)
    assert loaded == result
    assert loaded.model_dump_json() == result.model_dump_json()


@examples(50)
@given(config=st.dictionaries(TEXTS, JSON_VALUES, max_size=4))
@example(config={"model": ["not", "text"]})
@example(config={"integrity": {"sha256": "0" * 64}, 'x"sha256": "': "}\n"})
def test_a_configuration_is_loaded_as_it_was_saved(config):
    assert saved_and_loaded(make_result(effective_config=config)).effective_config == config


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("total_tokens", 2**63),
        ("total_tokens", -(2**80)),
        ("total_energy_j", -0.0),
        ("total_energy_j", 5e-324),
        ("total_energy_j", 0.1 + 0.2),
        ("energy_source", "日本\u2028\x00\U0001f600"),
        ("steady_state_window", (0.5, 9.5)),
        ("thermal_time_series", [(0.0, 41.0), (1.0, 42.5)]),
        ("start_time", datetime(2026, 10, 25, 2, 30, 0, 1)),
    ],
)
def test_the_values_that_formats_tend_to_lose_are_loaded_as_they_were_saved(field, value):
    loaded = getattr(saved_and_loaded(make_result(**{field: value})), field)
    assert (loaded, repr(loaded)) == (value, repr(value))


def test_an_aware_time_is_loaded_as_the_same_moment_in_utc():
    there = datetime(2026, 2, 26, 14, 0, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    loaded = saved_and_loaded(make_result(start_time=there, end_time=there))
    assert (loaded.start_time, loaded.start_time.tzinfo) == (there, UTC)


@pytest.mark.parametrize(
    "times",
    [
        {"start_time": AWARE_MOMENT},
        {"end_time": AWARE_MOMENT},
        {"process_results": [make_process(AWARE_MOMENT, AWARE_MOMENT)]},
        {"process_results": [make_process(MOMENT, MOMENT), make_process(MOMENT, AWARE_MOMENT)]},
    ],
    ids=["start", "end", "a process", "inside a process"],
)
def test_times_with_and_without_a_zone_are_refused_together(times):
    with pytest.raises(ValidationError, match=r"has no time zone and .* has one"):
        make_result(**times)


PATH_PARTS = st.sampled_from(
    ["..", ".", "/", "\\", "~", "\0", "\n", ":", "-", "_", " ", "C:", "%2e", "../", "a", "é", "名"]
)
HOSTILE_NAMES = st.text(max_size=300) | st.lists(PATH_PARTS, max_size=150).map("".join)


@examples(100)
@given(model=HOSTILE_NAMES, backend=HOSTILE_NAMES)
@example(model="../../../etc/passwd", backend="pytorch")
@example(model="/", backend="..")
@example(model="x" * 5000, backend="y" * 5000)
@example(model="İ" * 200, backend="K")
def test_a_name_of_any_kind_gives_one_folder_directly_inside_the_output_folder(model, backend):
    with tempfile.TemporaryDirectory() as parent:
        output = Path(parent) / "results"
        path = make_result(effective_config={"model": model}, backend=backend).save(output)
        assert list(Path(parent).rglob("*")) == [output, path.parent, path]
        assert path.parent.parent == output
        assert set(path.parent.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-T")
        assert path.parent.name[0] not in ".-"
