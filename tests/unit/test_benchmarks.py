"""Every benchmark prints the machine that its figures are of, the processor's model included."""

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import SimpleNamespace

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


@pytest.fixture
def of_the_engine(monkeypatch):
    """The modules of the engine's benchmark."""
    monkeypatch.syspath_prepend(FOLDER)
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in ("engine", "_mechanics")})
    for name in [
        name for name, module in sys.modules.items() if FOLDER in Path(getattr(module, "__file__", None) or "").parents
    ]:
        del sys.modules[name]


def test_the_engines_benchmark_has_a_row_for_each_mechanic_and_each_is_at_work(of_the_engine):
    """But for what is there to show what it costs where it changes nothing."""
    table = of_the_engine._mechanics
    _, found = table.measured(table.SMALL["tight"], repeats=2)
    assert [*found] == [table.OFF, *table.MECHANICS]
    assert all(len(each.ratios) == 2 and min(each.ratios) > 0 for each in found.values())
    off = found[table.OFF].outcome
    idle = [name for name, each in found.items() if (each.outcome.costs == off.costs).all()]
    assert idle == [table.OFF, "limits to each, never reached", "queue1 by priority and deadline"]


@pytest.mark.slow
def test_the_engines_benchmark_times_another_checkout_and_compares_its_cents(of_the_engine, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["engine.py", "--quick", "--against", str(FOLDER.parent)])
    of_the_engine.engine.main()
    printed = capfd.readouterr().out
    assert "both have the same costs to the cent" in printed
    rows = [
        name
        for name in of_the_engine._mechanics.MECHANICS
        for _ in re.findall(rf"^{re.escape(name)} +\d", printed, re.M)
    ]
    assert rows == [name for name in of_the_engine._mechanics.MECHANICS for _ in range(2)]
