"""The environment of a run: every field that is null has its reason, here and wherever what is read fails."""

import subprocess

import pytest

from labledger import host
from labledger.files import write_durably
from llenergymeasure.domain.environment import EnvironmentSnapshot, GpuInfo
from llenergymeasure.run import environment
from llenergymeasure.run.environment import EnvironmentCapture


def captured(record_hostname=False, weight_files=(), revision=None):
    capture = EnvironmentCapture(record_hostname, weight_files)
    capture.start()
    return capture.result(revision, {"model_revision": "the weights are random"})


def nulls(snapshot):
    """The names of all fields that are null, as `not_known` names them."""
    own = {name for name in EnvironmentSnapshot.model_fields if getattr(snapshot, name) is None}
    return own | {
        f"gpus[{place}].{name}"
        for place, gpu in enumerate(snapshot.gpus)
        for name in GpuInfo.model_fields
        if getattr(gpu, name) is None
    }


def assert_all_have_reasons(snapshot):
    assert nulls(snapshot) <= set(snapshot.not_known)
    assert all(reason.strip() for reason in snapshot.not_known.values())
    assert {name for name in snapshot.not_known if name not in ("gpus", "environment")} == nulls(snapshot)


def test_every_null_field_of_this_machine_has_its_reason(monkeypatch):
    snapshot = captured()
    assert_all_have_reasons(snapshot)
    assert snapshot.not_known["hostname"] == "the user configuration has no record_hostname: true"
    assert snapshot.not_known["model_revision"] == "the weights are random"
    assert captured(record_hostname=True, revision="abc").not_known.keys().isdisjoint({"hostname", "model_revision"})


def test_every_null_field_of_a_board_has_the_drivers_reason(gpus):
    gpus(gpus.board(uuid="GPU-1"), gpus.board(uuid="GPU-2", limit_w=None))
    snapshot = captured()
    assert [gpu.uuid for gpu in snapshot.gpus] == ["GPU-1", "GPU-2"]
    assert_all_have_reasons(snapshot)
    assert snapshot.not_known["gpus[1].power_limit_w"] == "NVML: Not Supported"
    assert "gpus[0].power_limit_w" not in snapshot.not_known


@pytest.mark.parametrize("fails", ["nothing is told", "an error", "too late"])
def test_every_null_field_has_its_reason_where_nothing_can_be_read(monkeypatch, tmp_path, fails):
    def raises(*_):
        raise RuntimeError("a strange machine")

    if fails == "an error":
        monkeypatch.setattr(environment, "read_host", raises)
    elif fails == "too late":
        monkeypatch.setattr(EnvironmentCapture, "_capture", lambda self: None)
    else:
        monkeypatch.setattr(host, "_text", lambda path: None)
        monkeypatch.setattr(host, "_cpu_model", lambda: None)
        monkeypatch.setattr(host.psutil, "cpu_count", lambda logical=True: None)
        monkeypatch.setattr(host, "_container", lambda: (None, None))
        monkeypatch.setattr(host.subprocess, "run", lambda *_, **__: raise_(subprocess.SubprocessError()))
    snapshot = captured()
    assert_all_have_reasons(snapshot)
    if fails == "an error":
        assert snapshot.not_known["cpu_model"] == "RuntimeError: a strange machine"
        assert snapshot.not_known["model_revision"] == "the weights are random"


def raise_(error):
    raise error


def test_weights_that_are_read_through_have_their_digest_and_no_reason(tmp_path):
    write_durably(tmp_path / "w.safetensors", b"weights", within=tmp_path)
    snapshot = captured(weight_files=[tmp_path / "w.safetensors"])
    assert snapshot.model_weights_sha256
    assert "model_weights_sha256" not in snapshot.not_known
