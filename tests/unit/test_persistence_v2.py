"""Saving and loading a result: the sixteen tests of the persistence plan, under its names."""

import json
import re
import warnings
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llenergymeasure.domain.experiment import ExperimentResult

FOLDER_NAME = re.compile(r"gpt2_pytorch_\d{4}-\d{2}-\d{2}T\d{2}-\d{2}(_\d+)?")


def make_result(**changes):
    fields = {
        "experiment_id": "test-001",
        "measurement_config_hash": "abcdef0123456789",
        "measurement_methodology": "total",
        "total_tokens": 1000,
        "total_energy_j": 50.0,
        "total_inference_time_sec": 10.0,
        "avg_tokens_per_second": 100.0,
        "avg_energy_per_token_j": 0.05,
        "total_flops": 1e12,
        "start_time": datetime(2026, 2, 26, 14, 0),
        "end_time": datetime(2026, 2, 26, 14, 0, 10),
        "effective_config": {"model": "gpt2", "backend": "pytorch"},
    }
    return ExperimentResult(**(fields | changes))


@pytest.fixture
def result():
    return make_result()


def make_parquet(folder: Path) -> Path:
    path = folder / "temp_timeseries.parquet"
    pq.write_table(pa.table({"timestamp_s": [0.0, 1.0], "gpu_power_w": [100.0, 105.0]}), path)
    return path


def claim_name_of(result: ExperimentResult, output: Path) -> Path:
    """The folder that a save of `result` takes first, made and left there."""
    return result.save(output).parent


def test_save_creates_subdirectory(result, tmp_path):
    result.save(tmp_path)
    (folder,) = tmp_path.iterdir()
    assert [each.name for each in folder.iterdir()] == ["result.json"]


def test_save_directory_name_format(result, tmp_path):
    assert FOLDER_NAME.fullmatch(result.save(tmp_path).parent.name)


def test_save_model_slug_normalisation(tmp_path):
    result = make_result(effective_config={"model": "meta-llama/Llama-3.1-8B"})
    assert result.save(tmp_path).parent.name.startswith("meta-llama-llama-3.1-8b_pytorch_")


def test_save_atomic_write(result, tmp_path):
    path = result.save(tmp_path)
    assert json.loads(path.read_text())["experiment_id"] == "test-001"
    assert not [each for each in path.parent.iterdir() if each.name.endswith(".tmp")]


def test_save_returns_result_json_path(result, tmp_path):
    path = result.save(tmp_path)
    assert path.name == "result.json"
    assert path.is_file()


def test_collision_suffix_applied(result, tmp_path):
    first, second = result.save(tmp_path).parent, result.save(tmp_path).parent
    assert second.name in (f"{first.name}_1", first.name)  # the minute may have turned in between
    assert second != first


def test_collision_multiple_suffixes(result, tmp_path):
    taken = claim_name_of(result, tmp_path)
    for suffix in ("_1", "_2"):
        taken.with_name(taken.name + suffix).mkdir()
    folder = result.save(tmp_path).parent
    if folder.name.startswith(taken.name):  # else the minute has turned
        assert folder.name == f"{taken.name}_3"


def test_from_json_loads_correctly(result, tmp_path):
    assert ExperimentResult.from_json(result.save(tmp_path)) == result


def test_from_json_round_trip(tmp_path):
    result = make_result(steady_state_window=(0.5, 9.5))
    loaded = ExperimentResult.from_json(result.save(tmp_path))
    assert loaded.model_dump_json() == result.model_dump_json()
    assert loaded.start_time == datetime(2026, 2, 26, 14, 0)
    assert isinstance(loaded.steady_state_window, tuple)


def test_from_json_missing_sidecar_warns(tmp_path):
    path = make_result(timeseries="timeseries.parquet").save(tmp_path)
    with pytest.warns(UserWarning, match="^Timeseries sidecar missing at"):
        ExperimentResult.from_json(path)


def test_from_json_missing_sidecar_loads_successfully(tmp_path):
    path = make_result(timeseries="timeseries.parquet").save(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = ExperimentResult.from_json(path)
    assert loaded.timeseries == "timeseries.parquet"
    assert loaded.experiment_id == "test-001"


def test_save_with_timeseries_sidecar(result, tmp_path):
    source = make_parquet(tmp_path)
    path = result.save(tmp_path / "out", timeseries_source=source)
    assert (path.parent / "timeseries.parquet").read_bytes() == source.read_bytes()
    assert ExperimentResult.from_json(path).timeseries == "timeseries.parquet"


def test_save_without_timeseries(result, tmp_path):
    path = result.save(tmp_path)
    assert not list(path.parent.glob("*.parquet"))
    assert ExperimentResult.from_json(path).timeseries is None


def test_never_overwrites(result, tmp_path):
    paths = {result.save(tmp_path) for _ in range(5)}
    assert len(paths) == 5
    assert all(path.is_file() for path in paths)


def test_effective_config_round_trips(tmp_path):
    config = {"model": "gpt2", "batch_size": 4, "decoder": {"temperature": 0.7, "stop": None}, "layers": [1, 2.5, "x"]}
    path = make_result(effective_config=config).save(tmp_path)
    assert ExperimentResult.from_json(path).effective_config == config


def test_steady_state_window_round_trips(tmp_path):
    path = make_result(steady_state_window=(12.3, 67.8)).save(tmp_path)
    assert ExperimentResult.from_json(path).steady_state_window == (12.3, 67.8)
