"""A scenario, or arrivals, from a table of any kind: the same as from the file with the same rows."""

import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from labledger.errors import ConfigError
from payment_simulator import Arrivals, Scenario, draw_arrivals, load_scenario, simulate
from payment_simulator.scenario.given_payments import COLUMNS
from payment_simulator.scenario.keywords import ScenarioKeywords
from payment_simulator.scenario.payment_files.sections import Clock, Payments
from payment_simulator.scenario.payment_files.tables import ClockKeywords, PaymentsKeywords

CLOCK = {"open": "07:00", "close": "18:00", "tick": "30m"}
DAY = """time,sender,receiver,amount,prio
2026-03-02 07:00:10,DEUT,CHAS,100.10,9
2026-03-02 08:00:00,CHAS,001,60.50,5
2026-03-03 09:30:00,001,DEUT,20.29,5
"""
DEFAULTS = {"unsecured_cap": 7000}


@pytest.fixture
def of_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("day.csv").write_text(DAY)
    Path("bal.csv").write_text("bank,balance\nDEUT,50.05\n")
    Path("s.yaml").write_text(
        "payments: {file: day.csv, clock: {open: '07:00', close: '18:00', tick: 30m}}\nagents: from_payments\n"
        "agent_defaults: {unsecured_cap: 7000}\nbalances: bal.csv\n"
    )
    return load_scenario("s.yaml")


def arrow():
    rows = [line.split(",") for line in DAY.splitlines()[1:]]
    time, sender, receiver, amount, prio = zip(*rows, strict=True)
    return pa.table(
        {
            "time": pa.array([datetime.datetime.fromisoformat(each) for each in time]),
            "sender": sender,
            "receiver": receiver,
            "amount": [float(each) for each in amount],
            "prio": [int(each) for each in prio],
        }
    )


class OfStream:
    """A table of a library that has Arrow's interface."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


class OfInterchange:
    """A table of a library that has the older interface of data frames."""

    def __init__(self, table):
        self._table = table

    def __dataframe__(self, *args, **kwargs):
        return self._table.__dataframe__(*args, **kwargs)


def pandas(table):
    frame = pytest.importorskip("pandas").DataFrame(table.to_pydict())
    return frame[frame["amount"] > 0]


KINDS = [pa.table, pandas, OfStream, OfInterchange, lambda table: table.to_pydict()]


def test_keywords_are_the_keys_of_the_sections_that_they_stand_for():
    assert PaymentsKeywords.__annotations__.keys() == Payments.model_fields.keys() - {"file"}
    assert ClockKeywords.__annotations__.keys() == Clock.model_fields.keys()
    of_scenario = ScenarioKeywords.__annotations__.keys() - PaymentsKeywords.__annotations__.keys()
    assert of_scenario == Scenario.model_fields.keys() - {"payments"}


def happens(scenario, arrivals):
    return simulate(scenario, arrivals, engine="reference", record_events=True).rows.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_a_day_of_a_table_of_any_kind_is_the_day_of_the_file(kind, of_file):
    table, wanted = kind(arrow()), happens(of_file, draw_arrivals(of_file))
    balances = kind(pa.table({"bank": ["DEUT"], "balance": [50.05]})) if kind is not pandas else "bal.csv"
    scenario = Scenario.from_payments(table, clock=CLOCK, agent_defaults=DEFAULTS, balances=balances)
    assert scenario.agents == of_file.agents
    assert scenario.simulation == of_file.simulation
    assert happens(scenario, draw_arrivals(scenario)) == wanted
    arrivals = Arrivals.from_table(table, of_file, clock=CLOCK)
    assert [getattr(arrivals, name).dtype for name in COLUMNS] == list(COLUMNS.values())
    assert happens(of_file, arrivals) == wanted


def test_a_file_is_read_from_python_with_the_same_keywords(of_file):
    scenario = Scenario.from_payments("day.csv", clock=CLOCK, agent_defaults=DEFAULTS, balances={"file": "bal.csv"})
    assert scenario.agents == of_file.agents
    assert scenario.payments == of_file.payments
    again = Scenario.model_validate(scenario.model_dump()).with_payments(scenario.given_payments)
    assert happens(again, draw_arrivals(again)) == happens(of_file, draw_arrivals(of_file))


def test_arrivals_of_a_table_have_their_days_cut_where_the_scenario_says_so():
    scenario = Scenario.model_validate(
        {"simulation": {"ticks_per_day": 2, "num_days": 2}, "agents": [{"id": "A"}, {"id": "B"}]}
        | {"deadline_cap_at_eod": True}
    )
    table = {"tick": [0, 3], "from": ["B", "A"], "to": ["A", "B"], "value": [5, 7], "deadline": [3, 3]}
    arrivals = Arrivals.from_table(table, scenario, amounts="cents")
    assert (arrivals.sender.tolist(), arrivals.amount.tolist()) == ([1, 0], [5, 7])
    assert arrivals.deadline.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("change", "keywords", "said"),
    [
        (
            {},
            {"clock": {"open": "07:00", "close": "18:00", "tik": "1h"}},
            "clock.tik: unknown key (did you mean tick?)",
        ),
        ({}, {"clok": CLOCK}, "clok: unknown keyword (did you mean clock?)"),
        ({}, {"clock": CLOCK, "agent_defaults": {"cap": 1}}, "agent_defaults.cap: unknown key"),
        ({}, {"clock": CLOCK, "agents": [{"id": "DEUT"}]}, 'payments: row 1: receiver: "CHAS" is not among the agents'),
        ({}, {"clock": CLOCK, "balances": {"level": -1}}, "balances.level: should be greater than or equal to 0"),
        ({}, {"clock": CLOCK, "balances": 5}, "balances: int is no table; give one of Arrow, pandas or polars"),
        ({"amount": [1.0, 2.005, 3.0]}, {"clock": CLOCK}, "payments: row 2: amount: 2.005: is not whole cents"),
        ({"amount": [1.0, None, 3.0]}, {"clock": CLOCK}, "payments: row 2: amount: empty: no amount"),
        (
            {"sender": ["A"] * 3, "receiver": ["A"] * 3},
            {"clock": CLOCK},
            'payments: row 1: receiver: "A": the bank itself',
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_row_and_column(change, keywords, said, of_file):
    table = arrow().to_pydict() | change
    with pytest.raises(ConfigError) as refused:
        Scenario.from_payments(table, **keywords)
    assert said in str(refused.value)
    if keywords == {"clock": CLOCK}:
        with pytest.raises(ConfigError) as refused:
            Arrivals.from_table(table, of_file, **keywords)
        assert said in str(refused.value)


def test_what_is_no_table_is_refused(of_file):
    for wrong in (5, None, [1, 2], {"time": [1], "sender": [1, 2]}, {"amount": [1, "x"]}):
        with pytest.raises(ConfigError, match=r"^payments: (\w+ is no table|cannot be read as a table)"):
            Arrivals.from_table(wrong, of_file)
