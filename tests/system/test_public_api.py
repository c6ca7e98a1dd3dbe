"""The public names of both packages: typed, documented, and the only ones that examples use."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import llenergymeasure
import payment_simulator
from labledger.errors import LabledgerError

ROOT = Path(__file__).parents[2]
PACKAGES = {"llenergymeasure": llenergymeasure, "payment_simulator": payment_simulator}
SPEC = importlib.util.spec_from_file_location("_api", ROOT / "docs" / "_api.py")
api = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(api)

RIGHT = """
from llenergymeasure import StudyResult, compare, load_results, measure_energy, run_experiment, run_study

study = run_study("study.yaml", output_dir="results", sweep={"batch_size": [1, 8]}, repeats=6, precision="fp32")
print(study.best(where="ttft_ms_p99 <= 300").sentence, StudyResult.from_folder("results/study").table().num_rows)
study.plot("batch_size", "energy_per_output_token_j", by="config.precision").savefig("figure.png")
result = run_experiment(model="random:llama", decoder={"temperature": 0.5}, load={"concurrency": 4}, launch="vllm")
run_experiment("run.yaml", output_dir="results", energy={"source": "none"})
with measure_energy(source="rapl", sampling_hz=5) as window:
    pass
joules: float | None = window.energy_j
print(window.energy_uncertainty_j, window.verdict, window.found.to_dict(), result.total_energy_j)
for row in compare(load_results("a"), [result], margin=0.01).rows:
    print(row.metric, row.low)

@measure_energy
def work(number: int) -> int:
    return number

@measure_energy(source="rapl")
async def later(number: int) -> int:
    return work(number)

joules = work.measured[-1].energy_j
"""
WRONG = """
from llenergymeasure import compare, measure_energy, run_experiment, run_study

run_study("study.yaml")  # E: Missing named argument "output_dir"
run_study("study.yaml", output_dir="results", repeat=3)  # E: Unexpected keyword argument "repeat"
run_experiment(modle="random:llama")  # E: Unexpected keyword argument "modle"
run_experiment(model="random:llama", decoder={"temprature": 0.5})  # E: Extra key "temprature"
run_experiment(model="random:llama", precision="fp8")  # E: incompatible type
measure_energy(sorce="rapl")  # E: Unexpected keyword argument "sorce"
print(measure_energy(source="rapl").enrgy_j)  # E: has no attribute "enrgy_j"
compare([], [], marign=0.1)  # E: Unexpected keyword argument "marign"
measure_energy(len).measured.energy_j  # E: has no attribute "energy_j"
"""


def check_types(*paths):
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", *map(str, paths)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.splitlines()


def test_a_type_checker_accepts_what_is_right_and_finds_each_misspelt_name(tmp_path):
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text(RIGHT, encoding="utf-8")
    wrong.write_text(WRONG, encoding="utf-8")
    assert check_types(right, *ROOT.glob("examples/**/*.py")) == []
    found = {int(line.split(":")[1]): line for line in check_types(wrong) if ": error: " in line}
    for number, line in enumerate(WRONG.splitlines(), 1):
        wanted = line.partition("# E: ")[2]
        assert wanted in found.pop(number, ""), line
    assert found == {}


@pytest.mark.parametrize("package", PACKAGES.values(), ids=PACKAGES)
def test_every_public_name_is_there_and_is_listed(package):
    assert set(package.__all__) <= set(dir(package))
    assert all(getattr(package, name) is not None for name in package.__all__)
    assert package.__version__[0].isdigit()
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        _ = package.simulat


@pytest.mark.parametrize("package", PACKAGES.values(), ids=PACKAGES)
def test_the_tree_of_errors_in_the_docstring_is_that_of_the_classes(package):
    drawn, path = {}, []
    for line in re.findall(r"^(    )((?:[│├└─ ]*)\w+Error\b)", package.__doc__, re.MULTILINE):
        name = line[1].split()[-1]
        depth = len(line[1].removesuffix(name)) // 4
        path[depth:] = [name]
        drawn[name] = path[-2] if depth else "Exception"
    errors = {name: getattr(package, name) for name in package.__all__ if name.endswith("Error")}
    assert drawn == {name: error.__mro__[1].__name__ for name, error in errors.items()}
    assert all(issubclass(error, LabledgerError) for error in errors.values())


def test_the_page_of_the_api_is_that_of_the_docstrings():
    assert (ROOT / "docs" / "api.md").read_text(encoding="utf-8") == api.page(), "run: python docs/_api.py --write"


def snippets():
    """Every example in Python, and every block of Python in the documentation."""
    for path in sorted([*ROOT.glob("examples/**/*.py"), ROOT / "README.md", *ROOT.glob("docs/*.md")]):
        text = path.read_text(encoding="utf-8")
        blocks = [text] if path.suffix == ".py" else re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        if path.name != "api.md" and blocks:
            yield pytest.param(blocks, id=path.name)


@pytest.mark.parametrize("blocks", list(snippets()))
def test_examples_and_pages_use_public_names_alone(blocks):
    for node in (node for tree in map(ast.parse, blocks) for node in ast.walk(tree)):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in PACKAGES:
            assert {alias.name for alias in node.names} <= set(PACKAGES[node.module].__all__)
        if isinstance(node, ast.Import):
            ours = {alias.name for alias in node.names if alias.name.partition(".")[0] in PACKAGES}
            assert ours <= set(PACKAGES)
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_"), node.attr


def test_the_page_of_the_architecture_names_what_is_there():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([\w/]+(?:/|\.py))`", page) if not name.startswith("docs/")}
    places = [ROOT / "src" / package for package in PACKAGES]
    assert len(named) > 20
    for name in named:
        found = [place / name for place in places if (place / name).exists()]
        assert found or list(ROOT.glob(f"src/**/{name}")), name
