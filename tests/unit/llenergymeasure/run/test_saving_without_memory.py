"""Memory that is out once a run has been summed up costs nobody what was measured."""

import pytest
from typer.testing import CliRunner

from labledger.console import Silent
from llenergymeasure import api
from llenergymeasure.api import measure_and_save
from llenergymeasure.cli import presentation
from llenergymeasure.cli.main import app
from llenergymeasure.config.models import ExperimentConfig, UserConfig
from llenergymeasure.domain.requests import Batch, RequestRecord
from llenergymeasure.results.catalog import result_files
from llenergymeasure.results.journal import Journal
from llenergymeasure.run import harness
from small_result import make_result


def runs_out(*args, **options):
    raise MemoryError


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """A run of one request has ended; its journal."""
    journal = Journal(tmp_path / ".state" / "test-001" / "process_0.jsonl", within=tmp_path)
    journal.open()
    request = RequestRecord(0, 3, 1, 0.0, (0.5,), "stop")
    journal.take(Batch(0.0, 0.5, (request,), 3, (0.5,), full=True))
    finished = harness.Finished(make_result(), [], journal)
    monkeypatch.setattr(harness, "run", lambda *_, **__: finished)
    return journal


def test_a_result_that_there_is_no_memory_to_save_leaves_its_requests_and_says_where(measured, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "save_or_keep", runs_out)
    with pytest.raises(MemoryError) as ended:
        measure_and_save(ExperimentConfig(model="gpt2"), UserConfig(), tmp_path, Silent())
    assert ended.value.__notes__ == [f"1 finished requests are in {measured.path}: llem results recover reads them"]
    assert measured.path.read_text().count('"requests"') == 1


def test_a_result_that_there_is_no_memory_to_print_is_saved_and_the_error_says_where(measured, tmp_path, monkeypatch):
    monkeypatch.setattr(presentation, "print_result", runs_out)
    ended = CliRunner().invoke(app, ["run", "--model", "gpt2", "--output", str(tmp_path)])
    (saved,) = result_files(tmp_path)
    assert ended.exit_code == 1
    assert ended.stderr.endswith(f"error: not enough memory\nthe result is saved in {saved}\n")
    assert not measured.path.exists()
