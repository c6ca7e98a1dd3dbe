"""A file of balances: what banks begin with, and credit lines and opening balances that change."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scenarios import happened

from labledger.errors import ConfigError
from payment_simulator import draw_arrivals, load_scenario, simulate
from payment_simulator.scenario.loader import read_scenario

DAYS = """time,sender,receiver,amount
2026-03-02 07:10,A,B,1.00
2026-03-02 10:10,B,A,0.20
2026-03-03 07:10,A,B,1.00
2026-03-05 09:30,A,B,1.00
"""
CLOCK = "clock: {open: '07:00', close: '18:00', tick: 1h}"


@pytest.fixture
def banks(tmp_path, monkeypatch):
    """Return a function that reads a scenario of three days, with this file of balances."""
    monkeypatch.chdir(tmp_path)
    Path("day.csv").write_text(DAYS)

    def read(balances, text="agents: from_payments", *, file="bal.csv", read=load_scenario):
        if balances is not None:
            Path(file).write_text(balances)
        Path("s.yaml").write_text(f"payments: {{file: day.csv, {CLOCK}}}\n{text}\nbalances: {file}\n")
        return read(Path("s.yaml"))

    return read


def of(scenario, *names):
    return {agent.id: tuple(getattr(agent, name) for name in names) for agent in scenario.agents}


def events(scenario):
    return [
        (event.schedule.tick, event.type, event.agent, getattr(event, "unsecured_cap", None))
        for event in scenario.scenario_events
    ]


def remarks(scenario):
    return [remark for remark in scenario.given_payments.remarks if "balances" in remark]


def test_columns_of_balances_are_recognised_and_money_is_in_the_unit_of_the_payments(banks):
    text = (
        "agent_defaults: {unsecured_cap: 7, opening_balance: 8}\nagents: [from_payments, {id: C, opening_balance: 9}]"
    )
    scenario = banks(
        "Bank;Opening Balance;Credit-limit;Haircut;policy\n"
        "A;1.234,50;;0,25;{type: LiquidityAware, target_buffer: 5, urgency_threshold: 1}\n"
        "C;1,00;0,01;;\n"
        "IDLE;;;;\n",
        text,
    )
    assert of(scenario, "opening_balance", "unsecured_cap", "collateral_haircut") == {
        "A": (123450, 7, 0.25),
        "B": (8, 7, 0.0),
        "C": (9, 1, 0.0),
        "IDLE": (8, 7, 0.0),
    }
    assert {agent.id: agent.policy.get("type") for agent in scenario.agents}["A"] == "LiquidityAware"
    assert remarks(scenario) == [
        "in the balances, but not in any payment: 2 banks (C, IDLE)",
        "not in the balances, and so with the defaults: 1 bank (B)",
    ]


def test_balances_of_a_parquet_file_are_those_of_its_csv(banks):
    table = pa.table({"participant": ["A", "001"], "balance": [12.5, None], "cap": [None, 3]})
    pq.write_table(table, "bal.parquet")
    scenario = banks(None, file="bal.parquet")
    assert of(scenario, "opening_balance", "unsecured_cap") == {"A": (1250, 0), "B": (0, 0), "001": (0, 300)}
    assert scenario.agents == banks("participant,balance,cap\nA,12.5,\n001,,3\n").agents


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("bank,balance,colour\nA,1,red\n", "bal.csv: unknown column 'colour' (known: id, "),
        ("bank,ballance\nA,1\n", "bal.csv: unknown column 'ballance' (did you mean balance?); say balances.columns"),
        ("bank,bic,balance\nA,A,1\n", "bal.csv: 'bank' and 'bic' could be the id; say balances.columns.id"),
        ("balance\n1\n", "bal.csv: no column is the id of a bank; it has balance"),
        ("bank,balance\nA,1.0055\nB,\n", 'bal.csv:2: balance: "1.0055": 4 decimals, and the currency has 2'),
        ("bank,balance\nA,1.005\n", 'or decimals? say balances.decimal: "." or'),
        ("bank,balance\nA,x\n,2\n", 'bal.csv:3: bank: "": no bank'),
        ("bank,haircut\nA,x\n", 'bal.csv:2: haircut: "x": cannot be read'),
        (
            "bank,haircut\nA,1.5\n",
            "bal.csv:2: agents.A.collateral_haircut: should be less than or equal to 1, found 1.5",
        ),
        (
            "bank,balance\nA,-1\n",
            "bal.csv:2: agents.A.opening_balance: should be greater than or equal to 0, found -100",
        ),
        ("bank,balance\nA,1\nB,2\nA,1\n", "bal.csv:4: A stands twice, first on bal.csv:2"),
        (
            "bank,policy\nA,{api_key: sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789}\n",
            "bal.csv:2: agents.0.policy.api_key: ",
        ),
        ("bank,balance\nA,1,2\n", "bal.csv:2: has 3 cells, the header 2"),
        ("bank,policy\nA,{type: Fiffo}\n", "bal.csv:2: A: policy.type: unknown policy 'Fiffo' (did you mean Fifo?)"),
        ("bank,time,cap\nA,10:00,1\n", 'bal.csv:2: time: "10:00": a run of 3 days needs a date beside the time'),
        ("bank,time,cap\nA,5,1\n", 'bal.csv:2: time: "5": is no time of day; write HH:MM'),
        ("bank,date,cap\nA,2nd,1\n", 'bal.csv:2: date: "2nd": is no time that is known; write YYYY-MM-DD'),
        (
            "date,bank,collateral\n2026-03-02,A,1\n2026-03-03,A,2\n",
            "bal.csv:3: posted_collateral: 200 in place of 100 from here on: it is one all the run",
        ),
        (
            "bank,time,balance\nA,2026-03-02,1\nA,2026-03-02 10:00,2\n",
            "bal.csv:3: opening_balance: 200 in place of 100 from here on: it begins with a day",
        ),
    ],
)
def test_balances_that_cannot_be_used_are_refused_with_file_line_and_column(banks, content, said):
    from payment_simulator.policy.policies import policies_of

    with pytest.raises(ConfigError) as refused:
        policies_of(banks(content, read=read_scenario))
    assert said in str(refused.value)


def test_balances_of_a_bank_that_a_list_does_not_have_are_refused(banks):
    with pytest.raises(ConfigError, match=r"bal\.csv:2: 'AB' is not among the agents \(did you mean [AB]\?\)"):
        banks("bank,balance\nAB,1\n", "agents: [{id: A}, {id: B}]")


def test_names_of_columns_may_be_said_and_a_level_stands_beside_other_fields(banks):
    text = "agents: from_payments\nbalances: {file: bal.csv, columns: {id: BIC8, unsecured_cap: Linie}, level: 1}"
    Path("bal.csv").write_text("BIC8,Linie\nA,3\n")
    Path("s.yaml").write_text(f"payments: {{file: day.csv, {CLOCK}}}\n{text}\n")
    scenario = load_scenario("s.yaml")
    assert of(scenario, "opening_balance", "unsecured_cap") == {"A": (100, 300), "B": (0, 0)}
    Path("bal.csv").write_text("BIC8,Linie,balance\nA,3,4\n")
    with pytest.raises(ConfigError, match=r"s\.yaml:3: balances\.level: the file of balances has opening balances too"):
        load_scenario("s.yaml")


def test_balances_have_the_decimals_of_the_payments_currency_and_signs_of_their_own(banks):
    Path("day.csv").write_text(DAYS.replace("amount", "amount,ccy").replace(".00", ",JPY").replace("0.20", "20,JPY"))
    said = "agents: from_payments\nbalances: {file: bal.csv, decimal: ',', separator: '|', encoding: cp1252}\n"
    Path("bal.csv").write_bytes("bank|balance|haircut|policy\nA|12.345|0,5|{type: Fifo}\n".encode("cp1252"))
    Path("s.yaml").write_text(f"payments: {{file: day.csv, {CLOCK}}}\n{said}")
    assert of(load_scenario("s.yaml"), "opening_balance", "collateral_haircut")["A"] == (12345, 0.5)


def test_later_rows_of_a_bank_change_its_credit_at_their_tick(banks):
    # Rows may stand in any order. Those from before the day hold from its first tick on, the last of them; 09:59 is in
    # the tick from 09:00 to 10:00.
    # What comes after a day's close holds from the next day on, and so does a row of a day without payments.
    scenario = banks(
        "bank,time,cap\n"
        "A,2026-03-02 06:00,0.10\nA,2026-03-01 12:00,9\nA,2026-03-02 09:59,0.30\nA,2026-03-02 10:01,0.30\n"
        "A,2026-03-02 18:00,0.40\nA,2026-03-04 12:00,0.50\nA,2026-03-05 18:30,7\n"
    )
    assert of(scenario, "unsecured_cap")["A"] == (10,)
    changes = [(2, 30), (11, 40), (22, 50)]
    assert events(scenario) == [(tick, "CreditLimitChange", "A", cents) for tick, cents in changes]


def test_a_bank_begins_each_day_with_the_opening_balance_of_that_day(banks):
    scenario = banks("date,bank,balance\n2026-03-02,A,1\n2026-03-03,A,0.60\n2026-03-04,A,9\n2026-03-05,A,2.50\n")
    assert of(scenario, "opening_balance")["A"] == (100,)
    outcome = simulate(scenario, draw_arrivals(scenario), engine="reference", record_events=True)
    # 100 - 100 + 20 = 20; then 60, too little for 100; then 250, which pays both.
    assert outcome.final_balance.tolist() == [50, 280]
    reset = [(tick, bank, cents) for tick, _, bank, _, cents in happened(outcome, "BalanceReset")]
    assert reset == [(11, "A", 60 - 20), (22, "A", 250 - 60)]


def test_what_a_bank_says_itself_holds_over_its_rows(banks):
    rows = "date,bank,balance,cap\n2026-03-02,A,1,1\n2026-03-03,A,2,2\n"
    scenario = banks(rows, "agents: [{id: A, unsecured_cap: 5}, from_payments]")
    assert of(scenario, "opening_balance", "unsecured_cap")["A"] == (100, 5)
    assert [kind for _, kind, _, _ in events(scenario)] == ["BalanceReset"]


def test_times_and_money_of_balances_are_in_the_units_of_the_payments(tmp_path):
    (tmp_path / "day.csv").write_text("tick,sender,receiver,amount\n3,A,B,1\n")
    (tmp_path / "bal.csv").write_text("bank,tick,cap\nA,0,1\nA,3,2\nA,9,3\n")
    for unit, cents in (("cents", 2), ("currency", 200)):
        (tmp_path / "s.yaml").write_text(
            f"payments: {{file: day.csv, amounts: {unit}}}\nsimulation: {{ticks_per_day: 5}}\n"
            "agents: from_payments\nbalances: bal.csv"
        )
        assert events(load_scenario(tmp_path / "s.yaml")) == [(3, "CreditLimitChange", "A", cents)]
