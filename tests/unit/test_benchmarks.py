"""Every benchmark prints the machine that its figures are of, the processor's model included."""

import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
DRAWS = {"board_picture.py"}
"""It makes a picture, and no figures of this machine."""
BENCHMARKS = sorted(path for path in FOLDER.glob("[!_]*.py") if path.name not in DRAWS)


@pytest.fixture(scope="module")
def report():
    spec = importlib.util.spec_from_file_location("_report", FOLDER / "_report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_prints_its_machine(path):
    assert "{machine()}" in path.read_text() or "print(machine())" in path.read_text()


def test_the_machines_line_has_the_processors_name_and_numbers(report):
    line = report.machine()
    assert line.startswith(f"{report.read_host().cpu_model}{report.cpu_numbers(report.CPU_INFO)}, ")
    assert " cores, " in line


def test_a_processor_whose_name_is_cut_short_still_has_its_model(report, tmp_path):
    listed = tmp_path / "cpuinfo"
    names = "vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nstepping\t: 1\n\n"
    listed.write_text(names + names.replace("17", "99"))
    assert report.cpu_numbers(listed) == " (family 25, model 17, stepping 1)"
    listed.write_text("processor\t: 0\nBogoMIPS\t: 50.00\n")
    assert report.cpu_numbers(listed) == ""
    assert report.cpu_numbers(tmp_path / "not there") == ""
