"""Scenarios as users write them: what is read, what is refused, and where the message points."""

import json

import pytest

from labledger.errors import ConfigError
from payment_simulator import draw_arrivals, load_scenario, simulate
from payment_simulator.policy.policies import policies_of
from payment_simulator.scenario.loader import read_scenario

GOOD = """\
simulation: {ticks_per_day: 4, num_days: 2, rng_seed: 7}
agents:
  - id: BANK_A
    opening_balance: 100
    arrival_config:
      rate_per_tick: 1
      amount_distribution: {type: Uniform, min: 1, max: 9}
      deadline_range: [1, 3]
  - id: BANK_B
cost_rates:
  deadline_penalty: 5
scenario_events:
  - type: DirectTransfer
    from_agent: BANK_A
    to_agent: BANK_B
    amount: 10
    schedule: {type: OneTime, tick: 1}
"""


def written(folder, text=GOOD):
    path = folder / "scenario.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path, changes=()):
    """The message, a line each, without the folder."""
    with pytest.raises(ConfigError) as refused:
        load_scenario(path, changes)
    return str(refused.value).replace(f"{path.parent}/", "").splitlines()


def test_a_scenario_is_read_with_its_defaults(tmp_path):
    scenario = load_scenario(written(tmp_path))
    assert (scenario.simulation.ticks, scenario.simulation.rng_seed) == (8, 7)
    bank = scenario.agents[1]
    assert (bank.opening_balance, bank.unsecured_cap, bank.liquidity_pool) == (0, 0, 0)
    assert (bank.liquidity_allocation_fraction, bank.collateral_haircut, bank.policy) == (1, 0, {})
    assert (scenario.deferred_crediting, scenario.deadline_cap_at_eod) == (False, False)
    lsm = scenario.lsm_config
    found = (lsm.enable_bilateral, lsm.enable_cycles, lsm.max_cycle_length, lsm.max_cycles_per_tick)
    assert found == (False, False, 4, 10)
    rates = scenario.cost_rates
    assert rates.priority_delay_multipliers.urgent_multiplier == rates.overdue_delay_multiplier == 1
    assert (rates.liquidity_cost_per_tick_bps, rates.eod_penalty_per_transaction, rates.split_friction_cost) == (
        0,
        0,
        0,
    )


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (
            "opening_balance",
            "opening_balence",
            ["4: agents.BANK_A.opening_balence: unknown key (did you mean opening_balance?)"],
        ),
        ("cost_rates", "cost_rate", ["10: cost_rate: unknown key (did you mean cost_rates?)"]),
        (
            "deadline_penalty: 5",
            "overdraft_bps_per_tik: 5",
            ["11: cost_rates.overdraft_bps_per_tik: unknown key (did you mean overdraft_bps_per_tick?)"],
        ),
        (
            "num_days: 2",
            "num_day: 2",
            ["1: simulation.num_day: unknown key (did you mean num_days?)"],
        ),
        (
            "to_agent: BANK_B",
            "to_agent: BANK_C",
            ["15: scenario_events.0.to_agent: unknown bank 'BANK_C' (did you mean BANK_"],
        ),
        ("to_agent: BANK_B", "to_agent: BANK_A", ["13: scenario_events.0: BANK_A cannot be its own counterparty"]),
        (
            "      deadline_range",
            "      counterparty_weights: {BANK_X: 1}\n      deadline_range",
            ["8: agents.BANK_A.arrival_config.counterparty_weights.BANK_X: unknown bank 'BANK_X'"],
        ),
        (
            "      deadline_range",
            "      counterparty_weights: {BANK_A: 1}\n      deadline_range",
            ["8: agents.BANK_A.arrival_config.counterparty_weights.BANK_A: 'BANK_A' is the bank itself"],
        ),
        (
            "amount: 10",
            "amount: -10",
            ["16: scenario_events.0.amount: should be greater than or equal to 1, found -10"],
        ),
        ("amount: 10", "amount: 0", ["16: scenario_events.0.amount: should be greater than or equal to 1, found 0"]),
        ("amount: 10", "amount: 10.5", ["16: scenario_events.0.amount: should be a valid integer, found 10.5"]),
        ("min: 1", "min: -1", ["7: agents.BANK_A.arrival_config.amount_distribution.min: should be greater than"]),
        ("min: 1", "min: 10", ["7: agents.BANK_A.arrival_config.amount_distribution.max: 9 is less than min 10"]),
        (
            "opening_balance: 100",
            "collateral_haircut: 1.01",
            ["4: agents.BANK_A.collateral_haircut: should be less than or equal to 1, found 1.01"],
        ),
        (
            "opening_balance: 100",
            "liquidity_allocation_fraction: .nan",
            ["4: agents.BANK_A.liquidity_allocation_fraction: should be"],
        ),
        ("opening_balance: 100", "opening_balance: -1", ["4: agents.BANK_A.opening_balance: should be greater than"]),
        (
            "opening_balance: 100",
            "opening_balance: '100'",
            ["4: agents.BANK_A.opening_balance: should be a valid integer"],
        ),
        (
            "opening_balance: 100",
            "opening_balance: 1e2",
            ["4: agents.BANK_A.opening_balance: should be a valid integer"],
        ),
        ("num_days: 2", "num_days: '2'", ["1: simulation.num_days: should be a valid integer, found '2'"]),
        (
            "rate_per_tick: 1",
            "rate_per_tick: '1'",
            ["6: agents.BANK_A.arrival_config.rate_per_tick: should be a valid number"],
        ),
        (
            "rate_per_tick: 1",
            "rate_per_tick: true",
            ["6: agents.BANK_A.arrival_config.rate_per_tick: should be a valid number"],
        ),
        (
            "cost_rates:",
            "deferred_crediting: off\ncost_rates:",
            ["10: deferred_crediting: should be true or false, found 'off'"],
        ),
        (
            "cost_rates:",
            "deadline_cap_at_eod: 1\ncost_rates:",
            ["10: deadline_cap_at_eod: should be true or false, found 1"],
        ),
        (
            "cost_rates:",
            "lsm_config: {enable_cycles: 'on'}\ncost_rates:",
            ["10: lsm_config.enable_cycles: should be true or"],
        ),
        (
            "rate_per_tick: 1",
            "divisible: 1.0",
            ["6: agents.BANK_A.arrival_config.divisible: should be true or false, found 1.0"],
        ),
        *[
            (
                "      deadline_range",
                f"      counterparty_weights: {{BANK_B: {weight}}}\n      deadline_range",
                ["8: agents.BANK_A.arrival_config.counterparty_weights.BANK_B: should be"],
            )
            for weight in ("1e308", ".nan", ".inf", "-1", "'1'")
        ],
        (
            "type: DirectTransfer\n    from_agent: BANK_A\n    to_agent: BANK_B\n    amount: 10",
            "type: CounterpartyWeightChange\n    agent: BANK_A\n    counterparty: BANK_B\n    weight: .inf",
            ["16: scenario_events.0.weight: should be"],
        ),
        (
            "opening_balance: 100",
            "opening_balance: true",
            ["4: agents.BANK_A.opening_balance: should be a valid integer"],
        ),
        (
            "[1, 3]",
            "[-1, 3]",
            ["8: agents.BANK_A.arrival_config.deadline_range.0: should be greater than or equal to 0"],
        ),
        ("[1, 3]", "[3, 1]", ["8: agents.BANK_A.arrival_config.deadline_range: [3, 1] is not [least, most]"]),
        ("[1, 3]", "[1]", ["8: agents.BANK_A.arrival_config.deadline_range.1: required, and missing"]),
        (
            "      deadline_range: [1, 3]\n",
            "",
            ["5: agents.BANK_A.arrival_config.deadline_range: required, and missing"],
        ),
        ("tick: 1}", "tick: 8}", ["17: scenario_events.0.schedule: it is past the end: the run has 8 ticks"]),
        ("tick: 1}", "tick: -1}", ["17: scenario_events.0.schedule.tick: should be greater than or equal to 0"]),
        (
            "DirectTransfer",
            "DirectTransfr",
            ["13: scenario_events.0: type: 'DirectTransfr' is not known (did you mean DirectTransfer?)"],
        ),
        (
            "type: Uniform",
            "type: Pareto",
            ["7: agents.BANK_A.arrival_config.amount_distribution: type: 'Pareto' is not known"],
        ),
        ("id: BANK_B", "id: BANK_A", ["9: agents.1.id: 'BANK_A' stands twice"]),
        ("ticks_per_day: 4", "ticks_per_day: 0", ["1: simulation.ticks_per_day: should be greater than"]),
        ("deadline_penalty: 5", "deadline_penalty: -5", ["11: cost_rates.deadline_penalty: should be greater than"]),
        (
            "deadline_penalty: 5",
            "deadline_penalty: {mode: rate, amount: 5}",
            ["11: cost_rates.deadline_penalty.amount: unknown key"],
        ),
        ("deadline_penalty: 5", "deadline_penalty: much", ["11: cost_rates.deadline_penalty: should be cents, {mode"]),
        (
            "rate_per_tick: 1",
            "rate_per_tick: -1",
            ["6: agents.BANK_A.arrival_config.rate_per_tick: should be greater than"],
        ),
        ("rate_per_tick: 1", "rate_per_tick: .inf", ["6: agents.BANK_A.arrival_config.rate_per_tick: should be"]),
        (
            "rate_per_tick: 1",
            "priority: 11",
            ["6: agents.BANK_A.arrival_config.priority: should be less than or equal to 10, found 11"],
        ),
    ],
)
def test_a_problem_is_reported_with_file_line_and_key(tmp_path, old, new, lines):
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    found = refusal(written(tmp_path, text))
    assert [any(line.startswith(f"scenario.yaml:{start}") for line in found) for start in lines] == [True]


def test_every_problem_is_reported_at_once(tmp_path):
    text = GOOD.replace("opening_balance: 100", "opening_balance: -1").replace("deadline_penalty", "deadline_penalti")
    found = refusal(written(tmp_path, text))
    assert [line.split(": ")[0] for line in found] == ["scenario.yaml:4", "scenario.yaml:11"]


@pytest.mark.parametrize("text", ["agents: []\n", ""])
def test_a_scenario_needs_a_bank_and_a_time(tmp_path, text):
    found = refusal(written(tmp_path, text))
    assert any("simulation: required, and missing" in line for line in found)
    assert any(line.partition("agents: ")[2] for line in found)


def test_a_bank_alone_has_nobody_to_pay(tmp_path):
    text = GOOD.replace("  - id: BANK_B\n", "").split("scenario_events")[0]
    assert refusal(written(tmp_path, text)) == [
        "scenario.yaml:5: agents.BANK_A.arrival_config: BANK_A has no other bank to pay"
    ]


def test_bands_keep_to_their_priorities(tmp_path):
    text = GOOD.replace("arrival_config:", "arrival_bands:\n     urgent:").replace(
        "rate_per_tick: 1", "rate_per_tick: 1\n      priority: 7"
    )
    (line,) = refusal(written(tmp_path, text))
    assert "agents.BANK_A.arrival_bands.urgent: priority 7 is not in its band, 8 to 10" in line


# --set


def test_a_value_is_set_over_the_file_by_the_banks_id(tmp_path):
    changes = [
        "agents.BANK_B.unsecured_cap=5",
        "simulation.num_days=3",
        "agents.BANK_A.arrival_config.amount_distribution.max=8",
        "lsm_config.enable_cycles=true",
        "scenario_events.0.amount=12",
        'agents.BANK_B.policy={"type": "Deadline"}',
    ]
    scenario = load_scenario(written(tmp_path), changes)
    assert scenario.agents[1].unsecured_cap == 5
    assert scenario.simulation.num_days == 3
    assert scenario.agents[0].arrival_config.amount_distribution.max == 8
    assert scenario.lsm_config.enable_cycles
    assert scenario.scenario_events[0].amount == 12
    assert scenario.agents[1].policy == {"type": "Deadline"}


@pytest.mark.parametrize(
    "first",
    ["X", "A"],
)
def test_a_banks_id_may_have_dots(tmp_path, first):
    path = written(tmp_path, f"simulation: {{ticks_per_day: 1}}\nagents: [{{id: {first}}}, {{id: A.B}}]\n")
    agents = load_scenario(path, ["agents.A.B.unsecured_cap=5"]).agents
    assert [agent.unsecured_cap for agent in agents] == [0, 5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("agents.BANK_X.unsecured_cap=5", "--set agents.BANK_X.unsecured_cap: unknown bank 'BANK_X' (did you mean"),
        (
            "agents.BANK_A.unsecured_cup=5",
            "--set agents.BANK_A.unsecured_cup: unknown key (did you mean unsecured_cap?)",
        ),
        ("agents.BANK_A.unsecured_cap=-5", "--set agents.BANK_A.unsecured_cap: should be"),
        ("agents.BANK_A.unsecured_cap=much", "--set agents.BANK_A.unsecured_cap: should be"),
        ("agents.BANK_A.collateral_haircut=NaN", "--set agents.BANK_A.collateral_haircut: should be a finite number"),
        ("agents.BANK_A=5", "--set agents.BANK_A: name one of the bank's keys"),
        (
            "cost_rats.deadline_penalty=5",
            "--set cost_rats.deadline_penalty: unknown key (did you mean cost_rates?)",
        ),
        (
            "lsm_config.a.b=5",
            "--set lsm_config.a.b: lsm_config.a: unknown key (known: enable_bilateral",
        ),
        (
            "agents.BANK_B.arrival_bands.low={}",
            "--set agents.BANK_B.arrival_bands.low: agents.BANK_B.arrival_bands.low.amount_distribution: required",
        ),
        (
            'agents.BANK_A.policy={"type": "Fifo", "type": "Deadline"}',
            "--set agents.BANK_A.policy: the key 'type'",
        ),
        ("scenario_events.7.amount=5", "--set scenario_events.7.amount: there is no such place"),
        ("deferred_crediting", "--set deferred_crediting: write PATH=VALUE"),
        ("=5", "--set =5: write PATH=VALUE"),
    ],
)
def test_a_change_that_cannot_be_is_reported_as_the_change(tmp_path, change, message):
    assert refusal(written(tmp_path), [change])[0].startswith(message)


# Policies in files

POLICY = {"policy_id": "p", "payment_tree": {"type": "action", "action": "Hold"}}


def with_policy(folder, text, name="policy.json"):
    """A scenario in `folder` whose first bank's policy is in a file there."""
    (folder / name).write_text(text, encoding="utf-8")
    policy = "    policy: {type: FromJson, json_path: policy.json}\n"
    return written(folder, GOOD.replace("    opening_balance: 100\n", policy))


def test_a_share_that_is_set_where_the_policys_own_holds_is_refused(tmp_path):
    policy = 'agents.BANK_A.policy={"type": "Fifo", "parameters": {"initial_liquidity_fraction": 0.3}}'
    path, share = written(tmp_path), "agents.BANK_A.liquidity_allocation_fraction=0.9"
    with pytest.raises(ConfigError) as refused:
        policies_of(read_scenario(path, [policy, share]))
    assert str(refused.value) == (
        "--set agents.BANK_A.liquidity_allocation_fraction: would change nothing: the bank's policy has "
        "initial_liquidity_fraction 0.3, which holds; set agents.BANK_A.policy.parameters.initial_liquidity_fraction"
    )
    policies_of(read_scenario(path, [share]))


def test_a_policys_file_is_found_beside_the_scenario(tmp_path):
    scenario = load_scenario(with_policy(tmp_path, json.dumps(POLICY)))
    assert simulate(scenario, draw_arrivals(scenario)).settled.sum() == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"policy_id": NaN}', "policy.json:1:15: not JSON: NaN is not a JSON number"),
        ('{"policy_id": -Infinity}', "policy.json:1:15: not JSON: -Infinity is not a JSON number"),
        ('{"policy_id": }', "policy.json:1:15: not JSON: Expecting value"),
        ("", "policy.json:1:1: not JSON: Expecting value"),
        ('{"policy_id": "p", "policy_id": "q"}', "policy.json: the key 'policy_id' stands twice in one section"),
        (
            f'{{"version": {"1" * 5_000}}}',
            "policy.json: an integer of 5,000 digits; at most 4,000 are read",
        ),
        ("[" * 10_000, "policy.json: nested over 400 deep"),
    ],
)
def test_a_policys_file_that_is_no_json_is_reported_with_both_places(tmp_path, text, message):
    (line,) = refusal(with_policy(tmp_path, text))
    assert line == f"scenario.yaml:4: BANK_A: {message}"


def test_a_policys_file_that_is_not_there_is_reported_with_the_scenarios_line(tmp_path):
    (line,) = refusal(with_policy(tmp_path, "{}", name="other.json"))
    assert line.startswith("scenario.yaml:4: BANK_A: policy.json: no such file")


def policy_refusal(path, changes=()):
    """The message about the policies of a scenario that is right otherwise, without the folder."""
    with pytest.raises(ConfigError) as refused:
        policies_of(read_scenario(path, changes))
    return str(refused.value).replace(f"{path.parent}/", "").splitlines()


def test_a_problem_inside_a_policys_file_names_the_scenarios_line_the_file_and_the_path_in_it(tmp_path):
    path = with_policy(tmp_path, json.dumps(POLICY).replace("Hold", "Hodl"))
    assert policy_refusal(path) == [
        "scenario.yaml:4: BANK_A: policy.json: payment_tree.action: "
        "unknown action 'Hodl' of a payment_tree (did you mean Hold?)"
    ]
    (tmp_path / "policy.json").write_text("[1]")
    assert policy_refusal(path) == ["scenario.yaml:4: BANK_A: policy.json: should be a section with keys"]


def test_a_problem_of_a_parameter_beside_a_policys_file_is_the_scenarios(tmp_path):
    path = with_policy(tmp_path, json.dumps(POLICY))
    path.write_text(path.read_text().replace("json_path: policy.json", "json_path: policy.json, parameters: {x: 1}"))
    (line,) = policy_refusal(path)
    assert line.startswith("scenario.yaml:4: BANK_A: policy.parameters.x: unknown key")


def test_a_problem_of_a_policy_in_the_scenario_points_to_its_own_line(tmp_path):
    policy = "    policy:\n      policy_id: p\n      payment_tree:\n        type: action\n        action: Hodl\n"
    (line,) = policy_refusal(written(tmp_path, GOOD.replace("    opening_balance: 100\n", policy)))
    assert line.startswith("scenario.yaml:8: BANK_A: policy.payment_tree.action: unknown action 'Hodl'")


def test_a_problem_of_a_policy_that_was_set_names_the_argument(tmp_path):
    (line,) = policy_refusal(written(tmp_path), ["agents.BANK_A.policy.type=Fito"])
    assert line.startswith("--set agents.BANK_A.policy.type: BANK_A: policy.type: unknown policy 'Fito'")


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ("{type: FromJson, json_path: 5}", "json_path: should be the path of a file, found 5"),
        ("{type: FromJson, json_path: policy.json, document: {}}", "json_path: and document cannot both be given"),
    ],
)
def test_a_policys_file_is_named_by_its_path_alone(tmp_path, policy, problem):
    path = written(tmp_path, GOOD.replace("    opening_balance: 100\n", f"    policy: {policy}\n"))
    assert refusal(path) == [f"scenario.yaml:4: BANK_A: {problem}"]


def test_only_a_policy_of_type_fromjson_has_a_file(tmp_path):
    path = with_policy(tmp_path, json.dumps(POLICY))
    path.write_text(path.read_text().replace("type: FromJson", "type: Fifo"))
    (line,) = policy_refusal(path)
    assert line.startswith("scenario.yaml:4: BANK_A: policy.json_path: unknown key")


# Files that are too much


def bomb():
    lines = ["a0: &a0 [" + ", ".join(["ha"] * 10) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 10) + "]" for n in range(1, 10)]
    return "\n".join(lines)


def test_a_yaml_bomb_is_refused(tmp_path):
    (line,) = refusal(written(tmp_path, bomb()))
    assert "scenario.yaml" in line


def test_a_file_of_100_mb_is_refused_unread(tmp_path):
    path = tmp_path / "scenario.yaml"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    (line,) = refusal(path)
    assert "scenario.yaml" in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "simulation:\n\tticks_per_day: 2\n",
            "scenario.yaml:2: found character '\\t' that cannot start any token; indent",
        ),
        ("a: 1\n---\nb: 1\n", "scenario.yaml:2: expected a single document in the stream, but found another document"),
        ("- a\n", "scenario.yaml:1: expected `key: value` lines, found a list"),
        (GOOD + "agents: []\n", 'scenario.yaml:18: found duplicate key "agents"'),
    ],
)
def test_a_file_that_is_no_yaml_mapping_is_reported_with_its_line(tmp_path, text, message):
    (line,) = refusal(written(tmp_path, text))
    assert line.startswith(message)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    policy = f"\ufeff{json.dumps(POLICY)}"
    path = with_policy(tmp_path, policy)
    path.write_text("\ufeff" + path.read_text().replace("\n", "\r\n"), encoding="utf-8", newline="")
    assert load_scenario(path).agents[0].policy["document"] == POLICY


def test_a_policys_file_whose_name_cannot_be_is_reported_with_the_scenarios_line(tmp_path):
    path = with_policy(tmp_path, json.dumps(POLICY))
    path.write_text(path.read_text().replace("policy.json", '"a\\0b"'))
    (line,) = refusal(path)
    assert line.startswith("scenario.yaml:4: BANK_A: a\ufffdb: no such file (looked for ")


def test_a_directory_is_no_scenario(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: is a directory, not a regular file"):
        load_scenario(tmp_path)


def test_a_file_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_scenario(tmp_path / "gone.yaml")


@pytest.mark.parametrize("name", ["A\0B", "\0", "A\nB", "A\x7f"])
def test_a_banks_name_with_a_control_character_is_refused_in_words(tmp_path, name):
    (line, *_) = refusal(written(tmp_path, GOOD.replace("BANK_A", json.dumps(name).replace("\x7f", r"\x7f"))))
    assert f"agents.0.id: {name!r}: a name has no control characters, such as NUL or a line break" in line
