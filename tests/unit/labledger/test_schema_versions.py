"""Records: strict when built, tolerant when read, and nothing of a file lost."""

import importlib
import json
import math
import pkgutil
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, JsonValue, TypeAdapter, ValidationError

import llenergymeasure.domain
from labledger.errors import UnreadableFileError
from labledger.schema_versions import (
    Known,
    OpenWhenRead,
    Record,
    SchemaVersionWarning,
    Timestamp,
    one_per_version,
    parse_record,
    version_warning,
)


class Part(Record):
    size: float | None
    kind: Annotated[Literal["gpu", "cpu"] | None, OpenWhenRead()] = None
    note: str | None = None


class Whole(Record):
    schema_version: str | None = "2.0"
    name: Annotated[str | None, Known]
    count: int | None = 7
    share: float | None = None
    start: Timestamp = None
    part: Part | None = None
    parts: list[Part] = Field(default_factory=list)
    parts_by_name: dict[str, Part] = Field(default_factory=dict)
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    verdict: Annotated[Literal["valid", "invalid"] | None, OpenWhenRead()] = None


def read(data: Any, model: type[Record] = Whole) -> Any:
    return parse_record(model, json.dumps(data).encode(), "file.json")[0]


def warning_for(data: dict[str, Any], current: str = "2.0") -> str | None:
    warning = version_warning(read(data), data, "folder/file.json", current=current, rerun="tool run x.yaml")
    return None if warning is None else str(warning)


def whole_file(**changes: Any) -> dict[str, Any]:
    """A file that has every field."""
    return json.loads(Whole(name="x").model_dump_json()) | changes


def without(data: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in names}


def nested(depth: int) -> JsonValue:
    value: JsonValue = 1
    for _ in range(depth):
        value = [value]
    return value


def domain_records() -> list[type[Record]]:
    for module in pkgutil.iter_modules(llenergymeasure.domain.__path__, "llenergymeasure.domain."):
        importlib.import_module(module.name)
    waiting, found = [Record], []
    while waiting:
        subclasses = waiting.pop().__subclasses__()
        waiting += subclasses
        found += [each for each in subclasses if each.__module__.startswith("llenergymeasure.domain.")]
    return sorted(found, key=lambda each: each.__name__)


class TestBuilding:
    def test_an_unknown_keyword_is_refused_in_pydantics_own_words(self):
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            Whole(name="x", nmae="y")

    def test_an_unknown_keyword_of_a_part_is_refused(self):
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            Whole(name="x", part={"size": 1.0, "sizes": 2})

    def test_what_identifies_a_record_must_be_given(self):
        with pytest.raises(ValidationError, match="name"):
            Whole(name=None)

    def test_a_text_that_a_literal_does_not_list_is_refused(self):
        with pytest.raises(ValidationError, match="Input should be 'valid' or 'invalid'"):
            Whole(name="x", verdict="odd")

    def test_a_record_cannot_be_changed(self):
        with pytest.raises(ValidationError, match="frozen"):
            Whole(name="x").count = 3

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("share", math.nan),
            ("share", -math.inf),
            ("count", 10**4000),
            ("count", -(10**4000)),
            ("name", "\ud800"),
            ("part", {"size": math.inf}),
            ("part", {"size": 1.0, "note": "\udfff"}),
            ("parts", [{"size": 1.0}, {"size": math.nan}]),
            ("parts_by_name", {"\ud800": {"size": 1.0}}),
            ("settings", {"a": math.nan}),
            ("settings", {"a": {"b": [1, [math.inf]]}}),
            ("settings", {"a": {"b": ["\ud800"]}}),
            ("settings", {"a": {"\ud800": 1}}),
            ("settings", {"\ud800": 1}),
            ("settings", {"a": {"b": [10**4000]}}),
            ("settings", {"a": [1.0, math.nan]}),
            ("settings", {"a": [1, -(10**4000)]}),
            ("settings", {"a": [True, 10**4000]}),
            ("settings", {"a": nested(101)}),
            ("settings", {"a": nested(1_000)}),
            ("settings", {"a": nested(50_000)}),
        ],
    )
    def test_what_json_cannot_give_back_is_refused_with_the_name_of_its_field(self, field, value):
        with pytest.raises(ValidationError) as refused:
            Whole(**({"name": "x"} | {field: value}))
        assert {each["loc"][0] for each in refused.value.errors()} == {field}

    def test_the_place_inside_a_field_is_named(self):
        with pytest.raises(ValidationError, match=r"a\.b\[1\]: text that is not valid Unicode"):
            Whole(name="x", settings={"a": {"b": ["ok", "\ud800"]}})

    def test_a_value_that_contains_itself_is_refused(self):
        loop: list[Any] = []
        loop.append(loop)
        with pytest.raises(ValidationError, match="settings"):
            Whole(name="x", settings={"a": loop})

    @pytest.mark.parametrize("digits", [10**4000 - 1, -(10**4000) + 1], ids=["positive", "negative"])
    def test_an_integer_of_4000_digits_is_kept(self, digits):
        record = Whole(name="x", count=digits, settings={"a": digits})
        assert read(json.loads(record.model_dump_json())) == record

    def test_nesting_of_ninety_levels_is_kept(self):
        record = Whole(name="x", settings={"a": nested(90)})
        assert read(json.loads(record.model_dump_json())) == record

    def test_an_aware_time_is_kept_in_utc_and_a_naive_one_as_it_is(self):
        moment = datetime(2026, 2, 26, 14, 0)
        assert Whole(name="x", start=moment).start == moment
        aware = Whole(name="x", start=moment.replace(tzinfo=timezone(timedelta(hours=2)))).start
        assert (aware, aware.tzinfo) == (datetime(2026, 2, 26, 12, 0, tzinfo=UTC), UTC)

    def test_a_time_that_utc_cannot_express_is_refused(self):
        with pytest.raises(ValidationError, match="too near the end of the calendar"):
            Whole(name="x", start=datetime.min.replace(tzinfo=timezone(timedelta(hours=1))))


class TestReading:
    def test_an_absent_field_is_none_whatever_its_default(self):
        record = read({})
        assert (record.schema_version, record.name, record.count, record.part) == (None, None, None, None)

    def test_an_absent_list_or_dict_is_empty(self):
        record = read({})
        assert (record.parts, record.parts_by_name, record.settings) == ([], {}, {})

    def test_a_field_absent_from_a_part_is_none(self):
        assert read({"parts": [{}]}).parts[0].size is None

    def test_an_unknown_field_is_written_back_at_every_depth(self):
        data = whole_file(
            newer={"a": [1, None]},
            part={"size": 1.0, "kind": "gpu", "note": None, "newer": 1},
            parts=[{"size": 2.0, "kind": None, "note": "x", "newer": "two"}],
            parts_by_name={"a": {"size": None, "kind": None, "note": None, "newer": [3]}},
        )
        assert json.loads(read(data).model_dump_json()) == data

    @pytest.mark.parametrize("name", ["_unknown", "model_config", "self", "cls", "__class__", ""])
    def test_an_unknown_field_of_any_name_is_kept(self, name):
        data = whole_file(**{name: 1})
        assert json.loads(read(data).model_dump_json()) == data

    def test_unknown_fields_take_part_in_equality_at_every_depth(self):
        one, same = read(whole_file(newer=1)), read(whole_file(newer=1))
        assert one == same
        assert one != read(whole_file(newer=2))
        assert one != read(whole_file())
        assert read(whole_file(part={"newer": 1})) != read(whole_file(part={"newer": 2}))

    @pytest.mark.parametrize("number", ["1e999", "-1e999", '{"a": [1e999]}'])
    def test_a_number_beyond_all_floats_in_an_unknown_field_is_refused_with_its_name(self, number):
        with pytest.raises(UnreadableFileError, match=r"file\.json: newer"):
            parse_record(Whole, f'{{"name": "x", "newer": {number}}}'.encode(), "file.json")

    def test_a_text_that_a_literal_does_not_list_is_kept(self):
        record = read(whole_file(verdict="odd", part={"size": 1.0, "kind": "tpu"}))
        assert (record.verdict, record.part.kind) == ("odd", "tpu")
        assert json.loads(record.model_dump_json())["verdict"] == "odd"

    def test_what_is_no_text_is_no_value_of_a_literal(self):
        with pytest.raises(UnreadableFileError, match=r"file\.json: verdict: "):
            read(whole_file(verdict=3))

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            (b"", "not JSON: EOF while parsing a value at line 1 column 0"),
            (b'{\n  "name": "x",\n  "count"', "not JSON: EOF while parsing an object at line 3 column 9"),
            (b'{"count": NaN}', "not JSON: expected value at line 1 column 11"),
            (b'{"count": 1 "name"}', "line 1 column 13"),
            (b'{"name": "\xff"}', "line 1 column"),
            (b'{"name": "\\ud800"}', "line 1 column"),
            (b"\x89PNG", "line 1 column 1"),
            (b'{"a":' + b"[" * 100_000, "recursion limit exceeded at line 1 column"),
            (b'{"count": ' + b"1" * 10_000 + b"}", "line 1 column"),
            (b"[1]", "line 1 column 1: expected an object, found list"),
            (b"null", "line 1 column 1: expected an object, found NoneType"),
        ],
    )
    def test_what_is_no_json_object_is_refused_with_line_and_column(self, text, problem):
        with pytest.raises(UnreadableFileError) as refused:
            parse_record(Whole, text, "folder/file.json")
        assert str(refused.value).startswith("folder/file.json: ")
        assert problem in str(refused.value)

    @pytest.mark.parametrize(
        ("data", "path"),
        [
            ({"count": "many"}, "count"),
            ({"part": {"size": "big"}}, "part.size"),
            ({"parts": [{"size": 1}, {"size": []}]}, "parts.1.size"),
            ({"parts_by_name": {"a": {"size": {}}}}, "parts_by_name.a.size"),
            ({"parts": None}, "parts"),
            ({"part": [1]}, "part"),
        ],
    )
    def test_a_value_of_a_wrong_type_is_refused_with_the_path_of_its_field(self, data, path):
        with pytest.raises(UnreadableFileError, match=rf"^file\.json: {path}: "):
            read(data)

    def test_every_value_of_a_wrong_type_is_reported(self):
        with pytest.raises(UnreadableFileError) as refused:
            read({"count": "many", "share": "all"})
        assert [line.split(": ")[1] for line in str(refused.value).splitlines()] == ["count", "share"]


class TestVersionWarning:
    def test_a_file_of_this_version_is_no_cause_for_a_warning(self):
        assert warning_for(whole_file()) is None
        assert warning_for({"schema_version": "2.0"}) is None

    def test_an_older_file_is_reported_with_what_it_lacks_and_how_to_measure_again(self):
        data = without(whole_file(part={"size": 1.0, "kind": "gpu"}), "count", "share", "parts")
        assert warning_for(data, current="3.0") == (
            'Warning: Result file schema_version="2.0"; current schema is "3.0".\n'
            "  File: folder/file.json\n"
            "  Missing fields: [count], [share], [part.note] → None\n"
            "  To rerun with updated schema: tool run x.yaml"
        )

    def test_an_older_file_that_lacks_nothing_names_no_field(self):
        assert warning_for(whole_file(), current="3.0") == (
            'Warning: Result file schema_version="2.0"; current schema is "3.0".\n'
            "  File: folder/file.json\n"
            "  To rerun with updated schema: tool run x.yaml"
        )

    def test_an_older_file_with_unknown_fields_names_them(self):
        assert warning_for(whole_file(schema_version="1.0", gone=1)) == (
            'Warning: Result file schema_version="1.0"; current schema is "2.0".\n'
            "  File: folder/file.json\n"
            "  Kept but not understood: [gone].\n"
            "  To rerun with updated schema: tool run x.yaml"
        )

    def test_a_newer_file_is_reported_with_what_is_not_understood(self):
        part = {"size": 1.0, "kind": "tpu", "note": None, "newer": 1}
        data = whole_file(schema_version="3.0", x=1, verdict="odd", parts=[part], parts_by_name={"a": part})
        assert warning_for(without(data, "share")) == (
            'Warning: Result file schema_version="3.0"; current schema is "2.0".\n'
            "  File: folder/file.json\n"
            "  Missing fields: [share] → None\n"
            "  Kept but not understood: [x], [parts[0].newer], [parts[0].kind], "
            "[parts_by_name[a].newer], [parts_by_name[a].kind], [verdict]. Upgrade labledger."
        )

    def test_a_newer_file_that_is_understood_asks_for_an_upgrade_all_the_same(self):
        assert warning_for(whole_file(schema_version="2.1")) == (
            'Warning: Result file schema_version="2.1"; current schema is "2.0".\n'
            "  File: folder/file.json\n"
            "  Upgrade labledger."
        )

    def test_versions_are_ordered_as_numbers(self):
        assert warning_for(whole_file(schema_version="10.0"), current="9.0").endswith("Upgrade labledger.")

    @pytest.mark.parametrize("version", ["2", "2.0.0", "2.0.0.0", "02.0"])
    def test_versions_of_the_same_numbers_are_one(self, version):
        assert warning_for(without(whole_file(schema_version=version), "count")) is None

    @pytest.mark.parametrize(("version", "is_newer"), [("1.9.9", False), ("2.0.1", True), ("2.1", True), ("1", False)])
    def test_a_number_that_a_version_lacks_counts_as_zero(self, version, is_newer):
        assert warning_for(whole_file(schema_version=version)).endswith("Upgrade labledger.") == is_newer

    def test_a_file_without_a_version_is_reported(self):
        assert warning_for(without(whole_file(), "schema_version")) == (
            'Warning: Result file has no schema_version; current schema is "2.0".\n'
            "  File: folder/file.json\n"
            "  Missing fields: [schema_version] → None\n"
            "  To rerun with updated schema: tool run x.yaml"
        )

    @pytest.mark.parametrize("version", ["two", "2.0-beta", "", "²", "2.³", "9" * 5000])
    def test_a_version_of_any_text_is_warned_of(self, version):
        assert warning_for(whole_file(schema_version=version)).startswith("Warning: Result file ")


class TestManyFilesOfOtherVersions:
    def warnings_of(self, *files: dict[str, Any]) -> list[str]:
        given = [
            version_warning(read(data), data, f"{number}/file.json", current="2.0", rerun="tool run x.yaml")
            for number, data in enumerate(files)
        ]
        return [str(each) for each in one_per_version(each for each in given if each)]

    def test_are_one_line_for_each_version_with_their_number_and_the_first_of_them(self):
        old, new = whole_file(schema_version="1.0"), whole_file(schema_version="3.0", newer=1)
        assert self.warnings_of(old, new, without(old, "count"), without(old, "count", "share"), new, old) == [
            'Warning: 4 result files with schema_version="1.0", the first 0/file.json; current schema is "2.0": '
            "up to 2 fields are None. To rerun with updated schema: tool run x.yaml",
            'Warning: 2 result files with schema_version="3.0", the first 1/file.json; current schema is "2.0": '
            "up to 1 are kept but not understood. Upgrade labledger.",
        ]

    def test_a_file_that_is_the_only_one_of_its_version_has_its_fields_named(self):
        old, nameless = whole_file(schema_version="1.0"), without(whole_file(), "schema_version")
        shown = self.warnings_of(without(old, "count"), nameless, nameless)
        assert "Missing fields: [count]" in shown[0]
        assert shown[1].startswith("Warning: 2 result files with no schema_version, the first 1/file.json; ")

    def test_other_warnings_stay_as_they_are(self):
        others = [UserWarning("a"), SchemaVersionWarning("b"), UserWarning("a")]
        assert one_per_version(others) == others


class TestPlainJson:
    """`model_validate_json` reads a file's text, whoever calls it; keywords and dicts are for building."""

    def test_is_read_as_a_file_is(self):
        data = {"schema_version": "3.0", "newer": {"a": [1]}, "verdict": "odd", "parts": [{"newer": 1}]}
        record = Whole.model_validate_json(json.dumps(data))
        assert record == read(data)
        assert (record.name, record.count, record.parts[0].size, record.verdict) == (None, None, None, "odd")
        assert json.loads(record.model_dump_json()) == json.loads(read(data).model_dump_json())

    def test_is_read_so_inside_of_other_models_too(self):
        assert TypeAdapter(list[Whole]).validate_json('[{"newer": 1}]') == [read({"newer": 1})]

    @pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
    @pytest.mark.parametrize("field", ["share", "settings", "newer"])
    def test_has_no_number_that_json_has_none_for(self, field, number):
        with pytest.raises(ValidationError, match=field):
            Whole.model_validate_json(f'{{"name": "x", "{field}": {{"a": [{number}]}}}}')

    def test_does_not_open_what_is_built_from_values(self):
        for data in ({"name": "x", "newer": 1}, {}, {"name": "x", "verdict": "odd"}):
            with pytest.raises(ValidationError):
                Whole(**data)
            with pytest.raises(ValidationError):
                Whole.model_validate(data)


class TestEveryStoredRecord:
    def test_there_are_some(self):
        assert {"ExperimentResult", "RawProcessResult", "GpuInfo"} <= {each.__name__ for each in domain_records()}

    @pytest.mark.parametrize("model", domain_records())
    def test_an_empty_default_is_a_factory(self, model):
        assert [name for name, field in model.model_fields.items() if field.default in ([], {}, ())] == []

    @pytest.mark.parametrize("model", [each for each in domain_records() if each.may_lack_fields])
    def test_a_file_may_lack_any_field(self, model):
        record = read({}, model)
        made = {name: field.default_factory() for name, field in model.model_fields.items() if field.default_factory}
        assert dict(record) == dict.fromkeys(model.model_fields) | made
        assert all(value in ([], {}) for value in made.values())

    @pytest.mark.parametrize("model", [each for each in domain_records() if not each.may_lack_fields])
    def test_a_file_of_a_study_lacks_no_field_that_is_required(self, model):
        required = [name for name, field in model.model_fields.items() if field.is_required()]
        if required:
            with pytest.raises(UnreadableFileError, match=rf"file\.json: {required[0]}: "):
                read({}, model)
        else:
            assert read({}, model) == model()
