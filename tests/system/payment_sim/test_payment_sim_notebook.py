"""The notebook among the examples, its cells executed in order."""

import json

import pytest
from payment_sim_files import EXAMPLES

NOTEBOOK = EXAMPLES / "day_of_payments.ipynb"


@pytest.fixture
def pyplot():
    pytest.importorskip("pandas")
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def test_the_notebook_leads_from_a_frame_to_a_figure_in_ten_lines(pyplot):
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    code = ["".join(cell["source"]) for cell in cells]
    names = {}
    for cell in code:
        exec(compile(cell, NOTEBOOK.name, "exec"), names)  # noqa: S102 - it is our own
    assert len([line for line in code[1].splitlines() if line]) == 10
    (curve,) = pyplot.figure(1).axes[0].lines
    delays = curve.get_ydata().tolist()
    assert delays == sorted(delays, reverse=True)
    assert delays[0] > 0.05 > 0 == delays[-1]
    assert [outcome.indicators.system.place for outcome in names["outcomes"]][-1] == 1
    assert len(names["least"]) == len(names["frame"])
