"""The environment of a process of a run."""

import pytest


@pytest.fixture
def cuda_visible_devices(monkeypatch):
    """Set the variable, or take it away; afterwards all is as it was before, whoever has set it."""

    def be(value):
        for name, found in (("CUDA_VISIBLE_DEVICES", value), ("CUDA_DEVICE_ORDER", None)):
            monkeypatch.setenv(name, found or "")
            if found is None:
                monkeypatch.delenv(name)

    return be
