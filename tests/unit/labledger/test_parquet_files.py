"""Small Parquet files that hold much: bounded in memory, and read to the end without holding them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labledger import parquet_files
from labledger.parquet_files import check_parquet, read_parquet

ROWS = 200_000


@pytest.fixture
def numbers(tmp_path):
    """Two columns, of 12 bytes a row together, in one small file."""
    path = tmp_path / "numbers.parquet"
    table = pa.table({"power": np.zeros(ROWS), "index": np.zeros(ROWS, dtype="i4")})
    pq.write_table(table, path, write_page_checksum=True)
    return path


@pytest.fixture
def text(tmp_path):
    """A column of one long text, named by every row: 200 GB if each were written out."""
    path = tmp_path / "text.parquet"
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(ROWS, dtype="i4")), ["x" * 1_000_000])
    pq.write_table(pa.table({"power": column}), path, write_page_checksum=True, store_schema=False)
    return path


def test_more_than_memory_is_to_hold_is_refused_before_it_is_read(numbers, monkeypatch):
    monkeypatch.setattr(parquet_files, "MAX_BYTES", 12 * ROWS)
    assert read_parquet(numbers, max_rows=ROWS).num_rows == ROWS
    assert read_parquet(numbers, ["index"], max_rows=3 * ROWS, read_before=2 * ROWS).num_rows == ROWS
    with pytest.raises(OSError, match=r"200,000 rows, after 1 of other files, .* at most 200,000 of its columns"):
        read_parquet(numbers, max_rows=3 * ROWS, read_before=1)


def test_a_file_is_checked_to_its_end_without_being_held(numbers, monkeypatch):
    monkeypatch.setattr(parquet_files, "MAX_BYTES", 1)
    before = pa.total_allocated_bytes()
    check_parquet(numbers, max_rows=ROWS)
    assert pa.total_allocated_bytes() - before < 12 * ROWS
    with pytest.raises(OSError, match="200,000 rows, and at most 1 are read"):
        check_parquet(numbers, max_rows=1)
    content = bytearray(numbers.read_bytes())
    chunk = pq.read_metadata(numbers).row_group(0).column(1)
    content[(chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 1] ^= 1
    numbers.write_bytes(content)
    with pytest.raises(OSError, match="CRC checksum verification failed"):
        check_parquet(numbers, max_rows=ROWS)


def test_a_long_text_that_many_rows_name_is_held_once(text):
    before = pa.total_allocated_bytes()
    table = read_parquet(text, max_rows=ROWS)
    assert pa.total_allocated_bytes() - before < 10_000_000
    assert table.column("power").type == pa.dictionary(pa.int32(), pa.string())
    check_parquet(text, max_rows=ROWS)
