"""An experiment that cannot work is refused before anything is stored, with its line; one that can is not."""

import asyncio
import json
import re
from functools import reduce
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from payment_simulator.cli.experiment_run import TEMPLATE
from payment_simulator.cli.main import app
from payment_simulator.experiments.config import Evaluation, ExperimentConfig
from payment_simulator.experiments.parameters import fitted, outside
from payment_simulator.experiments.policy_constraints import AllowedParameter
from payment_simulator.experiments.runner import GenericExperimentRunner
from properties import examples

FRACTION = "initial_liquidity_fraction"
WAITS = """\
{type: FromJson, document: {version: "1", parameters: {limit: 5}, payment_tree: {type: condition,
      condition: {op: ">=", left: {field: balance}, right: {param: limit}},
      on_true: {type: action, action: Release}, on_false: {type: action, action: Hold}}}}"""
POLICIES = {
    "Fifo": "{type: Fifo}",
    "Fifo by default": "{}",
    "Deadline": "{type: Deadline, urgency_threshold: 2}",
    "LiquidityAware": "{type: LiquidityAware, target_buffer: 1000}",
    "trees": WAITS,
    "trees in a file": "{type: FromJson, json_path: waits.json}",
}
SCENARIO = """\
simulation: {{ticks_per_day: 4, num_days: 1, rng_seed: 1}}
cost_rates: {{liquidity_cost_per_tick_bps: 83, delay_cost_per_tick_per_cent: 0.2}}
agents:
  - id: BANK_A
    liquidity_pool: 50000
    liquidity_allocation_fraction: 0.5
    policy: {policy}
  - {{id: BANK_B, liquidity_pool: 50000}}
scenario_events:
  - {{type: CustomTransactionArrival, from_agent: BANK_A, to_agent: BANK_B, amount: 15000, deadline: 3,
     schedule: {{type: OneTime, tick: 1}}}}
"""
EXPERIMENT = """\
name: e
scenario: scenario.yaml
convergence: {{max_iterations: 2, stability_window: 1}}
output: {{directory: results, database: runs.db}}
policy_constraints:
  allowed_parameters:
    - {parameters}
{further}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a scenario whose BANK_A has a policy, and an experiment in it."""
    monkeypatch.chdir(tmp_path)

    def written(policy, *parameters, further=""):
        tree = {"type": "action", "action": "Release"}
        Path("waits.json").write_text(json.dumps({"version": "1", "parameters": {"limit": 5}, "payment_tree": tree}))
        Path("scenario.yaml").write_text(SCENARIO.format(policy=POLICIES[policy]))
        listed = "\n    - ".join(parameters)
        Path("experiment.yaml").write_text(EXPERIMENT.format(parameters=listed, further=further))

    return written


def lines_of(command):
    """The problems that a command prints; it leaves nothing."""
    ended = CliRunner().invoke(app, ["experiment", command, "experiment.yaml"])
    assert ended.exit_code == 2, ended.output
    assert not Path("results").exists()
    lines = ended.stderr.splitlines()
    return lines[1:] if lines[0].endswith("problems") else [lines[0].removeprefix("error: ")]


def refused(write, *arguments, **further):
    write(*arguments, **further)
    found = lines_of("validate")
    assert lines_of("run") == found
    return found


def test_a_parameter_that_no_optimised_bank_has_is_refused_with_the_policies(write):
    typo = "{name: urgency_treshold, param_type: int, min_value: 0, max_value: 9}"
    assert refused(write, "Deadline", f"{{name: {FRACTION}, min_value: 0, max_value: 1}}", typo) == [
        "experiment.yaml:8: policy_constraints.allowed_parameters.1.name: no optimised bank has a parameter "
        f"'urgency_treshold' (did you mean urgency_threshold?): Deadline of BANK_A has {FRACTION}, urgency_threshold; "
        f"Fifo of BANK_B has {FRACTION}; take it out, or give a bank a policy that has it"
    ]


def test_a_parameter_of_a_bank_that_is_not_optimised_does_not_count(write):
    (line,) = refused(
        write, "Deadline", "{name: urgency_threshold, min_value: 0, max_value: 9}", further="optimized_agents: [BANK_B]"
    )
    assert f"no optimised bank has a parameter 'urgency_threshold' (known: {FRACTION})" in line


def test_a_parameter_that_only_some_banks_have_is_fine_unless_the_others_were_named(write):
    threshold = "{name: urgency_threshold, min_value: 0, max_value: 9}"
    write("Deadline", threshold)
    assert CliRunner().invoke(app, ["experiment", "validate", "experiment.yaml"]).exit_code == 0
    assert refused(write, "Deadline", threshold, further="optimized_agents: [BANK_A, BANK_B]") == [
        "experiment.yaml:8: optimized_agents.1: BANK_B has none of the allowed parameters (urgency_threshold): Fifo of "
        f"BANK_B has {FRACTION}; allow one that it has, or leave the bank out"
    ]


@pytest.mark.parametrize(
    ("parameter", "problem"),
    [
        ("min_value: 0.1, max_value: 0.4", "should be from 0.1 to 0.4, found 0.5"),
        ("allowed_values: [0, 0.2]", "should be one of 0, 0.2, found 0.5"),
        ("param_type: int, min_value: 0, max_value: 1", "should be a whole number, found 0.5"),
    ],
)
def test_a_policy_that_begins_outside_of_what_is_allowed_is_refused_with_both_places(write, parameter, problem):
    lines = refused(write, "Fifo", f"{{name: {FRACTION}, {parameter}}}")
    assert lines[0] == (
        "experiment.yaml:7: policy_constraints.allowed_parameters.0: the policy that BANK_A begins with is not "
        f"allowed: {FRACTION} {problem} (scenario.yaml:6); allow it, or begin with another"
    )


def test_every_value_that_begins_outside_is_named_and_a_bank_that_is_not_optimised_is_not_asked(write):
    few = ["{name: urgency_threshold, min_value: 3, max_value: 9}", f"{{name: {FRACTION}, allowed_values: [0.5]}}"]
    assert [line.split(" (scenario")[1] for line in refused(write, "Deadline", *few)] == [
        ".yaml:7); allow it, or begin with another",
        ".yaml:8); allow it, or begin with another",
    ]
    (line,) = refused(write, "Deadline", *few, further="optimized_agents: [BANK_A]")
    assert "urgency_threshold should be from 3 to 9, found 2" in line
    (line,) = refused(write, "LiquidityAware", "{name: urgency_threshold, min_value: 4, max_value: 9}")
    assert "should be from 4 to 9, found 3 (scenario.yaml:7)" in line  # by default, of the policy in that line


@pytest.mark.parametrize(
    ("parameter", "problem"),
    [
        (
            "param_type: int, min_value: 0.2, max_value: 0.8",
            "there is no whole number from 0.2 to 0.8; widen",
        ),
        ("param_type: int, allowed_values: [1, 2.5]", "2.5 is no whole number; take it out"),
        ("min_value: 0, max_value: 1e300", "a policy has no number of 1e+300 or more; narrow what is allowed"),
        ("allowed_values: [1, -1e301]", "a policy has no number of 1e+300 or more; narrow what is allowed"),
    ],
)
def test_a_parameter_without_a_value_that_a_policy_may_have_is_refused(write, parameter, problem):
    (line,) = refused(write, "Deadline", f"{{name: urgency_threshold, {parameter}}}")
    assert line.startswith(f"experiment.yaml:7: policy_constraints.allowed_parameters.0: {problem}")


@examples(200)
@given(
    st.sampled_from(["int", "float"]), st.floats(-1e12, 1e12), st.floats(0, 1e9) | st.floats(0, 1e-9), st.floats(0, 1)
)
def test_the_value_that_is_nearest_to_any_in_a_range_is_allowed(kind, low, width, part):
    high = low + width + (kind == "int")
    parameter = AllowedParameter(name="x", param_type=kind, min_value=low, max_value=high)
    assert outside(parameter, fitted(parameter, low + (high - low) * part)) is None


def test_a_model_may_be_allowed_a_parameter_of_another_built_in_policy_and_no_other(write):
    llm = "llm: {model: 'openai:m', base_url: 'http://localhost:1/v1'}"
    write("Fifo", "{name: urgency_threshold, min_value: 0, max_value: 9}", further=llm)
    assert CliRunner().invoke(app, ["experiment", "validate", "experiment.yaml"]).exit_code == 0
    (line,) = refused(write, "Fifo", "{name: urgency_treshold, min_value: 0, max_value: 9}", further=llm)
    assert "no optimised bank has a parameter 'urgency_treshold' (did you mean urgency_threshold?)" in line
    write("trees", "{name: limit, min_value: 0, max_value: 9}", further=llm)
    assert CliRunner().invoke(app, ["experiment", "validate", "experiment.yaml"]).exit_code == 0


def test_a_bank_with_decision_trees_is_named_as_its_policy_is_written(write):
    (line,) = refused(write, "trees", "{name: nothing_alike, min_value: 0, max_value: 9}")
    assert "FromJson of BANK_A has" in line


def test_a_proposer_of_ones_own_may_propose_another_kind_of_policy(write):
    class Once:
        async def generate_policy(self, **_):
            return {"type": "Deadline", "urgency_threshold": 2}

        def get_last_interaction(self):
            return None

    write("Fifo", "{name: urgency_threshold, min_value: 0, max_value: 9}")
    runner = GenericExperimentRunner(ExperimentConfig.from_yaml("experiment.yaml"), proposer=Once())
    assert asyncio.run(runner.run()).num_iterations


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("scenario.yaml", "nosuch.yaml"), "nosuch.yaml: no such file"),
        (("results, database", "results, datbase"), "unknown key (did you mean database?)"),
        (("policy_constraints", "optimized_agents: [BANK_C]\npolicy_constraints"), "unknown bank 'BANK_C'"),
        (("name: e", "name: e\nevaluation: {ticks: 3}"), "3 is not a multiple of 4"),
        (
            ("{max_iter", "{improvement_threshold: 1, max_iter"),
            "experiment.yaml:3: convergence.improvement_threshold: no",
        ),
        (("name: e", "name: e\nevaluation: {mode: bootstrap, num_samples: 4, observed: no.parquet}"), "no.parquet"),
    ],
)
def test_a_run_that_is_refused_leaves_neither_folder_nor_database(write, change, problem):
    write("Fifo", f"{{name: {FRACTION}, min_value: 0, max_value: 1}}")
    file = Path("experiment.yaml")
    file.write_text(file.read_text().replace(*change))
    assert any(problem in line for line in lines_of("run"))


def test_a_scenario_whose_costs_cannot_be_counted_is_refused_with_the_line_of_the_rate(write):
    write("Fifo", f"{{name: {FRACTION}, min_value: 0, max_value: 1}}")
    scenario = Path("scenario.yaml")
    scenario.write_text(scenario.read_text().replace("tick_bps: 83", "tick_bps: 1e17"))
    (line,) = lines_of("run")
    assert line.startswith("scenario.yaml:2: cost_rates.liquidity_cost_per_tick_bps: on all balances")


def test_a_resume_without_a_database_leaves_none(write):
    write("Fifo", f"{{name: {FRACTION}, min_value: 0, max_value: 1}}")
    ended = CliRunner().invoke(app, ["experiment", "run", "experiment.yaml", "--resume", "e-1"])
    assert (ended.exit_code, Path("results").exists()) == (2, False)
    assert "experiment.yaml:4: output.database: results/runs.db: no such file, and so no run e-1" in ended.stderr


# The template


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_the_template_works_unchanged_with_every_kind_of_policy(write, policy):
    write(policy, "{}")
    found = run_of(TEMPLATE)
    assert found["converged"]
    assert found["final_policies"]["BANK_A"]["parameters"][FRACTION] < 0.5


def test_banks_with_policies_of_every_kind_decide_together_under_the_template(write):
    write("Fifo", "{}")
    bank = "  - {{id: B{}, liquidity_pool: 50000, liquidity_allocation_fraction: 0.5, policy: {}}}\n"
    more = "".join(bank.format(number, policy) for number, policy in enumerate(POLICIES.values()))
    scenario = Path("scenario.yaml")
    scenario.write_text(scenario.read_text().replace("scenario_events", f"{more}scenario_events"))
    quick = {
        "num_samples: 100": "num_samples: 4",
        "max_iterations: 25": "max_iterations: 1",
        "# nash_gap: every": "nash_gap: off",
        "min_value: 0, max_value: 1": "allowed_values: [0, 0.5, 1]",
    }
    found = run_of(reduce(lambda text, change: text.replace(*change), quick.items(), TEMPLATE))
    shares = [found["final_policies"][f"B{number}"]["parameters"][FRACTION] for number in range(len(POLICIES))]
    assert shares == [0] * len(POLICIES)  # they have nothing to pay


def run_of(template):
    """The result of an experiment that is first validated."""
    Path("experiment.yaml").write_text(template)
    assert CliRunner().invoke(app, ["experiment", "validate", "experiment.yaml"]).exit_code == 0
    ended = CliRunner().invoke(app, ["experiment", "run", "experiment.yaml", "--json"])
    assert ended.exit_code == 0, ended.stderr
    return json.loads(ended.stdout)


def test_every_key_that_the_template_explains_is_one_with_its_default(tmp_path):
    """Without the marks of comments it has every key: only sentences stay comments."""
    text = re.sub(r"^( *)# ( *)(?:# )?([a-z_]+:(?= |$))", r"\1\2\3", TEMPLATE, flags=re.M)
    file = tmp_path / "t.yaml"
    file.write_text("\n".join(line for line in text.splitlines() if not re.search("system_prompt_file|observed", line)))
    read = ExperimentConfig.from_yaml(file)
    assert read.llm
    keys = {*type(read.evaluation).model_fields, *type(read.convergence).model_fields}
    assert [key for key in keys if f" {key}: " not in TEMPLATE] == []
    assert read.evaluation.nash_gap_budget == Evaluation().nash_gap_budget
