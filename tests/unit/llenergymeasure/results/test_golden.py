"""One stored artefact of each schema version, and of what can become of one; never written anew."""

import json
import re
import warnings
from pathlib import Path

import pytest

from labledger.errors import UnreadableFileError
from labledger.schema_versions import SchemaVersionWarning
from llenergymeasure import ExperimentResult
from llenergymeasure.domain.experiment import RawProcessResult
from llenergymeasure.results.verification import verify

GOLDEN = Path(__file__).parents[3] / "golden"


def golden(name):
    return GOLDEN / name / "result.json"


OF_2_0 = pytest.mark.parametrize("name", ["2.0", "2.0_with_kind"])


@OF_2_0
def test_a_file_of_2_0_loads_without_a_word_and_verifies(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = ExperimentResult.from_json(golden(name))
    assert (result.schema_version, result.output_tokens, result.energy_source) == ("2.0", 64, "estimate")
    assert result.process_results[0].requests.output_tokens == [8] * 8
    assert len(result.load_timeseries(golden(name))) == 20
    assert verify(golden(name)).status == "ok"


def without_what_came_since(written, document):
    """`written` without fields that `document` lacks and that are null or empty: those that were added later."""
    if isinstance(document, list):
        return [without_what_came_since(*each) for each in zip(written, document, strict=True)]
    if not isinstance(document, dict):
        return written
    kept = {name: value for name, value in written.items() if name in document or value not in (None, [], {})}
    return {name: without_what_came_since(value, document.get(name)) for name, value in kept.items()}


@pytest.mark.filterwarnings("ignore::labledger.schema_versions.SchemaVersionWarning")
@pytest.mark.parametrize("name", ["2.0", "2.0_with_kind", "3.0", "without_fields"])
def test_the_text_of_every_file_is_read_by_pydantics_own_method_as_the_file_is(name):
    text = golden(name).read_text()
    assert ExperimentResult.model_validate_json(text) == ExperimentResult.from_json(golden(name))
    (process,) = json.loads(text)["process_results"]
    assert RawProcessResult.model_validate_json(json.dumps(process)).process_index == process["process_index"]


def test_a_file_of_the_first_versions_number_is_of_this_one(tmp_path):
    path = tmp_path / "result.json"
    document = json.loads(golden("2.0_with_kind").read_text()) | {"schema_version": "2.0.0", "timeseries": None}
    del document["integrity"]
    path.write_text(json.dumps(document))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ExperimentResult.from_json(path).schema_version == "2.0.0"


@OF_2_0
def test_a_file_of_2_0_is_written_back_as_it_was(name):
    document = json.loads(golden(name).read_text())
    del document["integrity"]
    written = json.loads(ExperimentResult.from_json(golden(name)).to_json())
    assert without_what_came_since(written, document) == {"kind": "llem.result"} | document


def test_what_a_newer_tool_wrote_is_kept_at_every_depth_and_named_in_the_warning():
    with pytest.warns(SchemaVersionWarning) as caught:
        result = ExperimentResult.from_json(golden("3.0"))
    said = str(caught[0].message)
    assert said.startswith('Warning: Result file schema_version="3.0"; current schema is "2.0".')
    assert said.endswith("Upgrade labledger.")
    for name in (
        "joules_of_the_future",
        "latency_stats.ttft_ms.p999",
        "environment_snapshot.gpu_fabric",
        "process_results[0].inference_metrics.speculated_tokens",
        "verdict",
    ):
        assert f"[{name}]" in said
    document = json.loads(golden("3.0").read_text())
    written = json.loads(result.to_json())
    assert without_what_came_since(written, document) == {"kind": "llem.result"} | document


def test_fields_that_a_file_lacks_are_none_and_named():
    with pytest.warns(SchemaVersionWarning) as caught:
        result = ExperimentResult.from_json(golden("without_fields"))
    said = str(caught[0].message)
    for name in ("backend", "measurement_methodology", "total_flops", "zeus_energy_j"):
        assert getattr(result, name) is None
        assert f"[{name}]" in said
    assert re.search(r"→ None\n  To rerun with updated schema: llem run", said)


def test_a_file_that_was_cut_short_is_an_error_with_its_line():
    with pytest.raises(UnreadableFileError, match=r"result\.json: not JSON: .* line \d+ column \d+"):
        ExperimentResult.from_json(golden("truncated"))
    assert verify(golden("truncated")).status == "broken"
