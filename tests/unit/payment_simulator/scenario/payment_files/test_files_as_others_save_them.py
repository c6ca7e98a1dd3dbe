"""Files as spreadsheets, reports and other systems save them: lines above the header, words for none."""

import gzip

import pytest
from payment_days import CLOCK, HEADER, problem, read

from labledger.errors import ConfigError
from payment_simulator import Scenario, load_scenario

DAY = HEADER + "07:00,A,B,5\n07:01,B,A,6\n"
SCENARIO = 'payments: {file: day.csv, clock: {open: "07:00", close: "18:00", tick: 60s}}\n'


def scenario(folder, text, **files):
    """The scenario of this text, beside a day of payments and other files."""
    for name, content in {"day": DAY, **files}.items():
        (folder / f"{name}.csv").write_text(content)
    (folder / "s.yaml").write_text(SCENARIO + text)
    return load_scenario(folder / "s.yaml")


@pytest.mark.parametrize(
    ("above", "line", "lines"),
    [
        ("Report of payments\n\n", 3, "2 lines"),
        ("Report,,,\nof,2026-03-02,,\n", 3, "2 lines"),
        ("Payments; by bank\n", 2, "line"),
    ],
)
@pytest.mark.parametrize("separator", [",", ";"])
def test_a_header_below_other_lines_is_told_with_its_line(tmp_path, above, line, lines, separator):
    text = above + DAY.replace(",", separator)
    said = f"day.csv:{line}: the header stands here; take out the {lines} above it"
    assert problem(tmp_path, text, clock=CLOCK) == said


@pytest.mark.parametrize("first", ["sep=;\r", "SEP=;", '"sep=;"', "\ufeffsep=;"])
def test_a_line_that_says_the_separator_is_told_however_it_is_written(tmp_path, first):
    said = problem(tmp_path, f"{first}\n" + DAY.replace(",", ";"), clock=CLOCK)
    assert said.startswith("day.csv:1: a line for spreadsheets, ")
    assert said.endswith("; take it out, and say payments.separator: ';'")


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_a_header_without_payments_is_told_whatever_ends_it(tmp_path, end):
    assert problem(tmp_path, HEADER.strip() + end, clock=CLOCK) == "day.csv: has a header and no payments"
    packed = gzip.compress((HEADER.strip() + end).encode())
    assert problem(tmp_path, packed, "day.csv.gz", clock=CLOCK) == "day.csv.gz: has a header and no payments"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_text_with_a_byte_order_mark_is_read(tmp_path, encoding):
    assert read(tmp_path, DAY.encode(encoding), clock=CLOCK).amount.tolist() == [500, 600]


def test_balances_below_other_lines_or_a_line_for_the_separator_are_told_with_their_own_key(tmp_path):
    balances = "agents: from_payments\nbalances: b.csv\n"
    with pytest.raises(ConfigError, match=r"b\.csv:2: the header stands here; take out the line above it"):
        scenario(tmp_path, balances, b="Balances of the day\nid;balance\nA;1\n")
    with pytest.raises(ConfigError, match=r"say balances\.separator: ';'"):
        scenario(tmp_path, balances, b="sep=;\nid;balance\nA;1\n")


@pytest.mark.parametrize("agents", ['[{id: A}, {id: B}, {id: "NULL"}]', '[from_payments, {id: "NULL"}]'])
def test_a_word_for_none_is_a_bank_where_the_scenario_names_one_so(tmp_path, agents):
    day = DAY + "07:02,NULL,A,7\n"
    found = scenario(tmp_path, f"agents: {agents}\nbalances: b.csv\n", day=day, b="id,balance\nNULL,3\n")
    assert {agent.id: agent.opening_balance for agent in found.agents} == {"A": 0, "B": 0, "NULL": 300}
    with pytest.raises(ConfigError, match=r'day\.csv:4: sender: "NULL": no bank: .* unless agents has it as an id'):
        scenario(tmp_path, "agents: from_payments\n", day=day)


@pytest.mark.parametrize("amounts", ["currency", "cents"])
def test_a_file_that_says_no_currency_beside_one_that_does_is_refused_until_it_is_said(tmp_path, amounts):
    with_currency = HEADER.strip() + ",ccy\n07:00,A,B,500,JPY\n"
    for name, text in {"a": DAY, "b": with_currency, "c": with_currency.replace("JPY", "EUR")}.items():
        (tmp_path / f"{name}.csv").write_text(text)
    for files in (["a.csv", "b.csv"], ["b.csv", "a.csv"]):
        said = problem(tmp_path, file=files, clock=CLOCK, amounts=amounts)
        assert said.endswith("a.csv says none, and other files JPY; say payments.currency: JPY if all are in it")
    said = problem(tmp_path, file=["b.csv", "c.csv"], clock=CLOCK, amounts=amounts)
    assert said == "payments.currency: JPY, and c.csv has payments in EUR"
    found = read(tmp_path, file=["a.csv", "b.csv"], clock=CLOCK, amounts=amounts, currency="JPY")
    assert found.amount.tolist() == [5, 500, 6]


def test_dates_that_are_whole_numbers_are_read_as_in_text():
    table = {"date": [20260302, 20260303], "time": ["07:00", "07:01"], "sender": ["A", "B"], "receiver": ["B", "A"]}
    found = Scenario.from_payments({**table, "amount": [5, 6]}, clock=CLOCK).given_payments
    assert found.tick.tolist() == [0, 661]


def test_values_that_arrow_has_no_column_for_are_refused_with_the_name_of_theirs():
    table = {"time": ["07:00"], "sender": ["A"], "receiver": ["B"], "amount": [10**30]}
    with pytest.raises(ConfigError, match="table: amount: a whole number beyond 64 bits; give Decimals"):
        Scenario.from_payments(table, clock=CLOCK)


def test_a_filter_on_a_column_that_stands_twice_is_refused(tmp_path):
    text = HEADER.strip() + ",state,State\n07:00,A,B,5,OK,REVOKED\n"
    said = problem(tmp_path, text, clock=CLOCK, filter="state = 'OK'")
    assert said == "payments.filter: more than one column is called 'state', in letters of any case"


def test_a_filter_on_a_column_of_which_every_cell_is_empty_is_one_on_text(tmp_path):
    text = HEADER.strip() + ",priority\n07:00,A,B,5,\n"
    assert problem(tmp_path, text, clock=CLOCK, filter="priority = 'HIGH'").startswith("payments.filter: it keeps none")
