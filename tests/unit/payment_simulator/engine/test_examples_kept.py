"""The outcome of every example, kept: to the cent and to the event, whatever the engine learns."""

import hashlib
import json
from pathlib import Path

import pytest

from payment_simulator import draw_arrivals, load_scenario, simulate

ROOT = Path(__file__).parents[4]
EXAMPLES = sorted(
    path for path in (ROOT / "examples" / "payments").glob("*.yaml") if not path.name.startswith("experiment_")
)
KEPT = json.loads((ROOT / "tests" / "golden" / "payments_examples.json").read_text())


def outcome_of(path):
    """Cents by bank, and a digest of the events, in numbers that do not change when a kind of event is added."""
    scenario = load_scenario(path)
    found = simulate(scenario, draw_arrivals(scenario), record_events=True)
    return {
        "costs": dict(zip(found.agent_ids, found.costs.tolist(), strict=True)),
        "final_balance": found.final_balance.tolist(),
        "settled": found.settled.tolist(),
        "events": len(found.rows),
        "sha256": hashlib.sha256(found.rows.astype("<i8").tobytes()).hexdigest(),
    }


def test_every_example_has_an_outcome_that_is_kept():
    assert {path.name for path in EXAMPLES} == KEPT.keys()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_gives_the_cents_and_the_events_that_it_always_gave(path, ledger, monkeypatch):
    monkeypatch.chdir(ledger)  # one of them reads it
    assert outcome_of(path) == KEPT[path.name]
