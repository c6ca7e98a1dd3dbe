"""What to write in place of what a newcomer wrote: each message of a scenario with payments names it."""

import pytest
from payment_days import CLOCK, HEADER, problem, read, rows, write_scenario
from typer.testing import CliRunner

from labledger.errors import ConfigError
from payment_simulator import load_scenario
from payment_simulator.cli.main import app

PAYMENTS = 'payments: {file: day.csv, clock: {open: "07:00", close: "18:00", tick: 60s}}\n'
CUT = "{type: CreditLimitChange, agent: A, unsecured_cap: 0, schedule: {type: OneTime, tick: '12:00'}}"


def said_of(folder, text, changes=()):
    """What is said of a scenario with this text, without the folder's name."""
    (folder / "day.csv").write_text(rows("1", times=["07:00"]))
    with pytest.raises(ConfigError) as refused:
        load_scenario(write_scenario(folder, text), changes)
    return str(refused.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f"{PAYMENTS}agents: from_payments\nbalances: {{level: 0,3}}\n",
            "point before its decimals, as 0.3, and no commas",
        ),
        (
            PAYMENTS.replace("60s", "60") + "agents: from_payments\n",
            "tick: 60 has no unit; write 60s, or ticks: 60 for",
        ),
        (PAYMENTS, "agents: required, and missing; say agents: from_payments"),
        (f"{PAYMENTS}agents: from_payment\n", "(did you mean from_payments?)"),
        (f"{PAYMENTS}agents: from_payments\nscenario_events:\n- {CUT}\n", "; 12:00 is tick 300 of a day"),
        (f"{PAYMENTS}agents: from_payments\nbalances: none.csv\n", "s.yaml:3: balances: none.csv: no such file"),
    ],
)
def test_a_scenario_that_cannot_be_used_is_refused_with_what_to_write(tmp_path, text, said):
    assert said in said_of(tmp_path, text)


def test_a_priority_out_of_range_is_told_once(tmp_path):
    text = PAYMENTS.replace("day.csv", "day.csv, priorities: {HOCH: 11}") + "agents: from_payments\n"
    assert len(said_of(tmp_path, text).splitlines()) == 1
    assert "should be 't2'" in said_of(tmp_path, text.replace("{HOCH: 11}", "t3"))


def test_a_list_that_is_set_and_is_no_json_says_so(tmp_path):
    said = said_of(tmp_path, f"{PAYMENTS}agents: from_payments\n", ["scenario_events=[{type: Outage}]"])
    assert said.startswith(
        "--set scenario_events: a list or a section is written as JSON, keys and texts in double quo"
    )


@pytest.mark.parametrize(
    ("content", "section", "said"),
    [
        (rows('"10.912,14 €"'), {}, "a currency's sign or code; leave it out"),
        (rows("EUR 5"), {}, "a currency's sign or code; leave it out"),
        (rows("1", times=["2.3.26 07:01:00"]), {"clock": CLOCK}, 'say time_format: "%d.%m.%y %H:%M:%S"'),
        (
            rows("1", times=["02.03.2026 07:01"]),
            {"clock": CLOCK, "time_format": "DD.MM.YYYY hh:mm"},
            "payments.time_format: 'DD.MM.YYYY hh:mm' has no %; write '%d.%m.%Y %H:%M'",
        ),
        (
            rows("1", times=["2026-03-02 07:01"]),
            {"clock": {**CLOCK, "timezone": "Berlin"}},
            "payments.clock.timezone: 'Berlin': no zone that is known; did you mean Europe/Berlin?",
        ),
        (
            "time,Zahler-BIC,receiver,amount\n1,A,B,1\n",
            {"filter": "Zahler-BIC = 'A'", "columns": {"sender": "Zahler-BIC"}},
            'put a name with such signs in double quotes: "Zahler-BIC"',
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_what_to_write(tmp_path, content, section, said):
    assert said in problem(tmp_path, content, **section)


def test_what_a_message_says_to_write_is_read(tmp_path):
    assert (
        read(tmp_path, rows("1", times=["2.3.26 07:01:00"]), clock=CLOCK, time_format="%d.%m.%y %H:%M:%S").tick[0] == 1
    )
    text = "time,Zahler-BIC,receiver,amount\n1,A,B,1\n"
    assert len(read(tmp_path, text, filter="\"Zahler-BIC\" = 'A'", columns={"sender": "Zahler-BIC"})) == 1


@pytest.mark.parametrize("command", [["run"], ["stress"], ["sweep", "--set", "balances.level=0..1:1"]])
def test_a_file_of_payments_in_the_place_of_a_scenario_is_refused_as_one(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day.csv").write_text(HEADER)
    result = CliRunner().invoke(app, [command[0], "day.csv", *command[1:]])
    assert result.exit_code == 2
    assert "give a scenario that names it, as payments: {file: day.csv}" in " ".join(result.output.split())


OUTAGE = f"{PAYMENTS}agents: from_payments\nscenario_events: [{{type: Outage, agent: A, %s}}]\n"


@pytest.mark.parametrize(
    ("text", "key", "meant"),
    [
        (OUTAGE % "start_tick: 5, to_tick: 8", "scenario_events.0.to_tick", "end_tick"),
        (OUTAGE % "from_tick: 5, to_tick: 8", "scenario_events.0.to_tick", "end_tick"),
        (OUTAGE % "from_tick: 5, to_tick: 8", "scenario_events.0.from_tick", "start_tick"),
        (OUTAGE % "start_tick: 5, end_tick: 8, end_ticks: 9", "scenario_events.0.end_ticks", "end_tick"),
        (f"{PAYMENTS}agents: from_payments\nrng_seeds: 3\n", "rng_seeds", "simulation.rng_seed"),
        (f"{PAYMENTS}agents: from_payments\nenable_cycle: true\n", "enable_cycle", "lsm_config.enable_cycles"),
        (f"{PAYMENTS}agents: from_payments\nsimulation: {{rng_seeds: 3}}\n", "simulation.rng_seeds", "rng_seed"),
    ],
)
def test_an_unknown_key_is_offered_one_that_is_not_written_yet_or_stands_in_another_section(tmp_path, text, key, meant):
    assert f"{key}: unknown key (did you mean {meant}?)" in said_of(tmp_path, text)


def test_what_only_follows_from_an_unknown_key_is_not_told(tmp_path):
    said = said_of(tmp_path, f"{PAYMENTS}agents: from_payments\nbalances: {{levl: 0.25}}\n")
    assert said == "s.yaml:3: balances.levl: unknown key (did you mean level?)"
    alone = said_of(tmp_path, f"{PAYMENTS}agents: from_payments\nbalances: {{decimal: '.'}}\n")
    assert alone == "s.yaml:3: balances.file: give a file, or a level"
