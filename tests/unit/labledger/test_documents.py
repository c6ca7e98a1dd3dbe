"""Documents: told apart by their kind, also when they are damaged, and sealed."""

import hashlib
import json
from typing import Annotated

import pytest
from pydantic import Field, ValidationError

from labledger.documents import (
    Document,
    OtherKindError,
    check_seal,
    document_dict,
    dump_document,
    read_document,
    sealed,
)
from labledger.errors import UnreadableFileError
from labledger.schema_versions import Known


class Sample(Document):
    document_kind = "lab.sample"
    known_by = "weight_g"

    schema_version: str | None = "1.0"
    weight_g: Annotated[float | None, Known]


class Sheet(Document):
    document_kind = "lab.sheet"
    known_by = "samples"

    samples: list[Sample] = Field(default_factory=list)


SAMPLE = Sample(weight_g=1.5)
SAVED = sealed(dump_document(SAMPLE))


def read(content, model=Sample):
    return read_document(model, content if isinstance(content, bytes) else json.dumps(content).encode(), "x.json")[0]


def outcome(content, model=Sample):
    """Return the class that reading returns or raises."""
    try:
        return type(read(content, model))
    except UnreadableFileError as error:
        return type(error)


def test_kind_is_the_first_key_and_the_seal_the_last():
    document = json.loads(SAVED)
    assert list(document) == ["kind", "schema_version", "weight_g", "integrity"]
    assert document["kind"] == "lab.sample"
    assert SAVED.startswith(b'{\n  "kind": "lab.sample",\n  "schema_version"')
    assert document_dict(SAMPLE) == {name: value for name, value in document.items() if name != "integrity"}


def test_a_document_that_is_read_equals_the_one_that_was_written():
    assert read(SAVED) == read(dump_document(SAMPLE).encode()) == SAMPLE
    assert read(SAVED).model_dump() == {"schema_version": "1.0", "weight_g": 1.5}
    assert dump_document(read(SAVED)) == dump_document(SAMPLE)


def test_pydantics_own_way_of_reading_takes_the_kind_too():
    assert Sample.model_validate_json(dump_document(SAMPLE)) == SAMPLE
    assert Sample.model_validate(document_dict(SAMPLE)) == SAMPLE


def test_the_text_of_a_sealed_file_is_read_by_pydantics_own_method():
    assert Sample.model_validate_json(SAVED) == SAMPLE
    assert Sample.model_validate_json(b'{"weight_g": 1.5, "schema_version": "1.0"}') == SAMPLE
    for build in (Sample.model_validate, lambda data: Sample(**data)):
        with pytest.raises(ValidationError, match="integrity"):
            build(json.loads(SAVED))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"kind": "lab.sheet", "weight_g": 1.5}', "is no lab.sample: its kind is lab.sheet, which this version"),
        ('{"kind": "llem.result"}', "which `llem results show` reads"),
        ('{"kind": 5, "weight_g": 1.5}', "its kind should be lab.sample, as it has weight_g"),
        ("{}", "it names no kind, and has no weight_g"),
    ],
)
def test_pydantics_own_method_refuses_the_text_of_another_kind(text, problem):
    with pytest.raises(ValidationError, match=problem):
        Sample.model_validate_json(text)


def test_a_record_inside_a_document_has_no_kind_of_its_own():
    sheet = Sheet(samples=[SAMPLE])
    assert json.loads(dump_document(sheet))["samples"] == [{"schema_version": "1.0", "weight_g": 1.5}]
    assert read(dump_document(sheet).encode(), Sheet) == sheet


def test_the_digest_is_over_all_bytes_with_its_own_digits_as_zeros():
    content = sealed(dump_document(SAMPLE), other_sha256="f" * 64)
    seal = json.loads(content)["integrity"]
    assert seal["other_sha256"] == "f" * 64
    assert hashlib.sha256(content.replace(seal["sha256"].encode(), b"0" * 64)).hexdigest() == seal["sha256"]
    assert check_seal(content, json.loads(content)) == "holds"
    changed = content.replace(b"1.5", b"1.6")
    assert check_seal(changed, json.loads(changed)) == "broken"


@pytest.mark.parametrize("integrity", [None, 3, {}, {"sha256": None}, {"sha256": "abc"}])
def test_a_document_without_a_digest_is_read_and_has_no_seal_to_check(integrity):
    document = {"kind": "lab.sample", "weight_g": 1.5, "integrity": integrity}
    assert read(document).weight_g == 1.5
    assert check_seal(json.dumps(document).encode(), document) == "absent"


def test_a_file_from_before_there_was_a_kind_is_known_by_its_field():
    assert read({"schema_version": "1.0", "weight_g": 1.5}) == SAMPLE
    assert read({"weight_g": None, "newer": 1}).weight_g is None


@pytest.mark.parametrize("kind", ["lab.sheet", "lab.something_newer", "payments.experiment", "other.tool.v2"])
@pytest.mark.parametrize("known", [{}, {"weight_g": 1.5}], ids=["", "with our field"])
def test_a_document_that_says_another_kind_is_of_that_kind(kind, known):
    with pytest.raises(OtherKindError) as refused:
        read({"kind": kind, **known})
    assert refused.value.kind == kind
    assert str(refused.value).startswith(f"x.json: is no lab.sample: its kind is {kind}, which ")


def test_the_command_that_reads_another_kind_is_named():
    with pytest.raises(OtherKindError, match="which `payment-sim experiment show` reads"):
        read({"kind": "payments.experiment"})
    with pytest.raises(OtherKindError, match="which this version of labledger does not know"):
        read({"kind": "payments.something"})


@pytest.mark.parametrize("document", [{}, {"a": 1}, [], [{"kind": "lab.sample"}], "lab.sample", 1, None])
def test_json_that_names_no_kind_is_of_another_one(document):
    with pytest.raises(OtherKindError, match=r"^x\.json: ") as refused:
        read(document)
    assert refused.value.kind is None


ODD_KINDS = [None, 5, True, [], ["lab.sample"], {"lab": "sample"}, "", "sample", "Lab.Sample", "\x1b[2J.x", "a." * 9999]


@pytest.mark.parametrize("kind", ODD_KINDS, ids=range(len(ODD_KINDS)))
def test_a_kind_that_is_none_is_not_quoted(kind):
    with pytest.raises(OtherKindError) as refused:
        read({"kind": kind})
    assert refused.value.kind is None
    assert len(str(refused.value)) < 200
    assert str(refused.value).isprintable()
    with pytest.raises(UnreadableFileError, match=r"^x\.json: kind: should be lab\.sample") as refused:
        read({"kind": kind, "weight_g": 1.5})
    assert not isinstance(refused.value, OtherKindError)


def test_of_a_key_that_stands_twice_the_last_counts():
    assert outcome(b'{"kind": "lab.sheet", "weight_g": 1.5, "kind": "lab.sample"}') is Sample
    assert outcome(b'{"kind": "lab.sample", "weight_g": 1.5, "kind": "lab.sheet"}') is OtherKindError


def test_a_value_of_a_wrong_type_in_a_document_of_this_kind_is_reported_with_its_field():
    with pytest.raises(UnreadableFileError, match=r"^x\.json: weight_g: ") as refused:
        read({"kind": "lab.sample", "weight_g": "heavy"})
    assert not isinstance(refused.value, OtherKindError)


def test_a_document_that_is_cut_anywhere_is_reported_as_broken_and_never_passed_over():
    whole = len(SAVED.rstrip())
    assert {outcome(SAVED[:length]) for length in range(whole)} == {UnreadableFileError}


def test_a_document_of_another_kind_that_is_cut_is_of_that_kind_once_it_has_named_it():
    said = len(b'{\n  "kind": "lab.sample"')
    assert {outcome(SAVED[:length], Sheet) for length in range(said)} == {UnreadableFileError}
    assert {outcome(SAVED[:length], Sheet) for length in range(said, len(SAVED))} == {OtherKindError}


def test_a_document_with_any_one_bit_flipped_is_never_passed_over():
    for place in range(len(SAVED)):
        for bit in range(8):
            damaged = SAVED[:place] + bytes([SAVED[place] ^ 1 << bit]) + SAVED[place + 1 :]
            assert outcome(damaged) in (Sample, UnreadableFileError), damaged
            if outcome(damaged) is Sample:
                assert check_seal(damaged, json.loads(damaged)) != "holds"


def test_a_document_that_an_editor_began_with_a_byte_order_mark_is_read_and_its_seal_broken():
    content = b"\xef\xbb\xbf" + SAVED
    found, data = read_document(Sample, content, "here")
    assert (found.weight_g, check_seal(content, data)) == (1.5, "broken")
