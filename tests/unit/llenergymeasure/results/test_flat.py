"""A result as one flat row, and the rows as files."""

import csv
import json

import pyarrow.parquet as pq
import pytest

from llenergymeasure.domain.environment import EnvironmentSnapshot, GpuInfo
from llenergymeasure.domain.figures import Distribution, EnergyUncertainty, LatencyStats
from llenergymeasure.results.exporters import export
from llenergymeasure.results.flat import columns, flat_row, whole_rows
from small_result import make_result


def full_result():
    spread = Distribution(n=3, mean=2.0, median=2.0, p90=3.0, p95=3.0, p99=3.0)
    return make_result(
        latency_stats=LatencyStats(ttft_ms=spread),
        energy_uncertainty=EnergyUncertainty(edge_j=1.5),
        environment_snapshot=EnvironmentSnapshot(gpus=[GpuInfo(index=0, name="NVIDIA H200")]),
        measurement_warnings=["one", "two"],
        effective_config={"model": "naïve, \"quoted\"", "batch_size": 8},
    )  # fmt: skip


def test_a_row_has_every_column_and_nothing_else():
    assert list(flat_row(full_result())) == list(columns())


def test_nested_values_have_columns_of_their_own():
    row = flat_row(full_result())
    assert (row["ttft_ms_mean"], row["ttft_ms_n"], row["energy_uncertainty_edge_j"]) == (2.0, 3, 1.5)
    assert (row["tpot_ms_mean"], row["energy_uncertainty_gain_j"]) == (None, None)
    assert (row["batch_size"], row["gpu_names"], row["measurement_warnings"]) == (8, "NVIDIA H200", "one; two")
    assert row["start_time"] == "2026-02-26T14:00:00"


@pytest.mark.parametrize("name", ["csv", "json", "parquet"])
def test_every_format_gives_back_the_rows(name, tmp_path):
    rows = [flat_row(full_result()), flat_row(make_result(total_energy_j=None))]
    path = export(rows, name, tmp_path / "out" / f"results.{name}")
    rows = whole_rows(rows)
    if name == "json":
        assert json.loads(path.read_text()) == rows
    elif name == "parquet":
        assert pq.read_table(path).to_pylist() == rows
    else:
        with path.open(newline="") as file:
            read = list(csv.DictReader(file))
        assert read == [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]


def test_to_parquet_writes_one_flat_row(tmp_path):
    path = full_result().to_parquet(tmp_path / "one.parquet")
    (row,) = pq.read_table(path).to_pylist()
    assert [row] == whole_rows([flat_row(full_result())])
    assert pq.read_schema(path).metadata[b"schema_version"] == b"2.0"


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**400])
def test_an_integer_that_parquet_has_no_room_for_is_null_there_and_whole_in_csv_and_json(tmp_path, value):
    result = make_result(total_tokens=value)
    with pytest.warns(UserWarning, match=f"total_tokens: {str(value)[:19]}.* does not fit into 64 bits"):
        path = result.to_parquet(tmp_path / "x.parquet")
    assert pq.read_table(path).to_pylist() == [{**whole_rows([flat_row(result)])[0], "total_tokens": None}]
    for name in ("csv", "json"):
        assert str(value) in export([flat_row(result)], name, tmp_path / name).read_text()
