import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

LATE_THREADS = Path(__file__).parents[2] / "standins/late_threads.c"
READ_AND_END = """
import sys, time
from pathlib import Path
from labledger.parquet_files import read_parquet

class SlowToEnd:
    sleep = time.sleep
    def __del__(self): self.sleep(0.4)

read_parquet(Path(sys.argv[1]), max_rows=1_000)
time.sleep(0.05)
slow_to_end = SlowToEnd()
"""


@pytest.fixture
def late_threads(tmp_path):
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("threads are made late by a library that is compiled here, for Linux")
    library = tmp_path / "late_threads.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, LATE_THREADS, "-ldl"], check=True)
    return library


def test_a_program_ends_well_though_the_threads_that_read_a_table_for_it_are_late(tmp_path, late_threads):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({name: range(1_000) for name in "abcdefgh"}), path)

    run = subprocess.run(
        [sys.executable, "-c", READ_AND_END, path],
        env={**os.environ, "LD_PRELOAD": str(late_threads)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.returncode, run.stderr) == (0, "")
