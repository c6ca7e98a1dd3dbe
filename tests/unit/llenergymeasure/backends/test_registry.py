"""The registry of backends: each has its checks, a way to build it, and its rules in the configuration."""

import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny_config

from labledger.console import Silent
from llenergymeasure.backends.protocol import Backend, Checks, RunContext
from llenergymeasure.backends.registry import BACKENDS
from llenergymeasure.config.backends import BACKEND_RULES
from llenergymeasure.config.models import ExperimentConfig


def methods(protocol):
    return [name for name in vars(protocol) if not name.startswith("_")]


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_has_every_check_and_every_method_of_the_protocol(name, tmp_path):
    config = tiny_config() if name == "pytorch" else ExperimentConfig(model="m", backend=name)
    context = RunContext(str, Silent(), tmp_path / "server.log")
    checks, backend = BACKENDS[name].checks(), BACKENDS[name].build(config, context)
    backend.close()
    assert all(callable(getattr(checks, each)) for each in methods(Checks))
    assert all(hasattr(backend, each) for each in methods(Backend))
    assert (backend.server is not None) == BACKEND_RULES[name].is_server


def test_the_registry_and_the_configuration_name_the_same_backends():
    assert BACKENDS.keys() == BACKEND_RULES.keys()


def test_to_import_the_registry_imports_no_library_of_a_backend():
    code = "import sys, llenergymeasure.backends.registry; print({'torch', 'transformers', 'aiohttp'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_no_module_outside_the_registry_compares_with_a_backend_by_name():
    source = Path(__import__("llenergymeasure").__file__).parent
    compared = [
        str(path)
        for path in source.rglob("*.py")
        for name in BACKENDS
        if f'backend == "{name}"' in (text := path.read_text()) or f'backend != "{name}"' in text
    ]
    assert compared == []
