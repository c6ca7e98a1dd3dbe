"""Payments in ISO 20022 messages."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from labledger.errors import ConfigError
from payment_simulator import draw_arrivals, load_scenario
from payment_simulator.cli.main import app
from payment_simulator.engine.tables import payment_ids
from payment_simulator.scenario.arrivals import COLUMNS, arrivals_from
from payment_simulator.scenario.payment_files.clock import Day
from payment_simulator.scenario.payment_files.iso20022 import LINE, read_messages
from payment_simulator.scenario.payment_files.pacs009 import pacs009_bytes, remarks_of_pacs009
from payment_simulator.scenario.payment_files.writing import ExportCalendar, ExportMoney

PACS_008 = """<?xml version="1.0"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08"><FIToFICstmrCdtTrf>
<GrpHdr><MsgId>M1</MsgId><CreDtTm>2026-03-02T07:30:00</CreDtTm><NbOfTxs>2</NbOfTxs>
<InstgAgt><FinInstnId><BICFI>AAAADEFF</BICFI></FinInstnId></InstgAgt></GrpHdr>
<CdtTrfTxInf><PmtId><EndToEndId>E1</EndToEndId><UETR>u-1</UETR></PmtId>
<IntrBkSttlmAmt Ccy="EUR">1234.5</IntrBkSttlmAmt><IntrBkSttlmDt>2026-03-02</IntrBkSttlmDt><SttlmPrty>HIGH</SttlmPrty>
<SttlmTmIndctn><DbtDtTm>2026-03-02T09:00:00</DbtDtTm></SttlmTmIndctn>
<SttlmTmReq><RjctTm>16:00:00</RjctTm></SttlmTmReq>
<InstdAgt><FinInstnId><BICFI>BBBBDEFF</BICFI></FinInstnId></InstdAgt></CdtTrfTxInf>
<CdtTrfTxInf><PmtId><TxId>T2</TxId></PmtId><IntrBkSttlmAmt Ccy="EUR">7</IntrBkSttlmAmt>
<IntrBkSttlmDt>2026-03-02</IntrBkSttlmDt><SttlmTmReq><FrTm>08:00:00</FrTm></SttlmTmReq>
<InstgAgt><FinInstnId><ClrSysMmbId><MmbId>021000021</MmbId></ClrSysMmbId></FinInstnId></InstgAgt>
<InstdAgt><FinInstnId><BICFI>BBBBDEFF</BICFI></FinInstnId></InstdAgt></CdtTrfTxInf>
</FIToFICstmrCdtTrf></Document>
"""
SCENARIO = """
payments: {file: day.xml, clock: {open: "07:00", close: "18:00", tick: 60s}}
agents: from_payments
agent_defaults: {unsecured_cap: 5000000}
"""


def write(folder, content, name="day.xml"):
    """A file of messages beside a scenario that names it."""
    (folder / "day.yaml").write_text(SCENARIO)
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_customer_transfers_are_read_with_their_times_agents_and_priorities(tmp_path):
    rows = read_messages(write(tmp_path, PACS_008)).to_pylist()
    assert rows[0] == {
        "time": "2026-03-02T07:30:00",
        "sender": "AAAADEFF",
        "receiver": "BBBBDEFF",
        "amount": "1234.5",
        "currency": "EUR",
        "priority": "HIGH",
        "deadline": "2026-03-02T16:00:00",
        "settled": "2026-03-02T09:00:00",
        "id": "u-1",
        LINE: str(PACS_008[: PACS_008.index("<CdtTrfTxInf>")].count("\n") + 1),
    }
    assert (rows[1]["time"], rows[1]["sender"], rows[1]["id"]) == ("2026-03-02T08:00:00", "021000021", "T2")
    found = load_scenario(tmp_path / "day.yaml").given_payments
    assert found.tick.tolist() == [30, 60]
    assert found.amount.tolist() == [123_450, 700]
    assert found.priority.tolist() == [9, 5]
    assert found.settled.tolist() == [120, -1]


def test_of_several_times_until_which_it_may_settle_the_banks_own_holds_then_that_of_cls(tmp_path):
    reject, cls, own = (
        f"<{name}>{hour}:00:00</{name}>" for name, hour in (("RjctTm", 16), ("CLSTm", 15), ("TillTm", 14))
    )
    for times, hour in ((cls + reject, 15), (cls + own + reject, 14)):
        rows = read_messages(write(tmp_path, PACS_008.replace(reject, times))).to_pylist()
        assert rows[0]["deadline"] == f"2026-03-02T{hour}:00:00"


@pytest.mark.parametrize("version", ["02", "09", "13"])
def test_any_version_and_an_envelope_of_several_messages_are_read(tmp_path, version):
    message = PACS_008.partition("?>")[2].replace("pacs.008.001.08", f"pacs.008.001.{version}")
    path = write(tmp_path, f"<Envelope><AppHdr/>{message}{message}</Envelope>")
    assert read_messages(path)["id"].to_pylist() == ["u-1", "T2"] * 2


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("tech:xsd:pacs.008", "tech:xsd:pain.001"), r"in the namespace .*pain\.001.*; pacs\.008 is in urn"),
        (("pacs.008.001.08", "pacs.009.001.08"), "FIToFICstmrCdtTrf is in the namespace"),
        (('<IntrBkSttlmAmt Ccy="EUR">1234.5</IntrBkSttlmAmt>', ""), r"transaction 1 \(u-1\): it has no IntrBkSttlmAmt"),
        (("1234.5", ""), "transaction 1 .*no IntrBkSttlmAmt"),
        (("AAAADEFF", ""), "names an instructing agent"),
        (("<CreDtTm>2026-03-02T07:30:00</CreDtTm>", ""), "transaction 1 .*no time"),
        (("<IntrBkSttlmDt>2026-03-02</IntrBkSttlmDt><SttlmPrty>", "<SttlmPrty>"), "a SttlmTmReq, and no IntrBkSttlmDt"),
        (("2026-03-02</IntrBkSttlmDt><SttlmPrty>", "soon</IntrBkSttlmDt><SttlmPrty>"), "'soon' is no date"),
        (("</Document>", ""), "day.xml:1[0-9]:.* not well-formed"),
        (
            ('<?xml version="1.0"?>', '<!DOCTYPE a [<!ENTITY b "cc"><!ENTITY d "&b;&b;">]>'),
            "an entity or a document type",
        ),
        (('<?xml version="1.0"?>', '<!DOCTYPE a SYSTEM "file:///etc/passwd">'), "declares an entity or"),
        (("FIToFICstmrCdtTrf", "Other"), "holds no pacs.008 or pacs.009 message"),
        (("HIGH", "WHENEVER"), "WHENEVER"),
        (("1234.5", "1234.567"), "1234.567"),
        (("1234.5", "12<b>3</b>4.5"), "holds elements"),
        ((' Ccy="EUR">7<', ">7<"), r"day\.xml:10: .*transaction 2 .*no Ccy"),
        ((">7<", ">seven<"), r"day\.xml:10: .*transaction 2 .*'seven', is no number"),
        ((">7<", ">7,001<"), "'7,001', is no number as XML has them"),
        ((">7<", ">7e3<"), "'7e3', is no number as XML has them"),
        ((">7<", ">7.001<"), r'day\.xml:10: amount: "7\.001": 3 decimals, and EUR has 2'),
        ((">7</IntrBkSttlmAmt>", '>7</IntrBkSttlmAmt><IntrBkSttlmAmt Ccy="EUR">8</IntrBkSttlmAmt>'), "has 2 elements"),
        (("<RjctTm>", "<CdtTrfTxInf/><RjctTm>"), "8: CdtTrfTxInf stands within SttlmTmReq; it belongs below FIToF"),
        (("<CdtTrfTxInf>", "<FICdtTrf/><CdtTrfTxInf>"), "5: FICdtTrf begins within FIToFICstmrCdtTrf"),
        (("<NbOfTxs>2", "<NbOfTxs>3"), "it holds 2 transactions, and its NbOfTxs is 3"),
    ],
)
def test_a_message_that_cannot_be_used_is_refused_and_says_why(tmp_path, change, problem):
    write(tmp_path, PACS_008.replace(*change))
    with pytest.raises(ConfigError, match=problem):
        load_scenario(tmp_path / "day.yaml")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"time,sender\n", b"\x00" * 100])
def test_what_is_no_xml_is_refused(tmp_path, content):
    with pytest.raises(ConfigError, match="XML"):
        read_messages(write(tmp_path, content))


DAYS = st.lists(
    st.tuples(st.integers(0, 39), st.integers(0, 2), st.integers(1, 2), st.integers(1, 10**15), st.integers(0, 10)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25)
@given(DAYS)
def test_a_day_that_is_written_as_pacs_009_is_the_same_when_it_is_read(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("pacs")
    banks = ["B & <1>", "DEUTDEFF", "NN"]
    (folder / "s.yaml").write_text(
        "simulation: {ticks_per_day: 20, num_days: 2}\nagents: [{id: 'B & <1>'}, {id: DEUTDEFF}, {id: NN}]\n"
    )
    scenario = load_scenario(folder / "s.yaml")
    days = sorted({row[0] // 20 for row in rows})
    place = {day: number for number, day in enumerate(days)}  # a day without payments is none
    ticks = [place[row[0] // 20] * 20 + row[0] % 20 for row in rows]
    columns = {
        "tick": ticks,
        "sender": [row[1] for row in rows],
        "receiver": [(row[1] + row[2]) % 3 for row in rows],
        "amount": [row[3] for row in rows],
        "priority": [row[4] for row in rows],
        "deadline": [(tick // 20 + 1) * 20 - 1 for tick in ticks],
        "divisible": [False for _ in rows],
    }
    arrivals = arrivals_from(scenario, columns)
    day = Day(7 * 3600, 7 * 3600 + 137, 20)
    ids = payment_ids(scenario, arrivals)
    content = pacs009_bytes(arrivals, ids, scenario, ExportCalendar(day), ExportMoney())
    (folder / "day.xml").write_bytes(content)
    clock = '{open: "07:00:00", close: "07:02:17", ticks: 20}'
    listed = ", ".join(f"{{id: '{name}'}}" for name in banks)
    (folder / "day.yaml").write_text(f"payments: {{file: day.xml, clock: {clock}}}\nagents: [{listed}]\n")
    loaded = load_scenario(folder / "day.yaml")
    assert loaded.given_payments.ids.to_pylist() == ids.to_pylist()
    read = draw_arrivals(loaded)
    for name in COLUMNS:
        assert np.array_equal(getattr(read, name), getattr(arrivals, name)), name


def test_a_day_by_csv_parquet_and_pacs_009_has_one_outcome(tmp_path):
    runner = CliRunner()
    example = "examples/payments/gridlock.yaml"
    capped = ["--set", "deadline_cap_at_eod=true", "--hours", "07:00-18:00"]
    ticks = load_scenario(example).simulation.ticks_per_day
    outcomes = []
    for kind in ("csv", "parquet", "xml"):
        done = runner.invoke(app, ["export", example, "-o", str(tmp_path / f"day.{kind}"), *capped])
        assert done.exit_code == 0, done.output
        clock = f'{{open: "07:00", close: "18:00", ticks: {ticks}}}'
        (tmp_path / "day.yaml").write_text(
            f"payments: {{file: day.{kind}, clock: {clock}}}\nagents: from_payments\nagent_defaults: "
            "{unsecured_cap: 10000}\ncost_rates: {delay_cost_per_tick_per_cent: 0.01}\n"
        )
        done = runner.invoke(app, ["run", str(tmp_path / "day.yaml"), "--json"])
        assert done.exit_code == 0, done.output
        outcomes.append(re.sub(r'"(timing|payments)": \{.*?\}', "", done.stdout, flags=re.DOTALL))
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_what_pacs_009_cannot_say_is_refused(tmp_path):
    output = str(tmp_path / "day.xml")
    for options, problem in (
        ([], "payments.clock"),
        (["--hours", "07:00-18:00"], "deadline on a later day"),
        (["--hours", "18:00"], "HH:MM-HH:MM"),
        (["--format", "pdf"], "--format: pdf is none of csv"),
        (["-o", str(tmp_path / "day.json")], "day.json is none of .csv, .parquet, .xml"),
        (["--date", "today"], "no date"),
    ):
        done = CliRunner().invoke(app, ["export", "examples/payments/gridlock.yaml", "-o", output, *options])
        assert done.exit_code == 2
        assert problem in done.output


def test_a_payment_of_an_earlier_day_is_there_when_its_day_of_settlement_begins(tmp_path):
    without = PACS_008.replace("<SttlmTmReq><RjctTm>16:00:00</RjctTm></SttlmTmReq>", "")
    early = without.replace("<CreDtTm>2026-03-02T07:30:00", "<CreDtTm>2026-02-27T16:30:00")
    assert read_messages(write(tmp_path, early))["time"].to_pylist()[0] == "2026-03-02T00:00:00"
    late = without.replace("<CreDtTm>2026-03-02T07:30:00", "<CreDtTm>2026-03-03T07:30:00")
    with pytest.raises(ConfigError, match="its time, 2026-03-03T07:30:00, is after its IntrBkSttlmDt 2026-03-02"):
        read_messages(write(tmp_path, late))


def test_a_name_that_a_message_has_no_room_for_is_told_and_a_number_stands_for_it(tmp_path):
    uetr = "8a562c67-ca16-48ba-b074-65581be6f001"
    names = ["1", "x" * 36, uetr, "E & <1>"]
    rows = [f"0,A,B,5,{name},{priority}" for name, priority in zip(names, (5, 4, 10, 3), strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["time,sender,receiver,amount,id,priority", *rows]) + "\n")
    (tmp_path / "t.yaml").write_text(
        "payments: {file: t.csv}\nsimulation: {ticks_per_day: 10}\nagents: from_payments\n"
    )
    output = tmp_path / "day.xml"
    done = CliRunner().invoke(app, ["export", str(tmp_path / "t.yaml"), "-o", str(output), "--hours", "07:00-18:00"])
    assert done.exit_code == 0, done.output
    assert "2 payments have a priority that SttlmPrty has no word for; it stands in LclInstrm/Prtry" in done.output
    assert "1 payment has a name that pacs.009 has no room for" in done.output
    assert read_messages(output)["id"].to_pylist() == ["1", "2", uetr, "E & <1>"]
    scenario = load_scenario(tmp_path / "t.yaml")
    arrivals = draw_arrivals(scenario)
    assert len(remarks_of_pacs009(arrivals, payment_ids(scenario, arrivals))) == 2


def test_messages_of_other_kinds_in_an_envelope_are_told(tmp_path):
    other = '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.004.001.09"><PmtRtr/></Document>'
    own = PACS_008.partition("?>")[2]
    write(tmp_path, f"<Envelope>{other}{own}{other}</Envelope>")
    given = load_scenario(tmp_path / "day.yaml").given_payments
    assert len(given) == 2
    assert "messages of other kinds, which are not read: pacs.004.001.09 (2)" in given.remarks
    with pytest.raises(ConfigError, match=r"holds no pacs\.008 or pacs\.009 message; it has pacs\.004\.001\.09"):
        read_messages(write(tmp_path, other))


def test_transactions_on_one_line_are_told_by_their_number(tmp_path):
    write(tmp_path, PACS_008.replace("\n", "").replace("021000021", "BBBBDEFF"))
    with pytest.raises(ConfigError, match=r'day\.xml: row 2: receiver: "BBBBDEFF": the bank itself'):
        load_scenario(tmp_path / "day.yaml")


def test_a_decimal_comma_of_other_files_is_none_of_messages(tmp_path):
    write(tmp_path, PACS_008.replace(">7<", ">7.250<"))
    comma = SCENARIO.replace("file: day.xml", 'file: [day.xml, more.csv], currency: EUR, decimal: ","')
    (tmp_path / "day.yaml").write_text(comma)
    (tmp_path / "more.csv").write_text("time;sender;receiver;amount\n2026-03-02 09:00;BBBBDEFF;AAAADEFF;1,25\n")
    assert load_scenario(tmp_path / "day.yaml").given_payments.amount.tolist() == [123450, 725, 125]


def test_a_number_of_transactions_may_begin_with_zeros(tmp_path):
    assert len(read_messages(write(tmp_path, PACS_008.replace("<NbOfTxs>2", "<NbOfTxs>0002")))) == 2


def test_a_filter_compares_amounts_of_messages_as_numbers(tmp_path):
    write(tmp_path, PACS_008)
    (tmp_path / "day.yaml").write_text(SCENARIO.replace("file: day.xml", "file: day.xml, filter: amount > 7"))
    given = load_scenario(tmp_path / "day.yaml").given_payments
    assert (given.amount.tolist(), given.skipped) == ([123450], {"filter": 1})
