"""The road at the head of docs/payment_days.md, from a ledger to a comparison of days, as it stands there."""

import re
import shlex
import sys

import pytest
from payment_sim_files import EXAMPLES

PAGE = EXAMPLES.parents[1] / "docs" / "payment_days.md"
NOT_OF_ONE_RUN = (" ran ", " ...")
"""Beginnings of lines that another run prints otherwise, or that stand for rows that the page leaves out."""


@pytest.mark.slow
def test_the_road_from_a_ledger_to_two_days_compared_prints_what_its_page_shows(user):
    road = PAGE.read_text().split("\n## From a file to a picture\n")[1].split("\n## ")[0]
    texts = re.findall(r"^```text\n(.*?)^```", road, re.S | re.M)
    ledger, scenario, refused, *shown = texts
    assert user.run(sys.executable, EXAMPLES / "ledger.py").code == 0
    assert (user.folder / "ledger.csv").read_text().startswith(ledger)
    user.write("ledger.yaml", "".join(re.findall(r"^(?!  skip:).*\n", scenario, re.M)))
    assert refused in user.run("payment-sim", "run", "ledger.yaml").stderr
    user.write("ledger.yaml", scenario)
    printed = []
    for command in re.findall(r"^\$ (.+)$", road, re.M):
        ended = user.run(*shlex.split(command), COLUMNS="200")
        assert ended.code == 0, ended.stderr
        printed += ended.stdout.splitlines()
    lines = [line for line in "".join(shown).splitlines() if line and not line.startswith(NOT_OF_ONE_RUN)]
    assert [line for line in lines if line.rstrip() not in map(str.rstrip, printed)] == []
    assert {"ledger.png", "indicators.csv", "stress.png", "level.png"} <= {path.name for path in user.folder.iterdir()}
