"""The manifest of a study as a file."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labledger.errors import UnreadableFileError
from llenergymeasure.domain.study import StudyCell, StudyManifest, StudyRun
from llenergymeasure.results.study.manifest import MANIFEST_FILE, ManifestWriter, read_manifest, write_manifest
from properties import examples

VALUES = st.recursive(
    st.sampled_from([None, True, 1, 1.0, "a", '"runs": []', [1], []]),
    lambda inside: st.dictionaries(st.sampled_from(["a", "b", "runs"]), inside, max_size=3),
    max_leaves=6,
)
CONFIGS = st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, max_size=3)


def manifest_of(configs, runs=()):
    cells = [
        StudyCell(name=f'cell {n} "runs": []', changes={"runs": []}, config_hash=f"{n:016}", config=config)
        for n, config in enumerate(configs)
    ]
    return StudyManifest(study_name="s", settings={"runs": []}, cells=cells, runs=list(runs))


@examples(30)
@given(configs=st.lists(CONFIGS, min_size=1, max_size=3), runs=st.integers(0, 3))
def test_a_manifest_is_read_as_it_was_written_whatever_the_configurations_have_in_common(
    tmp_path_factory, configs, runs
):
    folder = tmp_path_factory.mktemp("study")
    manifest = manifest_of(configs, [StudyRun(cell=0, round_number=n + 1) for n in range(runs)])
    write_manifest(manifest, folder)
    again = read_manifest(folder)
    assert again == manifest
    assert repr([cell.config for cell in again.cells]).count("True") == repr(configs).count("True")


def test_each_write_is_of_the_manifest_as_it_is_then(tmp_path):
    writer, manifest = ManifestWriter(tmp_path), manifest_of([{"a": 1}, {"a": 2}], [StudyRun(cell=0, round_number=1)])
    for _ in range(3):
        writer.write(manifest)
        assert read_manifest(tmp_path) == manifest
        done = StudyRun(cell=1, round_number=1, state="done", folder="x", experiment_id="y", elapsed_s=1.5)
        manifest = manifest.model_copy(update={"runs": [done, *manifest.runs]})
        manifest = manifest.model_copy(update={"cells": [*manifest.cells, manifest.cells[0]]})


def test_a_large_study_is_a_small_file(tmp_path):
    config = {f"field_{n}": "a value that all cells have" for n in range(50)}
    runs = [StudyRun(cell=n % 500, round_number=1 + n // 500) for n in range(3_000)]
    write_manifest(manifest_of([{**config, "batch_size": n} for n in range(500)], runs), tmp_path)
    assert os.path.getsize(tmp_path / MANIFEST_FILE) < 500_000


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"folder": "../other"}, r"runs\[0\].folder: is no name of a folder beside it"),
        ({"folder": "/etc"}, r"runs\[0\].folder"),
        ({"folder": ".."}, r"runs\[0\].folder"),
        ({"cell": 1}, r"runs\[0\].cell: there is no cell 1"),
        ({"cell": -1}, r"runs\[0\].cell: there is no cell -1"),
    ],
)
def test_a_manifest_that_names_what_is_not_beside_it_is_refused(tmp_path, changes, problem):
    write_manifest(manifest_of([{}], [StudyRun(**({"cell": 0, "round_number": 1} | changes))]), tmp_path)
    with pytest.raises(UnreadableFileError, match=problem):
        read_manifest(tmp_path)


def test_a_manifest_without_its_seal_or_with_another_is_told_as_changed(tmp_path):
    write_manifest(manifest_of([{}]), tmp_path)
    path = tmp_path / MANIFEST_FILE
    document = json.loads(path.read_bytes())
    for content in (
        path.read_bytes().replace(b'"sessions": 0', b'"sessions": 1'),
        json.dumps({**document, "integrity": {}}).encode(),
        path.read_bytes()[:-200],
        b"",
    ):
        path.write_bytes(content)
        with pytest.raises(UnreadableFileError, match=MANIFEST_FILE):
            read_manifest(tmp_path)
