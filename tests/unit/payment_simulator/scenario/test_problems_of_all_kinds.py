"""Problems of all kinds in one scenario, reported at once."""

import pytest

from labledger.errors import ConfigError
from payment_simulator.policy.policies import read_with_policies

WRONG = """\
simulation: {ticks_per_day: 4}
agents:
  - id: BANK_A
    opening_balance: -1
    policy: {type: Fifoo}
    arrival_config:
      rate_per_tick: 1
      amount_distribution: {type: Uniform, min: 1, max: 9}
      deadline_range: [1, 3]
      counterparty_weights: {BANK_C: 1}
  - id: BANK_B
scenario_events:
  - {type: DirectTransfer, from_agent: BANK_A, to_agent: B, amount: 10, schedule: {type: OneTime, tick: 1}}
"""


@pytest.fixture
def refusal(tmp_path):
    """The message that refuses a scenario of this text, a line each, without the folder."""

    def refused(text):
        path = tmp_path / "scenario.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as error:
            read_with_policies(path)
        return str(error.value).replace(f"{tmp_path}/", "").splitlines()

    return refused


def test_a_wrong_name_and_a_wrong_policy_are_reported_beside_a_wrong_value(refusal):
    assert refusal(WRONG) == [
        "scenario.yaml:4: agents.BANK_A.opening_balance: should be greater than or equal to 0, found -1",
        "scenario.yaml:5: BANK_A: policy.type: unknown policy 'Fifoo' (did you mean Fifo?)",
        "scenario.yaml:10: agents.BANK_A.arrival_config.counterparty_weights.BANK_C: unknown bank 'BANK_C' "
        "(did you mean BANK_B?)",
        "scenario.yaml:13: scenario_events.0.to_agent: unknown bank 'B' (known: BANK_A, BANK_B)",
    ]


def test_a_wrong_name_alone_is_reported_once_with_a_wrong_policy(refusal):
    lines = refusal(WRONG.replace("-1", "1"))
    assert [line.partition(": ")[0] for line in lines] == [f"scenario.yaml:{number}" for number in (5, 10, 13)]


def test_a_bank_whose_id_is_not_read_may_be_the_one_that_is_named(refusal):
    assert [line for line in refusal(WRONG.replace("id: BANK_B", "di: BANK_C")) if "unknown bank" in line] == []


@pytest.mark.parametrize(
    "agents",
    ["{}", "[1, 2]", "[{id: 5}, {}]", "[{id: A, arrival_config: [], arrival_bands: 3, policy: 7}]", "[{id: A, x: A}]"],
)
def test_names_and_policies_are_looked_for_in_whatever_a_scenario_holds(refusal, agents):
    lines = refusal(f"agents: {agents}\nscenario_events: [3, {{agent: [], to_agent: C}}, {{}}]\n")
    assert all(line.startswith("scenario.yaml") for line in lines)
