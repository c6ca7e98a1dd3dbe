"""`payment-sim` as users run it: what it prints, writes and refuses, and what it loads to do so."""

import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

import payment_simulator
from payment_simulator.cli.main import app
from payment_simulator.engine.vocabulary import COSTS

EXAMPLES = Path(__file__).parents[2] / "examples" / "payments"
PROGRAM = Path(sys.executable).with_name("payment-sim")
PATIENCE_S = 300
SMALL = """\
simulation: {ticks_per_day: 4, num_days: 2, rng_seed: 7}
lsm_config: {enable_bilateral: true, enable_cycles: true}
deferred_crediting: true
cost_rates: {delay_cost_per_tick_per_cent: 0.2, overdraft_bps_per_tick: 100, deadline_penalty: 5}
agents:
  - id: BANK_A
    liquidity_pool: 1000
    liquidity_allocation_fraction: 0.5
    unsecured_cap: 100
    arrival_config: &stream
      rate_per_tick: 2
      amount_distribution: {type: Uniform, min: 100, max: 900}
      deadline_range: [0, 3]
  - id: BANK_B
    opening_balance: 300
    arrival_config: *stream
  - id: BANK_C
    arrival_config: *stream
scenario_events:
  - {type: DirectTransfer, from_agent: BANK_B, to_agent: BANK_C, amount: 100, schedule: {type: OneTime, tick: 1}}
"""
SETTLEMENTS = ("Transfer", "SettledImmediately", "SettledFromQueue", "LsmBilateralOffset", "LsmCycleSettlement")
RUN_AND_WHAT_IT_LOADED = """
import sys
from payment_simulator.cli.main import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    print(end.code, *sys.modules, file=sys.stderr)
"""


@pytest.fixture
def sim(user, monkeypatch):
    """Calls what `payment-sim` calls, with these arguments, in the user's folder, where `small.yaml` is."""
    user.write("small.yaml", SMALL)
    monkeypatch.chdir(user.folder)
    monkeypatch.setenv("COLUMNS", "160")

    def call(*arguments):
        ended = CliRunner().invoke(app, list(map(str, arguments)))
        return subprocess.CompletedProcess(arguments, ended.exit_code, ended.stdout, ended.stderr)

    return call


@pytest.fixture
def program(user):
    """As `sim`, in a process of its own."""
    user.write("small.yaml", SMALL)

    def run(*arguments, **environment):
        ended = user.run(PROGRAM, *arguments, **environment)
        return subprocess.CompletedProcess(arguments, ended.code, ended.stdout, ended.stderr)

    return run


def commands(command, *names):
    yield " ".join(names), command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, *names, name)


def loaded_by(user, *arguments):
    """What a command printed, its exit code, and the modules that it loaded."""
    ended = subprocess.run(
        [sys.executable, "-c", RUN_AND_WHAT_IT_LOADED, *arguments],
        cwd=user.folder,
        env=user.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    code, *modules = ended.stderr.split()
    return ended.stdout, code, set(modules)


# What it loads


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["policy", "--help"], ["experiment", "--help"]], ids=" ".join
)
def test_help_is_an_answer_and_loads_no_heavy_library(user, arguments):
    printed, code, modules = loaded_by(user, *arguments)
    assert "Usage: " in printed
    assert code == "0"
    assert modules & {"numba", "duckdb", "numpy", "pyarrow", "matplotlib"} == set()


def test_every_command_and_every_option_has_a_help_text():
    without = []
    for name, command in commands(typer.main.get_command(app), "payment-sim"):
        without += [] if command.help else [name]
        without += [f"{name} {each.name}" for each in command.params if not getattr(each, "help", None)]
    assert without == []


@pytest.mark.parametrize("name", ["castro_exp1", "castro_exp2", "castro_exp3", "gridlock"])
def test_a_small_scenario_runs_without_numba(user, name):
    _, code, modules = loaded_by(user, "run", str(EXAMPLES / f"{name}.yaml"), "--json")
    assert code == "0"
    assert modules & {"numba", "duckdb", "pyarrow", "matplotlib"} == set()
    assert "payment_simulator.engine.reference.run" in modules


TIGHT = """
simulation: {ticks_per_day: 300, rng_seed: 5}
cost_rates: {delay_cost_per_tick_per_cent: 0.0001, overdraft_bps_per_tick: 1}
lsm_config: {enable_bilateral: true, enable_cycles: true}
agents:
"""
BANK = """
  - id: B{}
    opening_balance: 900
    arrival_config: {{rate_per_tick: 2, amount_distribution: {{type: Exponential, mean: 900}}, deadline_range: [1, 9]}}
"""
SHOWS_WHO_RAN_IT = """
import sys
from payment_simulator import draw_arrivals, load_scenario, simulate

scenario = load_scenario("tight.yaml")
arrivals = draw_arrivals(scenario)
by = [simulate(scenario, arrivals, engine=each) for each in ("reference", "auto")]
assert by[0].total_cost.tolist() == by[1].total_cost.tolist()
print(by[1].engine)
"""


def test_a_small_scenario_that_proves_to_be_much_work_starts_over_in_the_kernel(user, compiled):
    """By its size it looks small: it is its queues that grow."""
    user.write("tight.yaml", TIGHT + "".join(BANK.format(number) for number in range(10)))
    ended = subprocess.run(
        [sys.executable, "-c", SHOWS_WHO_RAN_IT],
        cwd=user.folder,
        env=user.environment(**compiled),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "kernel\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cache", "told"), [("cache", "once on this machine"), ("work/tight.yaml", "in every run, for ")]
)
def test_it_says_that_it_compiles(user, program, cache, told):
    user.write("tight.yaml", TIGHT + "".join(BANK.format(number) for number in range(10)))
    ended = program("run", "tight.yaml", XDG_CACHE_HOME=str(user.folder.parent / cache))
    assert ended.returncode == 0
    assert f"compiling the engine first, {told}" in ended.stderr
    assert not list(Path(payment_simulator.__file__).parent.rglob("*.nb[ic]"))  # there it would outlive a change


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
    """What a command prints on a terminal of so many columns."""
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
    whole = sim(*command).stdout.split("\n\n")[0]
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
    assert cells_of(shown) == cells_of(sim("policy", "schema").stdout)


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
    assert len(ended.stdout.splitlines()) == {"2>&-": 14, "| head -1": 1}.get(closed, 0)
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
    report = json.loads(sim("run", "small.yaml", "--json", "--events", "events.parquet").stdout)
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
    assert (user.folder / name).read_bytes().startswith(begins)
    assert (user.folder / name).stat().st_size > 10_000


# Policies


def test_the_schema_prints_every_field_and_action(sim):
    from payment_simulator.policy.fields import ACTIONS, FIELDS

    ended = sim("policy", "schema")
    assert ended.returncode == 0
    for name in (*FIELDS["payment_tree"], *(action for kind in ACTIONS.values() for action in kind), "clamp", "cents"):
        assert name in ended.stdout


def test_a_policy_is_validated(user, sim):
    user.write("good.json", '{"policy_id": "p", "payment_tree": {"type": "action", "action": "Hold"}}')
    assert sim("policy", "validate", "good.json").returncode == 0


def test_every_error_of_a_policy_is_told_with_its_path(user, sim):
    user.write(
        "bad.json",
        '{"policy_id": "p", "payment_tree": {"type": "condition",'
        ' "condition": {"op": "<", "left": {"field": "balanse"}, "right": 1},'
        ' "on_true": {"type": "action", "action": "Hodl"}, "on_false": {"type": "action", "action": "Hold"}}}',
    )
    ended = sim("policy", "validate", "bad.json")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "2 problems" in ended.stderr
    assert "bad.json: payment_tree.condition.left.field: 'balanse' is no field" in ended.stderr
    assert "did you mean balance?" in ended.stderr
    assert "bad.json: payment_tree.on_true.action: 'Hodl' is no action" in ended.stderr


# What it refuses


def scenario(agent="", more=""):
    """A scenario of two banks; the first has `agent`, the file ends with `more`."""
    return f"simulation: {{ticks_per_day: 2}}\nagents:\n  - id: BANK_A\n{agent}  - id: BANK_B\n{more}"


def payment(**fields):
    given = {"from_agent": "BANK_A", "to_agent": "BANK_B", "amount": 5, "deadline": 1, **fields}
    text = ", ".join(f"{name}: {value}" for name, value in given.items())
    return f"scenario_events:\n  - {{type: CustomTransactionArrival, {text}, schedule: {{type: OneTime, tick: 0}}}}\n"


def bomb():
    lines = ["a0: &a0 [" + ", ".join(["ha"] * 10) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 10) + "]" for n in range(1, 10)]
    return "\n".join(lines)


TREE = "    policy: {policy_id: p, payment_tree: {type: action, action: Hodl}}\n"
FIELD_TREE = (
    "    policy:\n      payment_tree: {type: condition, condition: {op: <, left: {field: balanse}, right: 1},"
    " on_true: {type: action, action: Hold}, on_false: {type: action, action: Hold}}\n"
)
REFUSED = {
    "an unknown key": (
        scenario("    opening_balence: 5\n"),
        ["bad.yaml:4: agents.0.opening_balence: unknown key (did you mean opening_balance?)"],
    ),
    "an unknown counterparty": (
        scenario(more=payment(to_agent="BANK_BB")),
        ["bad.yaml:6: scenario_events.0.to_agent: unknown bank 'BANK_BB' (did you mean BANK_B?)"],
    ),
    "a negative amount": (scenario(more=payment(amount=-5)), ["bad.yaml:6: scenario_events.0.amount:", "found -5"]),
    "a haircut over 1": (
        scenario("    collateral_haircut: 1.5\n"),
        ["bad.yaml:4: agents.0.collateral_haircut:", "found 1.5"],
    ),
    "a negative deadline": (
        scenario(more=payment(deadline=-1)),
        ["bad.yaml:6: scenario_events.0.deadline:", "found -1"],
    ),
    "an unknown action": (
        scenario(TREE),
        ["bad.yaml:4: BANK_A: policy.payment_tree.action: 'Hodl' is no action", "did you mean Hold?"],
    ),
    "an unknown field": (
        scenario(FIELD_TREE),
        ["bad.yaml:5: BANK_A: policy.payment_tree.condition.left.field: 'balanse'", "did you mean balance?"],
    ),
    "an amount of 2**63": (scenario(more=payment(amount=2**63)), ["bad.yaml:6: scenario_events.0.amount:"]),
    "a balance of 2**63 - 1": (
        scenario(f"    opening_balance: {2**63 - 1}\n"),
        ["bad.yaml:4: agents.0.opening_balance:"],
    ),
    "balances of 2**61": (
        scenario(f"    opening_balance: {2**61}\n    unsecured_cap: {2**61}\n"),
        ["could", "reduce"],
    ),
    "no agents": ("simulation: {ticks_per_day: 2}\nagents: []\n", ["bad.yaml:2: agents:"]),
    "a YAML bomb": (bomb(), ["bad.yaml"]),
    "a number that is none": (
        scenario("    liquidity_allocation_fraction: .nan\n"),
        ["bad.yaml:4: agents.0.liquidity_allocation_fraction:"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_scenario_that_cannot_be_is_refused_with_one_message(user, sim, name):
    text, words = REFUSED[name]
    user.write("bad.yaml", text)
    ended = sim("run", "bad.yaml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Traceback" not in ended.stderr
    shown = " ".join(ended.stderr.split())
    assert [each for each in words if each not in shown] == []


def test_a_tree_of_ten_thousand_levels_is_refused(user, sim):
    head = '{"type": "condition", "condition": {"op": "<", "left": 1, "right": 2}, "on_true": '
    tail = ', "on_false": {"type": "action", "action": "Hold"}}'
    tree = head * 10_000 + '{"type": "action", "action": "Hold"}' + tail * 10_000
    user.write("deep.json", f'{{"policy_id": "deep", "payment_tree": {tree}}}')
    user.write("bad.yaml", scenario("    policy: {type: FromJson, json_path: deep.json}\n"))
    for arguments in (["run", "bad.yaml"], ["policy", "validate", "deep.json"]):
        ended = sim(*arguments)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "deep.json: nested too deeply to be read" in ended.stderr


def test_json_that_is_none_is_refused_with_both_places(user, sim):
    user.write("policy.json", '{"policy_id": "p", "parameters": {"x": NaN}}')
    user.write("bad.yaml", scenario("    policy: {type: FromJson, json_path: policy.json}\n"))
    ended = sim("run", "bad.yaml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "bad.yaml:4: policy.json: NaN is not a JSON number" in ended.stderr


def test_a_directory_a_file_of_100_mb_and_no_file_are_refused(user, sim):
    (user.folder / "folder.yaml").mkdir()
    with (user.folder / "large.yaml").open("wb") as file:
        file.truncate(100_000_000)
    for name, words in (("folder.yaml", "Is a directory"), ("large.yaml", "large.yaml"), ("gone.yaml", "no such file")):
        ended = sim("run", name)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert words in ended.stderr
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "agents.BANK_X.unsecured_cap=5"], "unknown bank 'BANK_X' (did you mean BANK_"),
        (["--set", "agents.BANK_A.unsecured_cup=5"], "unknown key (did you mean unsecured_cap?)"),
        (["--set", "agents.BANK_A.unsecured_cap=-5"], "--set agents.BANK_A.unsecured_cap: should be"),
        (["--set", "agents.BANK_A.unsecured_cap=many"], "found 'many'"),
        (["--set", "agents.BANK_A.unsecured_cap"], "write PATH=VALUE"),
        (["--events", "nowhere/events.parquet"], "--events: there is no directory"),
        (["--events", "events.csv"], "--events: events.csv does not end in .parquet"),
        (["--plot", "nowhere/run.png"], "--plot: there is no directory"),
        (["--plot", "run.gif"], "--plot: run.gif is neither .png nor .svg"),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anything_is_run(user, sim, arguments, words):
    ended = sim("run", "small.yaml", *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert words in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr
    assert user.made() == []


def test_no_file_is_written_over_one_that_is_read_or_over_the_other(user, sim):
    user.write("policy.parquet", '{"policy_id": "p", "payment_tree": {"type": "action", "action": "Hold"}}')
    policy = "  - id: BANK_A\n    policy: {type: FromJson, json_path: policy.parquet}\n"
    text = SMALL.replace("  - id: BANK_A\n", policy)
    user.write("scenario.parquet", text)
    (user.folder / "link.parquet").symlink_to("scenario.parquet")
    (user.folder / "hard.png").hardlink_to(user.folder / "scenario.parquet")
    (user.folder / "soon.png").symlink_to("events.parquet")
    for options, words in (
        (["--events", "scenario.parquet"], "--events: scenario.parquet would be written over scenario.parquet"),
        (["--events", "link.parquet"], "--events: link.parquet would be written over scenario.parquet"),
        (["--plot", "hard.png"], "--plot: hard.png would be written over scenario.parquet"),
        (["--events", "./policy.parquet"], "--events: policy.parquet would be written over policy.parquet"),
        (["--events", "events.parquet", "--plot", "soon.png"], "--plot: soon.png is the file of --events"),
    ):
        ended = sim("run", "scenario.parquet", *options)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert words in ended.stderr
    assert (user.folder / "scenario.parquet").read_text(encoding="utf-8") == text
    assert not (user.folder / "events.parquet").exists()


@pytest.mark.parametrize(("option", "name"), [("--events", "folder.parquet"), ("--plot", "folder.png")])
def test_a_folder_is_no_file_to_write_to(user, sim, option, name):
    (user.folder / name).mkdir()
    ended = sim("run", "small.yaml", option, name)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"{option}: {name} is not a regular file" in " ".join(ended.stderr.split())


# A compiled answer is never stale

CALLEE = """
from payment_simulator.engine.kernel.jit import part

@part
def answer():
    return {answer}
"""
CALLER = """
from payment_simulator.engine.kernel.callee import answer
from payment_simulator.engine.kernel.jit import entry

@entry
def ask():
    return answer()

if __name__ == "__main__":
    print(ask(), sum(ask.stats.cache_hits.values()))
"""
ASK = "import runpy; runpy.run_module('payment_simulator.engine.kernel.caller', run_name='__main__')"
DELAY_BY_KERNEL = """
from payment_simulator import Scenario, draw_arrivals, simulate
scenario = Scenario.model_validate({
    "simulation": {"ticks_per_day": 1},
    "agents": [{"id": "A"}, {"id": "B"}],
    "cost_rates": {"delay_cost_per_tick_per_cent": 0.1},
    "scenario_events": [{"type": "CustomTransactionArrival", "from_agent": "A", "to_agent": "B", "amount": 1000,
                         "deadline": 1, "schedule": {"type": "OneTime", "tick": 0}}],
})
print(simulate(scenario, draw_arrivals(scenario), engine="kernel").total_cost.tolist())
"""


@pytest.fixture
def copied_engine(user):
    """The folder of the kernel in a copy of the package, and what a script prints that runs on that copy."""
    package = user.folder / "copy" / "payment_simulator"
    shutil.copytree(Path(payment_simulator.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))

    def run(script):
        ended = subprocess.run(
            [sys.executable, "-c", script],
            env=user.environment(PYTHONPATH=os.fspath(package.parent)),
            capture_output=True,
            text=True,
            check=True,
        )
        return ended.stdout.strip()

    return package / "engine" / "kernel", run


def test_a_change_in_a_file_that_compiled_code_calls_changes_the_answer(copied_engine):
    folder, run = copied_engine
    (folder / "caller.py").write_text(CALLER, encoding="utf-8")
    (folder / "callee.py").write_text(CALLEE.format(answer=1), encoding="utf-8")
    assert run(ASK) == "1 0"
    assert run(ASK) == "1 1"  # the second time it is not compiled again
    (folder / "callee.py").write_text(CALLEE.format(answer=2), encoding="utf-8")
    assert run(ASK) == "2 0"


def test_a_change_of_a_limit_of_policies_that_is_compiled_in_changes_the_answer(copied_engine):
    folder, run = copied_engine
    (folder / "caller.py").write_text(CALLER, encoding="utf-8")
    callee = CALLEE.replace("\n@part", "from payment_simulator.policy.tree import MAX_PIECES\n\n@part")
    (folder / "callee.py").write_text(callee.format(answer="MAX_PIECES"), encoding="utf-8")
    assert run(ASK) == "10000 0"
    limits = folder.parents[1] / "policy" / "tree.py"
    text = limits.read_text(encoding="utf-8").replace("MAX_PIECES = 10_000", "MAX_PIECES = 5")
    limits.write_text(text, encoding="utf-8")
    assert run(ASK) == "5 0"


@pytest.mark.slow
def test_a_change_in_a_part_of_the_kernel_changes_what_a_run_costs(copied_engine):
    folder, run = copied_engine
    before, after = "w[b + WEIGHT] += sign * value", "w[b + WEIGHT] += 2 * sign * value"
    assert run(DELAY_BY_KERNEL) == "[100, 0]"
    text = (folder / "queues.py").read_text(encoding="utf-8")
    assert before in text
    (folder / "queues.py").write_text(text.replace(before, after), encoding="utf-8")
    assert run(DELAY_BY_KERNEL) == "[200, 0]"
