"""Mistakes of a newcomer: what is found, where, and what to write in its place."""

import pytest

from labledger.errors import ConfigError
from payment_simulator.policy.policies import read_with_policies

HEAD = "simulation: {ticks_per_day: 10}\n"
BANK = HEAD + "agents:\n  - {id: B}\n  - "
EXPONENTIAL = "amount_distribution: {type: Exponential, mean: 9}"


def told(tmp_path, text):
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        read_with_policies(path)
    return str(refused.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize("name", ["001", "1e5", "true", "null", "0x1F", ".inf", "1_000"])
def test_an_id_that_yaml_reads_as_something_else_is_told_as_it_is_written(tmp_path, name):
    message = told(tmp_path, f"{BANK}id: {name}\n")
    assert message.startswith("s.yaml:4: agents.1.id: should be a valid string, found ")
    assert f"({name} is " in message
    assert message.endswith(f'; put it in quotes: "{name}" (as in id: BANK_A)')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BANK + "{id: A, opening_balance: 1e6}", "found 1000000.0; write 1000000 in place of 1e6"),
        (BANK + "{id: A, opening_balance: 10.5}", "found 10.5; write a whole number"),
        (BANK + '{id: A, opening_balance: "1,000,000"}', "found '1,000,000'; write it without signs between: 1000000"),
        (BANK + "{id: A, opening_balance: '1000'}", "found '1000'; write it without quotes: 1000"),
        (BANK + "{id: A, collateral_haircut: '0.5'}", "found '0.5'; write it without quotes: 0.5"),
        (
            BANK + "{id: A}\ndeferred_crediting: off",
            "s.yaml:5: deferred_crediting: should be true or false, found 'off'; ",
        ),
        (BANK + "{id: A}\ndeferred_crediting: off", "; write false"),
        (BANK + "{id: A}\ndeferred_crediting: 1", "found 1; write true"),
        (BANK + "{id: A, policy: Fifo}", "found 'Fifo' (as in policy: {type: Deadline, urgency_threshold: 3})"),
        (BANK + "{id: A, policy: {type: FromJson}}", "A: policy.json_path: required, and missing: the file of its"),
        (BANK + "{id: A, policy: {type: FromJson, path: x}}", "policy.path: unknown key (did you mean json_path?)"),
        (
            BANK + "{id: A, policy: {type: Fifo, initial_liquidity_fraction: 0.4}}",
            "s.yaml:4: A: policy.initial_liquidity_fraction: belongs into parameters: write parameters: "
            "{initial_liquidity_fraction: 0.4}",
        ),
        (BANK + "{id: A, policy: {type: Fifo, target_buffer: 4}}", "unknown key here; it is one of LiquidityAware"),
        (
            f"{BANK}id: A\n    arrival_config: {{rate_per_tick: 1, {EXPONENTIAL}, deadline_range: 5}}",
            "s.yaml:5: agents.A.arrival_config.deadline_range: should be a valid tuple, found 5 (as in deadline_range: "
            "[3, 8])",
        ),
        (
            f"{BANK}id: A\n    arrival_config: {{rate_per_tick: 1, amount_distribution: lognormal}}",
            "found 'lognormal' (as in amount_distribution: {type: LogNormal, mean: 10000, std_dev: 5000})",
        ),
        (HEAD + "agents: [A, B]", "agents.1: should be a section with keys of its own, found 'B' (as in agents: [{id:"),
        (HEAD + "agents: {A: {}}", "s.yaml:2: agents: should be a valid list, found {'A': {}} (as in agents: [{id:"),
        (HEAD + "agents: []", "s.yaml:2: agents: should have at least 1 item, found []"),
        ("simulation:\nticks_per_day: 10\nagents: [{id: A}]", "found nothing: are they indented below it?"),
        ("payments: day.csv\nagents: from_payments", "found 'day.csv' (as in payments: {file: day.csv})"),
        (
            "simulation:\n\tticks_per_day: 10",
            "s.yaml:2: found character '\\t' that cannot start any token; indent with",
        ),
    ],
)
def test_a_mistake_is_told_with_what_to_write_in_its_place(tmp_path, text, message):
    assert message in told(tmp_path, text)


@pytest.mark.parametrize("value", ["1e300", "-1e300", "1e400"])
def test_a_number_in_a_tree_past_its_limit_is_refused_with_the_limit(tmp_path, value):
    leaf = '{"type": "action", "action": "Hold"}'
    condition = f'{{"op": ">", "left": {{"field": "balance"}}, "right": {{"value": {value}}}}}'
    tree = f'{{"type": "condition", "condition": {condition}, "on_true": {leaf}, "on_false": {leaf}}}'
    (tmp_path / "p.json").write_text(f'{{"payment_tree": {tree}}}')
    message = told(tmp_path, BANK + "{id: A, policy: {type: FromJson, json_path: p.json}}")
    assert "A: p.json: payment_tree.condition.right.value: should be over -1e300 and under 1e300, found" in message
