"""A result's folder: its name, its seal, its sidecar, and what is said when something is amiss."""

import hashlib
import json
import re
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labledger.errors import UnreadableFileError
from labledger.schema_versions import SchemaVersionWarning, parse_record
from llenergymeasure.domain.experiment import ExperimentResult, RawProcessResult
from llenergymeasure.domain.power import PowerSample
from llenergymeasure.errors import ExperimentError
from llenergymeasure.results.persistence import UnsavedResultError, save_or_keep, save_raw_result
from llenergymeasure.results.timeseries import load_timeseries_parquet, write_timeseries_parquet
from small_result import make_raw_result, make_result, make_samples


@pytest.fixture
def sidecar(tmp_path):
    return write_timeseries_parquet(make_samples(), tmp_path / "source.parquet")


@pytest.fixture
def saved(tmp_path):
    """The path of a saved result.json without a sidecar."""
    return make_result().save(tmp_path / "results")


@pytest.fixture
def saved_with_sidecar(tmp_path, sidecar):
    return make_result().save(tmp_path / "results", timeseries_source=sidecar)


@pytest.fixture
def a_file(tmp_path):
    """A file, for where a folder should be."""
    path = tmp_path / "a_file"
    path.write_text("content")
    return path


def rewritten(path: Path, **changes: Any) -> Path:
    """The document at `path` with some values changed, and those that are ... left out; without a seal."""
    document = json.loads(path.read_text()) | {"integrity": ...} | changes
    path.write_text(json.dumps({name: value for name, value in document.items() if value is not ...}))
    return path


def seal(document: dict[str, Any], **more: Any) -> bytes:
    """`document` with its integrity key, by the rule and not by the product's code."""
    content = json.dumps(document | {"integrity": {"sha256": "0" * 64, "timeseries_sha256": None} | more}, indent=2)
    head, tail = content.rsplit("0" * 64, 1)
    return f"{head}{hashlib.sha256(content.encode()).hexdigest()}{tail}".encode()


def warnings_of_loading(path: Path) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ExperimentResult.from_json(path)
    return caught


def change_is_noticed(path: Path) -> bool:
    """Return True if loading warns that a digest differs, or refuses the file."""
    try:
        return any("a digest differs" in str(each.message) for each in warnings_of_loading(path))
    except UnreadableFileError:
        return True


def folder_name(folder: Path, **changes: Any) -> str:
    return make_result(**changes).save(folder).parent.name


class TestIntegrity:
    def test_integrity_is_the_last_key(self, saved):
        assert list(json.loads(saved.read_bytes()))[-1] == "integrity"

    def test_the_digest_is_of_the_files_own_bytes_with_its_digits_as_zeros(self, saved_with_sidecar):
        content = saved_with_sidecar.read_bytes()
        digest = json.loads(content)["integrity"]["sha256"]
        assert content.count(digest.encode()) == 1
        assert hashlib.sha256(content.replace(digest.encode(), b"0" * 64)).hexdigest() == digest

    def test_the_sidecars_digest_is_of_its_bytes(self, saved_with_sidecar, sidecar):
        digest = json.loads(saved_with_sidecar.read_bytes())["integrity"]["timeseries_sha256"]
        assert digest == hashlib.sha256(sidecar.read_bytes()).hexdigest()

    def test_without_a_sidecar_its_digest_is_null(self, saved):
        assert json.loads(saved.read_bytes())["integrity"]["timeseries_sha256"] is None

    def test_a_result_as_it_was_saved_is_loaded_without_a_word(self, saved, saved_with_sidecar):
        assert warnings_of_loading(saved) == []
        assert warnings_of_loading(saved_with_sidecar) == []

    def test_a_configuration_that_holds_a_digest_of_its_own_is_no_cause_for_a_warning(self, tmp_path):
        config = {"integrity": {"sha256": "0" * 64}, "sha256": "f" * 64}
        assert warnings_of_loading(make_result(effective_config=config).save(tmp_path)) == []

    def test_integrity_is_no_field_of_a_loaded_result(self, saved):
        loaded = ExperimentResult.from_json(saved)
        assert loaded == make_result()
        assert "integrity" not in json.loads(loaded.to_json())

    def test_a_loaded_result_that_is_saved_again_has_one_seal_of_its_own(self, saved, tmp_path):
        again = ExperimentResult.from_json(saved).save(tmp_path / "again")
        assert again.read_bytes() == saved.read_bytes()

    def test_any_changed_byte_before_the_seal_is_noticed(self, saved):
        content = saved.read_bytes()
        unnoticed = []
        for index in range(content.rindex(b'"integrity"')):
            saved.write_bytes(content[:index] + bytes([content[index] ^ 1]) + content[index + 1 :])
            if not change_is_noticed(saved):
                unnoticed.append(index)
        assert unnoticed == []

    def test_a_changed_digest_is_noticed(self, saved):
        content = saved.read_bytes()
        digest = json.loads(content)["integrity"]["sha256"].encode()
        saved.write_bytes(content.replace(digest, digest[:-1] + (b"0" if digest[-1:] != b"0" else b"1")))
        assert change_is_noticed(saved)

    def test_a_changed_digest_of_the_sidecar_is_noticed(self, saved_with_sidecar):
        content = saved_with_sidecar.read_bytes()
        digest = json.loads(content)["integrity"]["timeseries_sha256"].encode()
        saved_with_sidecar.write_bytes(content.replace(digest, digest[::-1]))
        assert change_is_noticed(saved_with_sidecar)

    def test_a_byte_that_was_added_or_lost_at_the_end_is_noticed(self, saved):
        content = saved.read_bytes()
        saved.write_bytes(content + b"\n")
        assert change_is_noticed(saved)
        saved.write_bytes(content[:-1])
        assert change_is_noticed(saved)

    def test_any_changed_byte_of_the_sidecar_is_noticed(self, saved_with_sidecar):
        path = saved_with_sidecar.parent / "timeseries.parquet"
        content = path.read_bytes()
        unnoticed = []
        for index in range(0, len(content), 7):
            path.write_bytes(content[:index] + bytes([content[index] ^ 1]) + content[index + 1 :])
            if not change_is_noticed(saved_with_sidecar):
                unnoticed.append(index)
        assert unnoticed == []

    def test_a_change_is_a_warning_that_names_the_file_once(self, saved):
        saved.write_bytes(saved.read_bytes().replace(b"test-001", b"test-002"))
        with pytest.warns(UserWarning, match=f"{saved} or its sidecar was changed after it was saved") as caught:
            loaded = ExperimentResult.from_json(saved)
        assert len(caught) == 1
        assert loaded.experiment_id == "test-002"

    @pytest.mark.parametrize(
        "integrity",
        [
            ...,
            None,
            "",
            [],
            {},
            {"sha256": None},
            {"sha256": "abc"},
            {"sha256": "g" * 64},
            {"sha256": 5},
            [1, {"a": 2}],
        ],
    )
    def test_an_absent_or_malformed_seal_is_passed_over_in_silence(self, saved, integrity):
        rewritten(saved, integrity=integrity)
        assert warnings_of_loading(saved) == []
        assert ExperimentResult.from_json(saved) == make_result()

    def test_the_seal_of_a_newer_file_is_checked_and_not_kept_as_unknown(self, saved):
        document = json.loads(rewritten(saved, schema_version="3.0", newer=1).read_bytes())
        saved.write_bytes(seal(document, signed_by="someone"))
        (warning,) = warnings_of_loading(saved)
        assert warning.category is SchemaVersionWarning
        assert "[newer]" in str(warning.message)
        assert "integrity" not in str(warning.message)
        saved.write_bytes(saved.read_bytes().replace(b"test-001", b"test-002"))
        assert change_is_noticed(saved)


class TestSchemaVersions:
    def test_a_newer_file_warns_once_in_these_words(self, saved):
        rewritten(
            saved, schema_version="3.0", total_flops=..., mean_power_w=..., newer=1, latency_stats={"e3e_ms": None}
        )
        (warning,) = warnings_of_loading(saved)
        assert warning.category is SchemaVersionWarning
        assert str(warning.message) == (
            'Warning: Result file schema_version="3.0"; current schema is "2.0".\n'
            f"  File: {saved}\n"
            "  Missing fields: [latency_stats.ttft_ms], [latency_stats.tpot_ms], [latency_stats.itl_ms], "
            "[latency_stats.e2e_ms], [mean_power_w], [total_flops] → None\n"
            "  Kept but not understood: [newer], [latency_stats.e3e_ms]. Upgrade labledger."
        )

    def test_an_older_file_warns_once_in_these_words(self, saved):
        rewritten(saved, schema_version="1.0", backend=..., total_flops=...)
        (warning,) = warnings_of_loading(saved)
        assert warning.category is SchemaVersionWarning
        assert str(warning.message) == (
            'Warning: Result file schema_version="1.0"; current schema is "2.0".\n'
            f"  File: {saved}\n"
            "  Missing fields: [backend], [total_flops] → None\n"
            "  To rerun with updated schema: llem run experiment.yaml"
        )

    def test_a_warning_points_to_the_line_that_loads(self, saved):
        rewritten(saved, schema_version="1.0")
        with pytest.warns(SchemaVersionWarning) as caught:
            ExperimentResult.from_json(saved)
        assert caught[0].filename == __file__

    def test_absent_fields_of_another_version_are_none_and_nothing_is_invented(self, saved):
        rewritten(saved, schema_version="1.0", backend=..., total_tokens=..., verdict_reasons=...)
        with pytest.warns(SchemaVersionWarning):
            loaded = ExperimentResult.from_json(saved)
        assert (loaded.schema_version, loaded.backend, loaded.total_tokens) == ("1.0", None, None)
        assert loaded.verdict_reasons == []

    def test_a_newer_file_is_saved_again_with_all_that_it_held(self, saved, tmp_path):
        rewritten(saved, schema_version="3.0", newer={"a": [1]}, verdict="doubtful")
        with pytest.warns(SchemaVersionWarning):
            loaded = ExperimentResult.from_json(saved)
        again = json.loads(loaded.save(tmp_path / "again").read_bytes())
        again.pop("integrity")
        assert again == json.loads(saved.read_bytes())


class TestUnreadableFiles:
    def test_a_file_that_is_cut_short_is_refused_with_line_and_column(self, saved):
        content = saved.read_bytes()
        lines = content[: content.index(b'"total_tokens"')].count(b"\n") + 1
        saved.write_bytes(content[: content.index(b'"total_tokens"') + 5])
        with pytest.raises(UnreadableFileError, match=rf"^{saved}: not JSON: EOF .* at line {lines} column \d+$"):
            ExperimentResult.from_json(saved)

    @pytest.mark.parametrize("content", [b"", b"total_tokens: 5\n", b"\x89PNG\r\n", b'{"total_energy_j": NaN}'])
    def test_what_is_not_json_is_refused_with_line_and_column(self, saved, content):
        saved.write_bytes(content)
        with pytest.raises(UnreadableFileError, match=rf"^{saved}: not JSON: .* at line 1 column \d+$"):
            ExperimentResult.from_json(saved)

    def test_json_that_is_no_object_is_refused(self, saved):
        saved.write_text("[]")
        with pytest.raises(UnreadableFileError, match="expected an object, found list"):
            ExperimentResult.from_json(saved)

    def test_a_value_of_a_wrong_type_is_refused_with_its_path(self, saved):
        rewritten(saved, process_results=[{"timestamps": {"start": "yesterday"}}], total_tokens=1.5)
        with pytest.raises(UnreadableFileError) as refused:
            ExperimentResult.from_json(saved)
        places = [line.removeprefix(f"{saved}: ").split(":")[0] for line in str(refused.value).splitlines()]
        assert places == ["total_tokens", "process_results.0.timestamps.start"]

    def test_a_file_that_is_not_there_is_an_os_error(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            ExperimentResult.from_json(tmp_path / "result.json")


class TestSaving:
    def test_a_timeseries_source_that_is_missing_is_a_warning_and_the_result_is_saved(self, tmp_path):
        with pytest.warns(UserWarning, match=f"^Timeseries source missing at {tmp_path}/gone.parquet") as caught:
            path = make_result().save(tmp_path / "results", timeseries_source=tmp_path / "gone.parquet")
        assert len(caught) == 1
        assert caught[0].filename == __file__
        assert ExperimentResult.from_json(path) == make_result()

    def test_the_timeseries_source_stays(self, sidecar, tmp_path):
        before = sidecar.read_bytes()
        make_result().save(tmp_path / "results", timeseries_source=sidecar)
        assert sidecar.read_bytes() == before

    def test_the_result_itself_is_not_changed_by_saving(self, sidecar, tmp_path):
        result = make_result()
        result.save(tmp_path / "results", timeseries_source=sidecar)
        assert result == make_result()

    def test_the_timeseries_is_loaded_from_beside_the_result(self, saved_with_sidecar):
        table = ExperimentResult.from_json(saved_with_sidecar).load_timeseries(saved_with_sidecar)
        assert table.num_rows == 300

    def test_a_result_without_a_timeseries_or_whose_timeseries_is_gone_has_none(self, saved, saved_with_sidecar):
        result = ExperimentResult.from_json(saved_with_sidecar)
        (saved_with_sidecar.parent / "timeseries.parquet").unlink()
        assert result.load_timeseries(saved_with_sidecar) is None
        assert make_result().load_timeseries(saved) is None

    def test_a_timeseries_that_lies_beside_a_result_and_is_not_named_is_read_with_a_note(self, saved, sidecar):
        assert not warnings_of_loading(saved)
        beside = saved.parent / "timeseries.parquet"
        beside.write_bytes(sidecar.read_bytes())
        (note,) = warnings_of_loading(saved)
        assert str(note.message) == (
            f"{beside} lies beside a result that does not name it: it is read as its timeseries, and no digest tells "
            "whether it is that."
        )
        assert make_result().load_timeseries(saved).num_rows == 300

    @pytest.mark.parametrize("kind", ["a link", "a folder"])
    def test_what_is_no_file_in_the_place_of_an_unnamed_timeseries_is_none(self, saved, sidecar, kind):
        beside = saved.parent / "timeseries.parquet"
        beside.symlink_to(sidecar) if kind == "a link" else beside.mkdir()
        assert not warnings_of_loading(saved)
        assert make_result().load_timeseries(saved) is None

    def test_a_save_that_fails_leaves_no_folder(self, tmp_path):
        unreadable = Path("/proc/self/mem")  # there, and its first byte cannot be read
        if not unreadable.is_file():
            pytest.skip("no such file here")
        with pytest.raises(OSError, match="/proc/self/mem"):
            make_result().save(tmp_path / "results", timeseries_source=unreadable)
        assert list((tmp_path / "results").iterdir()) == []

    def test_saving_where_a_file_stands_is_an_error_that_names_it(self, a_file):
        with pytest.raises(NotADirectoryError, match=f"{a_file}/gpt2_pytorch_"):
            make_result().save(a_file)


class TestKeeping:
    def test_a_result_that_can_be_saved_is_saved_where_it_was_asked_for(self, tmp_path, sidecar):
        path = save_or_keep(make_result(), tmp_path / "results", sidecar)
        assert path.parent.parent == tmp_path / "results"

    def test_a_result_that_cannot_be_saved_is_kept_in_the_users_state_folder(
        self, tmp_path, a_file, sidecar, monkeypatch
    ):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        with pytest.raises(UnsavedResultError) as refused:
            save_or_keep(make_result(), a_file, sidecar)
        kept_at = refused.value.kept_at
        assert kept_at.is_relative_to(tmp_path / "state")
        assert kept_at.parent.parent.name == "unsaved"
        assert ExperimentResult.from_json(kept_at) == make_result(timeseries="timeseries.parquet")
        assert (kept_at.parent / "timeseries.parquet").read_bytes() == sidecar.read_bytes()

    def test_the_error_says_what_failed_and_where_the_result_is(self, tmp_path, a_file, monkeypatch):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        with pytest.raises(UnsavedResultError) as refused:
            save_or_keep(make_result(), a_file)
        message = str(refused.value)
        assert message.startswith(f"the result could not be saved in {a_file}: Not a directory")
        assert message.endswith(f"it is kept at {refused.value.kept_at}")
        assert isinstance(refused.value, ExperimentError)
        assert refused.value.exit_code == 1

    def test_a_result_that_can_be_kept_nowhere_comes_with_the_error(self, a_file, monkeypatch):
        monkeypatch.setenv("XDG_STATE_HOME", str(a_file))
        with pytest.raises(UnsavedResultError, match=f"nor in {a_file}/.*: Not a directory") as refused:
            save_or_keep(make_result(), a_file)
        assert refused.value.kept_at is None
        assert refused.value.result == make_result()


class TestProcessResults:
    @pytest.mark.parametrize("experiment_id", ["test-001", "../../escaped", "..", "a/../../../b", "{tmp_path}/b"])
    def test_the_result_of_a_process_stays_in_the_state_folder(self, tmp_path, experiment_id):
        path = save_raw_result(make_raw_result(experiment_id.format(tmp_path=tmp_path)), tmp_path / "results")
        assert path.resolve().is_relative_to(tmp_path / "results" / ".state")

    def test_the_result_of_a_process_is_loaded_as_it_was_saved(self, tmp_path):
        raw = make_raw_result("test-001")
        path = save_raw_result(raw, tmp_path)
        assert parse_record(RawProcessResult, path.read_bytes(), str(path))[0] == raw


class TestFolderNames:
    @pytest.mark.parametrize(
        ("model", "slug"),
        [
            ("gpt2", "gpt2"),
            ("meta-llama/Llama-3.1-8B", "meta-llama-llama-3.1-8b"),
            ("random:llama", "random-llama"),
            ("A  b&&c", "a-b-c"),
            ("under_score", "under_score"),
            ("a--b", "a--b"),
            ("..-.name.-..", "name"),
            ("日本のモデル", "unknown"),
            ("modèle", "mod-le"),
            ("/models/Llama-3", "llama-3"),
            ("/models/Llama-3/", "llama-3"),
            ("./out/My Model", "my-model"),
            ("../up/model", "model"),
            ("~/models/model", "model"),
            ("", "unknown"),
            ("   ", "unknown"),
            ("..", "unknown"),
            ("../..", "unknown"),
            ("/", "unknown"),
            ("~", "unknown"),
            ("a/../../etc/passwd", "passwd"),
            ("x\0y\nz", "x-y-z"),
            ("x" * 300, "x" * 100),
            ("x" * 99 + "-" + "y", "x" * 99),
            ("--" + "x" * 100, "x" * 100),
            (None, "unknown"),
            (["gpt2"], "unknown"),
        ],
    )
    def test_the_models_part_of_the_name_is_safe_and_readable(self, tmp_path, model, slug):
        name = folder_name(tmp_path, effective_config={"model": model})
        assert re.sub(r"_pytorch_[\dT-]+$", "", name) == slug

    def test_a_result_that_names_no_model_is_of_an_unknown_one(self, tmp_path):
        assert folder_name(tmp_path, effective_config={}).startswith("unknown_pytorch_")

    def test_the_backends_part_follows_the_same_rules(self, tmp_path):
        assert folder_name(tmp_path, backend="My Backend/../2").startswith("gpt2_my-backend-..-2_")
        assert folder_name(tmp_path, backend=None).startswith("gpt2_unknown_")

    def test_the_minute_is_that_of_saving_in_local_time(self, tmp_path):
        before = datetime.now().replace(second=0, microsecond=0)
        name = folder_name(tmp_path)
        assert before <= datetime.strptime(name.removeprefix("gpt2_pytorch_"), "%Y-%m-%dT%H-%M") <= datetime.now()


class TestTimeseries:
    def test_the_four_columns_are_always_there_with_their_types(self, tmp_path):
        table = load_timeseries_parquet(write_timeseries_parquet(make_samples(3), tmp_path / "t.parquet"))
        assert dict(zip(table.schema.names, table.schema.types, strict=True)) == {
            "timestamp_s": pa.float64(),
            "gpu_power_w": pa.float64(),
            "gpu_temperature_c": pa.float64(),
            "gpu_index": pa.int32(),
        }

    def test_a_timeseries_without_a_row_has_its_columns(self, tmp_path):
        table = load_timeseries_parquet(write_timeseries_parquet([], tmp_path / "t.parquet"))
        assert table.schema.names == ["timestamp_s", "gpu_power_w", "gpu_temperature_c", "gpu_index"]

    def test_every_sample_is_a_row_as_it_was_taken(self, tmp_path):
        samples = [PowerSample(0.1 + 0.2, 99.9, None, 1), PowerSample(0.4, None, 41.0, 0)]
        table = load_timeseries_parquet(write_timeseries_parquet(samples, tmp_path / "t.parquet"))
        assert [PowerSample(**row) for row in table.to_pylist()] == samples

    def test_a_metered_cpu_has_a_column_and_rows_of_its_own(self, tmp_path):
        samples = [PowerSample(0.0, 100.0, 50.0, 0), PowerSample(0.0, cpu_power_w=35.5)]
        table = load_timeseries_parquet(write_timeseries_parquet(samples, tmp_path / "t.parquet"))
        assert table.schema.field("cpu_power_w").type == pa.float64()
        assert [PowerSample(**row) for row in table.to_pylist()] == samples

    def test_the_file_holds_its_schema_version(self, sidecar):
        assert pq.read_schema(sidecar).metadata[b"schema_version"] == b"2.0"

    def test_every_column_is_compressed_with_zstd(self, sidecar):
        group = pq.ParquetFile(sidecar).metadata.row_group(0)
        assert {group.column(index).compression for index in range(group.num_columns)} == {"ZSTD"}

    @pytest.mark.parametrize("column", range(4))
    def test_a_changed_byte_of_a_page_is_an_error(self, sidecar, column):
        chunk = pq.ParquetFile(sidecar).metadata.row_group(0).column(column)
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        last = start + chunk.total_compressed_size - 1
        content = bytearray(sidecar.read_bytes())
        content[last] ^= 1
        sidecar.write_bytes(content)
        with pytest.raises(OSError, match="CRC checksum verification failed"):
            load_timeseries_parquet(sidecar)

    @pytest.mark.parametrize("length", [0, 3, 100, -1])
    def test_a_timeseries_that_is_cut_short_is_an_error_of_the_documented_kind(self, sidecar, length):
        sidecar.write_bytes(sidecar.read_bytes()[:length])
        with pytest.raises(OSError, match=str(sidecar)):
            load_timeseries_parquet(sidecar)

    def test_a_timeseries_that_is_not_there_is_an_os_error(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            load_timeseries_parquet(tmp_path / "gone.parquet")
