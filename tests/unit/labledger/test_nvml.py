"""NVIDIA's library is read by nvidia-ml-py, whatever stands before it under its name."""

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import labledger.nvml
from labledger.host import read_gpus
from labledger.nvml import NEWEST, load_nvml
from llenergymeasure.energy.sources import find_sources

SOURCES = Path(__file__).parents[3] / "src"


@pytest.fixture(params=["lacks what is newer", "is of another Python"])
def old_pynvml(request, tmp_path, monkeypatch):
    """A package `pynvml` of former times, before nvidia-ml-py on the path."""
    package = tmp_path / "pynvml"
    package.mkdir()
    texts = {
        "lacks what is newer": (
            "class NVMLError(Exception): pass\ndef nvmlInit(): pass\ndef nvmlShutdown(): pass\n"
            "def nvmlSystemGetDriverVersion(): return b'450.80'\ndef nvmlDeviceGetCount(): return 1\n"
            "def nvmlDeviceGetHandleByIndex(index): return index\ndef nvmlDeviceGetName(handle): return b'Tesla V100'\n"
        ),
        "is of another Python": "try: pass\nexcept Exception, error: print error\n",
    }
    (package / "__init__.py").write_text(texts[request.param])
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    labledger.nvml._own_file.cache_clear()
    yield request.param
    sys.modules.pop("pynvml", None)
    labledger.nvml._own_file.cache_clear()


def test_nvidia_ml_py_is_read_where_an_old_pynvml_stands_before_it(old_pynvml):
    library = load_nvml()
    assert Path(library.__file__).name == "pynvml.py"
    assert all(hasattr(library, name) for name in NEWEST)
    assert library is not sys.modules.get("pynvml")


def test_an_old_pynvml_alone_is_a_gpu_that_is_not_seen_and_the_reason_says_what_to_install(old_pynvml, monkeypatch):
    def not_installed(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(labledger.nvml, "distribution", not_installed)
    monkeypatch.setattr(labledger.nvml, "version", not_installed)
    for reason in (read_gpus().unavailable, find_sources().nvml.unavailable):
        assert reason.endswith("run pip uninstall -y pynvml; pip install --force-reinstall nvidia-ml-py")
        assert "too old" in reason or "cannot be imported (SyntaxError" in reason


def test_the_module_that_is_installed_is_taken_as_it_is(gpus):
    standin = gpus(gpus.board())
    assert load_nvml() is standin


def test_the_library_is_imported_in_one_place():
    imports = [
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*.py")
        if "import pynvml" in path.read_text(encoding="utf-8")
    ]
    assert imports == ["labledger/nvml.py"]
