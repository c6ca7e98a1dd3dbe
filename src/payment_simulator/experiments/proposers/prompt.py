"""The prompt that a language model gets before it proposes a policy for a bank."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from payment_simulator.experiments.parameters import written
from payment_simulator.experiments.policy_constraints import ALL_REGISTERS, AllowedParameter, PolicyConstraints
from payment_simulator.experiments.proposers.own_view import OwnView
from payment_simulator.experiments.proposers.protocol import Attempt, DecisionContext
from payment_simulator.policy.derived_fields import described, known_fields
from payment_simulator.policy.documents import PolicyDocument
from payment_simulator.policy.fields_and_actions import (
    ACTION_MEANINGS,
    ACTIONS,
    COMPARISONS,
    COST_FIELDS,
    FIELDS,
    MANY_SIDED,
    ONE_SIDED,
    STATE_PREFIX,
    TREE_KINDS,
    TWO_SIDED,
)
from payment_simulator.policy.policies import FRACTION
from payment_simulator.policy.tree import MAX_DEPTH
from payment_simulator.scenario.bank_names import EVENT_AGENTS
from payment_simulator.scenario.banks import Agent
from payment_simulator.scenario.scenario_events import ScenarioEvent
from payment_simulator.scenario.schema import Scenario

MAX_ATTEMPTS = 12
MAX_REJECTED = 5
MAX_ROWS = 25
"""The greatest number of other banks, and of events, that are listed."""
MAX_TICKS = 48
"""Rows of a bank's flows; of more ticks, neighbours are put together."""
MAX_POLICY = 20_000
MAX_ATTEMPT = 1_200
MAX_TEXT = 3_000

SYSTEM_PROMPT = """\
You set the payment policy of one bank in a simulated real-time gross settlement system. Liquidity costs money and \
delay costs money; find the policy with which your bank's own total cost is least, the other banks' policies being \
what they are. You are judged by that cost alone. Reason from the costs and from what was tried before: look at which \
kind of cost is largest, and what would reduce it by more than it adds elsewhere. Answer with one JSON object and \
nothing else."""

PARAMETER_MEANINGS = {
    FRACTION: "share of its liquidity pool that the bank borrows for the run, 0 to 1",
    "urgency_threshold": "ticks; a payment with at most so many left to its deadline is released",
    "target_buffer": "cents of the balance that a release has to leave",
}
BUILTIN_TYPES = """\
- {"type": "Fifo"}: releases every payment at once.
- {"type": "Deadline", "urgency_threshold": TICKS (default 3)}: holds a payment until ticks_to_deadline <= \
urgency_threshold.
- {"type": "LiquidityAware", "target_buffer": CENTS (default 0), "urgency_threshold": TICKS (default 3)}: releases \
a payment when balance - amount >= target_buffer, or when it is that urgent."""


def prompt_for(context: DecisionContext, customization: Mapping[str, str]) -> str:
    """Return the prompt of a context; `customization` has what the experimenter adds, for `all` and by bank."""
    bank, scenario = context.agent_id, context.scenario
    added = [customization[key] for key in ("all", bank) if key in customization]
    sections = {
        "The game": _scenario(bank, scenario),
        "Costs under the policies that hold now": _costs(bank, context.costs),
        "What your bank has and sees under these policies": _seen(context.own_view),
        "What is charged": _rates(scenario),
        "Your policy now": [_cut(_json(context.policies[bank]), MAX_POLICY)],
        "What was tried": _history(context.history),
        "What you may propose": _allowed(context.constraints, context.bank),
        "From the experimenter": added,
        "Your answers to this question that were refused": _rejected(context.rejected),
        "Your answer": _format(context.constraints, context.bank),
    }
    written = {title: "\n".join(lines) for title, lines in sections.items()}
    return "\n\n".join(f"# {title}\n{text}" for title, text in written.items() if text)


def _scenario(bank: str, scenario: Scenario) -> Iterator[str]:
    simulation, lsm = scenario.simulation, scenario.lsm_config
    yield f"You decide for {bank}, one of {len(scenario.agents)} banks that pay each other."
    yield "Money is in cents. A cost is that of a whole run, a mean where payments are drawn at random."
    yield (
        f"A run is {simulation.num_days} day(s) of {simulation.ticks_per_day} ticks, counted from 0. In each tick "
        "payments arrive in their sender's own queue, each bank decides which to release, and a released payment "
        "settles when its amount is at most the sender's balance, credit and collateral together; else it waits in "
        "the central queue."
    )
    usable = "in the next tick" if scenario.deferred_crediting else "at once, in the same tick"
    yield f"Money that comes in can be used {usable}."
    if scenario.daily_balances == "reset":
        yield "Each day begins with the opening balances and the allocations."
    if (response := scenario.outage_response) is not None:
        yield f"{response.stop_sending_after} ticks into a bank's outage the others stop sending to it, until it ends."
    offsets = [
        *(["both ways between two banks"] if lsm.enable_bilateral else []),
        *([f"in cycles of 3 to {lsm.max_cycle_length} banks"] if lsm.enable_cycles else []),
        *(["as far as every bank can bear the net of the whole queue"] if lsm.enable_multilateral else []),
    ]
    if scenario.rtgs:
        yield f"The central queue offsets payments {' and '.join(offsets)}." if offsets else "Nothing is offset."
    else:
        yield "A released payment always waits in the central queue, for the next batch."
    if scenario.rtgs and scenario.offsets_on_entry:
        yield "A released payment that does not fit is offset with queued ones from its receiver, where that helps."
    if scenario.netting_batches:
        ticks = ", ".join(map(str, sorted(scenario.netting_batches)))
        yield f"The whole central queue is netted, as far as every bank can bear it, in these ticks of a day: {ticks}."
    if scenario.deadline_cap_at_eod:
        yield "A deadline is at the latest the last tick of the day on which the payment arrives."
    own = next(agent for agent in scenario.agents if agent.id == bank)
    facts = own.model_dump(mode="json", exclude={"id", "policy"}, exclude_none=True)
    yield f"Your bank: {_cut(_json(facts), MAX_TEXT)}"
    yield from _given(scenario, bank)
    pools = [f"{agent.id} {agent.liquidity_pool:,}" for agent in scenario.agents_by_id() if agent.id != bank]
    yield f"Liquidity pools of the others: {_few(pools, ', ')}"
    if events := [_json(event.model_dump(mode="json")) for event in scenario.scenario_events if _concerns(event, bank)]:
        yield "What happens to your bank in every run, deadlines in ticks after the arrival:"
        yield _few([f"- {event}" for event in events], "\n")


def _given(scenario: Scenario, bank: str) -> Iterator[str]:
    """Yield what a bank pays, and is paid, of the payments that the scenario is given."""
    if (given := scenario.given_payments) is None:
        return
    number = scenario.agent_ids.index(bank)
    out, into = (given.amount[side == number] for side in (given.sender, given.receiver))
    yield (
        f"Payments that are given, not drawn: your bank sends {len(out):,} of {int(out.sum()):,} cents together, and "
        f"receives {len(into):,} of {int(into.sum()):,} cents."
    )


def _concerns(event: ScenarioEvent, bank: str) -> bool:
    """Return True if an event names this bank, or none."""
    named = {getattr(event, key, None) for key in EVENT_AGENTS} - {None}
    return not named or bank in named


def _costs(bank: str, costs: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    yield f"{bank}, yours: {sum(costs[bank].values()):,} cents, of which"
    yield from (f"- {kind}: {cents:,}" for kind, cents in costs[bank].items())
    others = {name: sum(kinds.values()) for name, kinds in costs.items() if name != bank}
    yield f"The other banks: {_few([f'{name} {cents:,}' for name, cents in others.items()], ', ')}"


def _seen(own_view: Callable[[], OwnView] | None) -> Iterator[str]:
    """The bank's money, flows, queue and delay: of its own payments alone."""
    if own_view is None:
        return
    view = own_view()
    yield "When a run begins, by the names that a decision tree asks for, in cents:"
    yield ", ".join(f"{name} = {cents}" for name, cents in view.fields.items())
    yield "The numbers of your policy: " + ", ".join(f"{name} = {value!r}" for name, value in view.parameters.items())
    if view.of_draws > 1:
        yield f"Figures below are means over {view.draws} of the {view.of_draws} draws that a cost is the mean over."
    largest = f"; {view.most_peak_liquidity} in the draw with most" if view.of_draws > 1 else ""
    yield f"Peak liquidity used, the deepest fall of your balance below its first: {view.peak_liquidity}{largest}"
    delay = "nothing settled" if view.mean_delay is None else f"{view.mean_delay:.4g} ticks from arrival to settlement"
    yield f"Mean delay of your payments that settled: {delay}; value unsettled at the end: {view.unsettled_value}"
    ticks = len(view.value_out)
    step = -(-ticks // MAX_TICKS)
    yield "By tick: cents settled out of your bank; into it; at its end cents of yours that wait; payments that wait:"
    for begin in range(0, ticks, step):
        end = min(begin + step, ticks)
        name = f"{begin}" if step == 1 else f"{begin}-{end - 1}"
        flows = sum(view.value_out[begin:end]), sum(view.value_in[begin:end]), view.waiting_value[end - 1]
        if any(flows) or step > 1 or begin == 0:
            yield f"- {name}: {flows[0]}; {flows[1]}; {flows[2]}; {view.waiting[end - 1]:.4g}"
    if step == 1:
        yield "Ticks that are not listed have 0 everywhere."


def _rates(scenario: Scenario) -> Iterator[str]:
    rates = scenario.cost_rates.model_dump(mode="json")
    free = [name for name in COST_FIELDS if rates[name] == (1 if name == "overdue_delay_multiplier" else 0)]
    for name, (unit, meaning) in COST_FIELDS.items():
        if name not in free:
            yield f"- {name} = {_json(rates[name])} ({unit}): {meaning}"
    if any(multiplier != 1 for multiplier in rates["priority_delay_multipliers"].values()):
        yield f"- delay is multiplied by priority (8-10, 4-7, 0-3): {_json(rates['priority_delay_multipliers'])}"
    if free:
        yield f"Not charged, or of no effect: {', '.join(free)}"


def _history(history: Sequence[Attempt]) -> Iterator[str]:
    """The latest attempts, the oldest of them first."""
    if len(history) > MAX_ATTEMPTS:
        yield f"The latest {MAX_ATTEMPTS} of {len(history)} proposals for your bank, oldest first."
    for attempt in history[-MAX_ATTEMPTS:]:
        what = "accepted" if attempt.accepted else "rejected"
        costs = [f"{cents:,}" for cents in (attempt.old_cost, attempt.new_cost) if cents is not None]
        cost = f"; your cost {' -> '.join(costs)}" if costs else ""
        policy = "no policy" if attempt.policy is None else _cut(_json(attempt.policy), MAX_ATTEMPT)
        yield f"- iteration {attempt.iteration}, {what}: {_cut(attempt.reason, MAX_ATTEMPT)}{cost}; {policy}"


def _rejected(rejected: Sequence[tuple[str, str]]) -> Iterator[str]:
    if rejected:
        yield "Do not repeat their mistakes."
    for answer, reason in rejected[-MAX_REJECTED:]:
        yield f"Answer: {_cut(answer, MAX_TEXT)}\nRefused because: {_cut(reason, MAX_TEXT)}"


def _allowed(constraints: PolicyConstraints, bank: Agent) -> Iterator[str]:
    yield 'A policy of one of these types, with its numbers beside "type" or under "parameters":'
    yield BUILTIN_TYPES
    yield "Parameters that you may write, and no others:" if constraints.allowed_parameters else "Parameters:"
    if constraints.allowed_parameters:
        yield from (f"- {_parameter(each)}" for each in constraints.allowed_parameters)
    else:
        yield from (f"- {name}: {meaning}" for name, meaning in PARAMETER_MEANINGS.items())
    if _tree_example(constraints, bank) is not None:
        yield from _trees(constraints, bank)
    if constraints != PolicyConstraints():
        yield "The fields, actions and numbers that your policy has now may stay, listed or not."
    if constraints.allowed_parameters:
        yield "A number that is not listed may not change: write it again."


def _parameter(parameter: AllowedParameter) -> str:
    values = parameter.allowed_values
    numbers = [f"{each:g}" for each in values or (parameter.min_value, parameter.max_value) if each is not None]
    where = f"one of {', '.join(numbers)}" if values else f"from {' to '.join(numbers)}"
    kind = "whole number, " if parameter.param_type == "int" else ""
    meaning = PARAMETER_MEANINGS.get(parameter.name)
    return f"{parameter.name}: {kind}{where}" + (f"; {meaning}" if meaning else "")


def _trees(constraints: PolicyConstraints, bank: Agent) -> Iterator[str]:
    yield (
        f'Or decision trees, at most {MAX_DEPTH} levels deep: a "payment_tree", asked for each payment in your queue '
        'in every tick, and, if you like, a "bank_tree" and a "collateral_tree", asked once a tick before it. For '
        "example:"
    )
    yield _json(_tree_example(constraints, bank))
    yield (
        f'Conditions: {" ".join(COMPARISONS)} with "left" and "right"; and, or with a list "conditions"; not with '
        '"condition". Values: {"field": NAME}, {"param": NAME of one of "parameters"}, {"value": NUMBER}, '
        f'{{"compute": {{"op": …}}}} with {" ".join(TWO_SIDED)} ("left", "right"), {" ".join(MANY_SIDED)} (a list '
        f'"values"), {" ".join(ONE_SIDED)} ("value"), clamp ("value", "min", "max"). x / 0 is 0.'
    )
    for kind in TREE_KINDS:
        if actions := _actions(constraints, kind):
            yield f"Actions of a {kind}, their parameters being values:"
            for name in actions:
                takes = "".join(f" {each}" for each in ACTIONS[kind][name])
                yield f"- {name}{takes}: {ACTION_MEANINGS[name]}"
        else:
            yield f"There may be no {kind}."
    yield "Fields that a tree may ask:"
    for name in _fields(constraints):
        unit, meaning = described(name)
        only = "" if name in known_fields("bank_tree") else "; in a payment_tree only"
        yield f"- {name} ({unit}): {meaning}{only}"
    yield from _registers(constraints)


def _registers(constraints: PolicyConstraints) -> Iterator[str]:
    if constraints.allowed_fields is None or ALL_REGISTERS in constraints.allowed_fields:
        yield f"- {STATE_PREFIX}NAME: a register of yours, 0 until set, kept over the days"
    else:
        names = [name for name in constraints.allowed_fields if name.startswith(STATE_PREFIX)]
        yield from (f"- {name}: a register of yours, 0 until set, kept over the days" for name in names)


def _fields(constraints: PolicyConstraints) -> list[str]:
    allowed = constraints.allowed_fields
    return [name for name in FIELDS["payment_tree"] if allowed is None or name in allowed]


def _actions(constraints: PolicyConstraints, kind: str) -> list[str]:
    allowed = getattr(constraints.allowed_actions, kind)
    known = next(actions for each, actions in ACTIONS.items() if each == kind)
    return [name for name in known if allowed is None or name in allowed]


def _tree_example(constraints: PolicyConstraints, bank: Agent) -> PolicyDocument | None:
    """A small policy of trees that these constraints allow; None where payment trees may have no actions at all."""
    actions, fields = _actions(constraints, "payment_tree"), _fields(constraints)
    if not actions:
        return None
    first, last = ("Release" if "Release" in actions else actions[0]), ("Hold" if "Hold" in actions else actions[-1])
    asked = "ticks_to_deadline" if "ticks_to_deadline" in fields else next(iter(fields), None)
    left = {"value": 1} if asked is None else {"field": asked}
    condition = {"op": "<=", "left": left, "right": {"value": 2}}
    branches = {"on_true": _leaf(first), "on_false": _leaf(last)}
    tree = {"type": "condition", "condition": condition, **branches}
    return {
        "version": "1",
        "policy_id": "example",
        "parameters": _example_parameters(constraints, bank),
        "payment_tree": tree,
    }


def _leaf(action: str) -> dict[str, Any]:
    return {
        "type": "action",
        "action": action,
        "parameters": {name: {"value": 2} for name in ACTIONS["payment_tree"][action]},
    }


def _example_parameters(constraints: PolicyConstraints, bank: Agent) -> dict[str, float]:
    """The share of the pool, at the middle of what is allowed; as it is written now where it may not change."""
    if not constraints.allowed_parameters:
        return {FRACTION: 0.5}
    own = next((each for each in constraints.allowed_parameters if each.name == FRACTION), None)
    if own is None:
        return {name: value for _, name, value in written(bank.policy) if name == FRACTION}
    if own.allowed_values is not None:
        return {FRACTION: own.allowed_values[len(own.allowed_values) // 2]}
    least, most = own.min_value or 0.0, own.max_value or 0.0
    return {FRACTION: math.ceil(least) if own.param_type == "int" else (least + most) / 2}


def _format(constraints: PolicyConstraints, bank: Agent) -> Iterator[str]:
    policy = {"type": "Fifo", "parameters": _example_parameters(constraints, bank)}
    yield 'One JSON object with "policy", the whole of the new policy, and "reasoning", a few sentences. For example:'
    yield _json({"policy": policy, "reasoning": "Why this costs my bank less."})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def _few(items: Sequence[str], between: str) -> str:
    more = [f"and {len(items) - MAX_ROWS} more"] if len(items) > MAX_ROWS else []
    return between.join([*items[:MAX_ROWS], *more])
