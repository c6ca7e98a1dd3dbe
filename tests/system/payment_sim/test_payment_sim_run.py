"""`payment-sim` as users run it: what it prints and writes."""

import contextlib
import json
import os
import pty
import subprocess

import pyarrow.parquet as pq
import pytest
from payment_sim_files import EXAMPLES, PROGRAM, SMALL

from payment_simulator.engine.vocabulary import COSTS

SETTLEMENTS = ("Transfer", "SettledImmediately", "SettledFromQueue", "LsmBilateralOffset", "LsmCycleSettlement")


# What it prints


def test_a_run_prints_a_table_of_costs(program):
    ended = program("run", EXAMPLES / "castro_exp1.yaml")
    assert ended.returncode == 0
    for words in ("BANK_A", "BANK_B", "5,000", "10,000", "liquidity", "settled", "100.0%", "liquidity used"):
        assert words in ended.stdout


def test_json_has_costs_by_kind_of_every_bank_and_totals(sim):
    ended = sim("run", "small.yaml", "--json", "--seed", "3")
    report = json.loads(ended.stdout)
    assert ended.returncode == 0
    assert (report["scenario"], report["seed"], report["ticks"]) == ("small.yaml", 3, 8)
    assert list(report["agents"]) == ["BANK_A", "BANK_B", "BANK_C"]
    for bank in report["agents"].values():
        assert bank.keys() >= {"total_cost", "costs", "settled", "arrived", "settlement_rate"}
        assert tuple(bank["costs"]) == COSTS
        assert all(type(cents) is int for cents in (bank["total_cost"], *bank["costs"].values()))
        assert bank["total_cost"] == sum(bank["costs"].values())
        assert bank["settlement_rate"] == bank["settled"] / bank["arrived"]
    for name in ("total_cost", "arrived", "settled", "liquidity_used"):
        assert report[name] == sum(bank[name] for bank in report["agents"].values())
    assert report["timing"].keys() == {"read_s", "draw_s", "simulate_s"}


def test_the_same_seed_gives_the_same_answer_and_the_files_own_is_the_default(sim, program, compiled):
    def answer(call, *arguments, **environment):
        report = json.loads(call("run", "small.yaml", "--json", *arguments, **environment).stdout)
        return {name: report[name] for name in report if name not in ("timing", "engine")}

    # Which engine runs follows from what is compiled and loaded.
    # In another process, sets of texts have another order, and what draws without a seed draws other numbers.
    assert answer(sim) == answer(program, "--seed", "7", **compiled)
    assert answer(sim)["agents"] != answer(sim, "--seed", "8")["agents"]


def test_values_are_set_on_the_command_line(sim):
    changes = ["agents.BANK_A.liquidity_allocation_fraction=0", "agents.BANK_B.liquidity_allocation_fraction=0.2"]
    ended = sim("run", EXAMPLES / "castro_exp1.yaml", "--json", *(part for each in changes for part in ("--set", each)))
    report = json.loads(ended.stdout)
    assert [bank["total_cost"] for bank in report["agents"].values()] == [0, 2_000]


def shown_on_a_terminal(user, columns, *arguments):
    """Return the output of a command on a terminal of so many columns."""
    terminal, its_end = pty.openpty()
    environment = user.environment(COLUMNS=str(columns))
    with subprocess.Popen([PROGRAM, *arguments], cwd=user.folder, env=environment, stdout=its_end) as process:
        os.close(its_end)
        shown = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(terminal, 65_536):
                shown += part
    os.close(terminal)
    assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n")


def cells_of(shown):
    """The words and numbers of tables, in any order."""
    return sorted(word for word in shown.split() if set(word) != {"─"})


def test_a_wide_table_on_a_narrow_terminal_is_parted_and_breaks_no_word_or_number(user, sim):
    user.write("wide.yaml", SMALL.replace("300", "30000000").replace("max: 900", "max: 90000000"))
    changes = [f"cost_rates.{name}=700" for name in ("eod_borrowing_bps", "eod_penalty_per_transaction")]
    command = ["run", "wide.yaml", *(part for each in changes for part in ("--set", each))]
    whole = "\n".join(part for part in sim(*command).stdout.split("\n\n") if "BANK_A" in part)
    tables = shown_on_a_terminal(user, 80, *command).split("\n\n")
    parts = [part for part in tables if "BANK_A" in part]
    assert len(parts) > 1
    assert all(len(line) <= 80 for part in parts for line in part.splitlines())
    for part in parts:
        assert [line.split()[0] for line in part.splitlines() if "BANK_" in line] == ["BANK_A", "BANK_B", "BANK_C"]
    assert set(cells_of("\n".join(parts))) == set(cells_of(whole))


def test_long_texts_on_a_narrow_terminal_are_folded_between_words(user, sim):
    shown = shown_on_a_terminal(user, 80, "policy", "schema")
    tables = [line for line in shown.splitlines() if line.startswith(" ")]
    assert all(len(line) <= 80 for line in tables)
    assert set(cells_of(shown)) == set(cells_of(sim("policy", "schema").stdout))  # wide tables are parted


def test_names_whose_letters_are_two_columns_wide_stand_in_line(user, sim):
    user.write("wide.yaml", SMALL.replace("BANK_B", "中央銀行"))
    _, header, _, *lines = sim("run", "wide.yaml").stdout.splitlines()[:6]
    begins = header.index("total cost")
    assert lines[-1].startswith(" 中央銀行   ")
    assert lines[-1][begins - 4 :][0].isdigit()
    assert lines[-1][: begins - 4].endswith(" ")


@pytest.mark.parametrize("arguments", [["run", "small.yaml"], ["policy", "schema"], ["--help"]], ids=" ".join)
def test_an_encoding_without_lines_and_dots_gets_plainer_ones(program, arguments):
    ended = program(*arguments, PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "\\u" not in ended.stdout
    assert ended.stdout.isascii()


def test_a_name_that_the_encoding_has_no_sign_for_is_no_reason_to_fail(user, program):
    user.write("wide.yaml", SMALL.replace("BANK_B", "中央"))
    ended = program("run", "wide.yaml", PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "\\u4e2d\\u592e" in ended.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "| head -1"])
def test_a_stream_that_is_closed_costs_no_file_and_no_traceback(user, closed):
    user.write("small.yaml", SMALL)
    command = f"{PROGRAM} run small.yaml --events events.parquet {closed}"
    ended = subprocess.run(
        ["bash", "-c", command], cwd=user.folder, env=user.environment(), capture_output=True, text=True, check=True
    )
    assert ended.stderr == ""
    assert len(ended.stdout.splitlines()) == {"2>&-": 32, "| head -1": 1}.get(closed, 0)
    assert pq.read_metadata(user.folder / "events.parquet").num_rows > 0


def test_an_error_is_never_printed_as_an_answer(user):
    ended = subprocess.run(
        ["bash", "-c", f"{PROGRAM} run gone.yaml 2>&-"], env=user.environment(), capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, b"", b"")


# What it writes


def balances_of(rows, opening, deferred=True):
    """Balances from the events of a run, the payments of an offset by their net."""
    balance, nets = dict(opening), {}
    for number, row in enumerate(rows):
        if row["event"] in ("LiquidityAllocated", "CreditApplied"):
            balance[row["agent"]] += row["amount"]
        elif row["event"] in SETTLEMENTS:
            move = nets.setdefault(("offset", row["offset"]) if row["offset"] is not None else number, {})
            for bank, cents in ((row["agent"], -row["amount"]), (row["counterparty"], row["amount"])):
                move[bank] = move.get(bank, 0) + cents
    for move in nets.values():
        for bank, change in move.items():
            balance[bank] += min(change, 0) if deferred else change
    return balance


@pytest.mark.parametrize("deferred", ["true", "false"])
def test_the_events_file_alone_gives_the_balances(user, sim, deferred):
    command = ["--set", f"deferred_crediting={deferred}", "--json", "--events", "events.parquet"]
    report = json.loads(sim("run", "small.yaml", *command).stdout)
    table = pq.read_table(user.folder / "events.parquet")
    known = {name: json.loads(table.schema.metadata[name]) for name in (b"opening_balances", b"deferred_crediting")}
    found = balances_of(table.to_pylist(), known[b"opening_balances"], known[b"deferred_crediting"])
    assert found == {name: bank["final_balance"] for name, bank in report["agents"].items()}
    assert known[b"deferred_crediting"] == (deferred == "true")


def test_events_are_read_back_and_give_the_balances_and_the_costs(user, sim):
    ended = sim("run", "small.yaml", "--json", "--events", "events.parquet")
    report = json.loads(ended.stdout)
    assert "written: events.parquet" in ended.stderr
    table = pq.read_table(user.folder / "events.parquet", page_checksum_verification=True)
    assert table.schema.metadata[b"schema_version"] == b"1.0"
    rows = table.to_pylist()
    found = balances_of(rows, {"BANK_A": 0, "BANK_B": 300, "BANK_C": 0})
    assert found == {name: bank["final_balance"] for name, bank in report["agents"].items()}
    for name, bank in report["agents"].items():
        for kind, cents in bank["costs"].items():
            charged = [row["amount"] for row in rows if (row["agent"], row["cost"]) == (name, kind)]
            assert sum(charged) == cents
    arrivals = [row for row in rows if row["event"] == "Arrival"]
    assert len({row["payment"] for row in arrivals}) == len(arrivals) == report["arrived"]
    assert all(row["payment"].startswith(row["agent"]) for row in arrivals)


@pytest.mark.parametrize(("name", "begins"), [("run.png", b"\x89PNG\r\n"), ("run.SVG", b"<?xml")])
def test_a_picture_is_drawn(user, sim, name, begins):
    ended = sim("run", "small.yaml", "--plot", name)
    assert ended.returncode == 0
    assert ended.stdout.endswith(f"written: {name}\n")
    assert (user.folder / name).read_bytes().startswith(begins)
    assert (user.folder / name).stat().st_size > 10_000


# Policies


def test_the_schema_prints_every_field_and_action(sim):
    from payment_simulator.policy.fields_and_actions import ACTIONS, FIELDS

    ended = sim("policy", "schema")
    assert ended.returncode == 0
    for name in (*FIELDS["payment_tree"], *(action for kind in ACTIONS.values() for action in kind), "clamp", "cents"):
        assert name in ended.stdout


def test_a_policy_is_validated(user, sim):
    user.write("good.json", '{"policy_id": "p", "payment_tree": {"type": "action", "action": "Hold"}}')
    assert sim("policy", "validate", "good.json").returncode == 0


def test_every_error_of_a_policy_is_listed_with_its_path(user, sim):
    user.write(
        "bad.json",
        '{"policy_id": "p", "payment_tree": {"type": "condition",'
        ' "condition": {"op": "<", "left": {"field": "balanse"}, "right": 1},'
        ' "on_true": {"type": "action", "action": "Hodl"}, "on_false": {"type": "action", "action": "Hold"}}}',
    )
    ended = sim("policy", "validate", "bad.json")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "2 problems" in ended.stderr
    assert "bad.json: payment_tree.condition.left.field: unknown field 'balanse'" in ended.stderr
    assert "did you mean balance?" in ended.stderr
    assert "bad.json: payment_tree.on_true.action: unknown action 'Hodl'" in ended.stderr
