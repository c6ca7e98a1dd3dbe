"""`payment-sim` refuses what cannot be run, with one message, and leaves every file as it was."""

import os

import pytest
from payment_sim_files import SMALL


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
        ["bad.yaml:4: agents.BANK_A.opening_balence: unknown key (did you mean opening_balance?)"],
    ),
    "an unknown counterparty": (
        scenario(more=payment(to_agent="BANK_BB")),
        ["bad.yaml:6: scenario_events.0.to_agent: unknown bank 'BANK_BB' (did you mean BANK_B?)"],
    ),
    "a negative amount": (scenario(more=payment(amount=-5)), ["bad.yaml:6: scenario_events.0.amount:", "found -5"]),
    "a haircut over 1": (
        scenario("    collateral_haircut: 1.5\n"),
        ["bad.yaml:4: agents.BANK_A.collateral_haircut:", "found 1.5"],
    ),
    "a negative deadline": (
        scenario(more=payment(deadline=-1)),
        ["bad.yaml:6: scenario_events.0.deadline:", "found -1"],
    ),
    "an unknown action": (
        scenario(TREE),
        ["bad.yaml:4: BANK_A: policy.payment_tree.action: unknown action 'Hodl'", "did you mean Hold?"],
    ),
    "an unknown field": (
        scenario(FIELD_TREE),
        [
            "bad.yaml:5: BANK_A: policy.payment_tree.condition.left.field: unknown field 'balanse'",
            "did you mean balance?",
        ],
    ),
    "an amount of 2**63": (scenario(more=payment(amount=2**63)), ["bad.yaml:6: scenario_events.0.amount:"]),
    "a balance of 2**63 - 1": (
        scenario(f"    opening_balance: {2**63 - 1}\n"),
        ["bad.yaml:4: agents.BANK_A.opening_balance:"],
    ),
    "balances of 2**61": (
        scenario(f"    opening_balance: {2**61}\n    unsecured_cap: {2**61}\n"),
        ["could", "reduce"],
    ),
    "no agents": ("simulation: {ticks_per_day: 2}\nagents: []\n", ["bad.yaml:2: agents:"]),
    "a YAML bomb": (bomb(), ["bad.yaml"]),
    "a number that is none": (
        scenario("    liquidity_allocation_fraction: .nan\n"),
        ["bad.yaml:4: agents.BANK_A.liquidity_allocation_fraction:"],
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
        assert "deep.json: nested over 400 deep" in ended.stderr


def test_json_that_is_none_is_refused_with_both_places(user, sim):
    user.write("policy.json", '{"policy_id": "p", "parameters": {"x": NaN}}')
    user.write("bad.yaml", scenario("    policy: {type: FromJson, json_path: policy.json}\n"))
    ended = sim("run", "bad.yaml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "bad.yaml:4: BANK_A: policy.json:1:40: not JSON: NaN is not a JSON number" in ended.stderr


def test_a_directory_a_file_of_100_mb_and_no_file_are_refused(user, sim):
    (user.folder / "folder.yaml").mkdir()
    with (user.folder / "large.yaml").open("wb") as file:
        file.truncate(100_000_000)
    for name, words in (
        ("folder.yaml", "is a folder and no day"),
        ("large.yaml", "large.yaml"),
        ("gone.yaml", "no such file"),
    ):
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


@pytest.mark.parametrize("kind", ["a named pipe", "a device"])
def test_what_is_no_file_is_named_and_neither_waited_for_nor_read(user, sim, kind):
    for name in ("odd.yaml", "odd.json", "out.parquet"):
        path = user.folder / name
        os.mkfifo(path) if kind == "a named pipe" else path.symlink_to("/dev/zero")
    user.write("policy.yaml", scenario("    policy: {type: FromJson, json_path: odd.json}\n"))
    for arguments in (
        ["run", "odd.yaml"],
        ["run", "policy.yaml"],
        ["run", "small.yaml", "--events", "out.parquet"],
        ["policy", "validate", "odd.json"],
        ["experiment", "run", "odd.yaml"],
        ["experiment", "show", "odd.json"],
    ):
        ended = sim(*arguments)
        assert ended.returncode in (1, 2), arguments
        assert "not a regular file; name" in " ".join(ended.stderr.split()), arguments
        assert "defect" not in ended.stderr
    assert not (user.folder / "out.parquet").is_file()
