"""The product: `reference` in compiled code, the same to the cent and to the event.

What makes it fast and changes nothing: a payment that settles in the tick in which it arrives is touched once and
leaves no trace. One that waits is in its sender's segment tree of minima, in the list of its pair (offsets) and in a
calendar (deadlines, urgency), so that no queue is walked but for decision trees; and the cost of delay is a sum that
changes when a payment does. `layout` says where everything is, `queues` keeps it.
"""

import sys

from payment_simulator.engine.kernel import (
    costs,
    escalation,
    lsm,
    netting,
    on_entry,
    outages,
    policies,
    policy_vm,
    queue2,
    queues,
    releases,
    rules,
    scenario_events,
    treasury,
    tree_fields,
    workspace,
)
from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.completeness import check_complete
from payment_simulator.engine.kernel.costs import apply_credits, close_tick, sum_liquidity
from payment_simulator.engine.kernel.escalation import escalate
from payment_simulator.engine.kernel.jit import entry, part
from payment_simulator.engine.kernel.outages import held_until, hold_queue1, release_held, update_outages
from payment_simulator.engine.kernel.policies import decide_queue1, release_affordable
from payment_simulator.engine.kernel.queue1 import sort_queue1
from payment_simulator.engine.kernel.queue2 import work_queue2
from payment_simulator.engine.kernel.queues import (
    append_queue1,
    enter_queue1,
    leave_queue1,
    make_urgent_at,
    open_row,
    record_event,
    record_piece_event,
    remove_queue1,
    set_in_segment_tree,
)
from payment_simulator.engine.kernel.releases import settle_releases
from payment_simulator.engine.kernel.rows import (
    bank_row,
    payment_row,
    queue_key,
)
from payment_simulator.engine.kernel.rules import begin_day
from payment_simulator.engine.kernel.scenario_events import apply_scenario_event
from payment_simulator.engine.kernel.sorting import sort_keys
from payment_simulator.engine.kernel.treasury import run_collateral_and_bank_trees, run_collateral_trees
from payment_simulator.engine.kernel.workspace import NO_BUDGET, prepare, reset_balance, set_posted
from payment_simulator.engine.vocabulary import REFERENCE_EVENTS, Cost, EventColumn, EventKind, Skipped
from payment_simulator.policy.compile import Op
from payment_simulator.policy.fields_and_actions import REFERENCE_ACTIONS, REFERENCE_FIELDS, ActionKind


@entry
def run(w, template, events, code, f, a, first, last, ticks, room, only_settlements):
    """Run one sample, arrivals `first` to `last` of `a`, in the workspace `w`, with room for `room` events (-1: none).

    `template` is the head and the banks as they begin, and rates; `events` has five numbers per event; `code` and `f`
    are the decision trees' program and numbers; `only_settlements` is 1 where no other event is recorded. The outcome
    is in `w`: totals in the head, and the rows of the banks.
    """
    simple = _open(w, template, last - first, ticks, room, only_settlements)
    if not simple:
        prepare(w, a, first, last, ticks)
    at, event = first, L.ZERO
    for tick in range(ticks):
        w[L.TICK] = tick
        if tick % w[L.TICKS_PER_DAY] == 0:
            _open_day(w, f, tick)
        while event < len(events) and events[event] == tick:
            apply_scenario_event(w, events[event + 1], events[event + 2], events[event + 3], events[event + 4])
            event += 5
        if w[L.HAS_OUTAGES]:
            update_outages(w, at - first)
        begin = at
        while at < last and a[at * L.ARRIVAL_COLUMNS + L.A_TICK] == tick:
            at += 1
        if simple:
            count = _release_all(w, a, first, begin, at)
        else:
            _arrive(w, a, first, begin, at)
            run_collateral_and_bank_trees(w, f, code)
            if w[L.ESCALATES_AT] > 0:
                escalate(w, at - first)
            count = _decide(w, f, code, a, first, begin, at)
        settle_releases(w, a, first, last, ticks, count)
        work_queue2(w)
        apply_credits(w)
        if w[L.HAS_END_TREES]:
            run_collateral_trees(w, f, code, L.END_TREE)
        close_tick(w, tick)
    sum_liquidity(w, ticks)
    return w[L.ROWS]


@entry
def run_samples(w, template, events, code, f, a, bounds, begin, end, ticks, found):
    """Run samples one after another; the head and the banks' rows of each go into its row of `found`."""
    registers = f.copy()
    for sample in range(begin, end):
        f[:] = registers
        # Numbers of the layout: for a literal, which has a type of its own, numba would compile `run` once more.
        run(w, template, events, code, f, a, bounds[sample], bounds[sample + 1], ticks, L.NONE, L.ZERO)
        found[sample] = w[: found.shape[1]]


@part
def _open(w, template, count, ticks, room, only_settlements):
    """Set up the first moment of a run; True where every bank releases everything, at once."""
    for at in range(len(template)):
        w[at] = template[at]
    w[L.ROWS] = 0 if room >= 0 else -1
    w[L.ROWS_ROOM] = room
    w[L.ONLY_SETTLEMENTS] = only_settlements
    w[L.LISTED_AT] = len(template)
    w[L.PATH_AT] = w[L.LISTED_AT] + w[L.BANKS]
    w[L.SENT_AT] = w[L.PATH_AT] + L.PATH_SIZE
    w[L.TIMERS_AT] = w[L.SENT_AT] + w[L.BANKS]
    w[L.ROWS_AT] = w[L.TIMERS_AT] + (w[L.BANKS] * ticks if w[L.HAS_TIMERS] else 0)
    for at in range(w[L.TIMERS_AT], w[L.ROWS_AT]):
        w[at] = 0
    w[L.RELEASED_AT] = w[L.ROWS_AT] + L.ROW_WIDTH * max(room, 0)
    w[L.URGENT_KEYS_AT] = w[L.RELEASED_AT] + count
    w[L.TICK] = 0
    simple = w[L.HAS_OUTAGES] == 0 and w[L.ESCALATES_AT] == 0
    for bank in range(w[L.BANKS]):
        b = bank_row(bank)
        simple = simple and w[b + L.POLICY] == L.FIFO
        w[b + L.BALANCE] = w[b + L.OPENING]
        w[b + L.CANDIDATE] = L.NONE
        w[b + L.QUEUE1_FIRST] = L.NONE
        w[b + L.QUEUE1_LAST] = L.NONE
        set_posted(w, b, w[b + L.POSTED])
        if w[b + L.ALLOCATED] > 0:
            record_event(w, EventKind.LiquidityAllocated, bank, L.NONE, L.NONE, L.NONE, w[b + L.ALLOCATED], L.NONE)
    return simple


@part
def _open_day(w, f, tick):
    """Step 1: lift the release budgets and begin positions; after the first day reset the balances, where they are."""
    if w[L.HAS_RULES]:
        begin_day(w)
    for bank in range(w[L.BANKS]):
        w[bank_row(bank) + L.BUDGET] = NO_BUDGET
        w[bank_row(bank) + L.SETTLED_TODAY] = 0
        if tick > 0 and w[L.RESETS_DAILY]:
            reset_balance(w, bank)
    if w[L.RESETS_REGISTERS]:
        for register in range(L.REGISTERS_AT, w[L.CONSTANTS_AT]):
            f[register] = 0.0


@part
def _release_all(w, a, first, begin, end):
    """Steps 3 to 6 where every bank releases everything; the count."""
    for index in range(begin, end):
        at = index * L.ARRIVAL_COLUMNS
        w[bank_row(a[at + L.A_SENDER]) + L.ARRIVED] += 1
        w[w[L.RELEASED_AT] + index - begin] = _key_of_new(w, a, index, first)
        record_event(
            w,
            EventKind.Arrival,
            a[at + L.A_SENDER],
            a[at + L.A_RECEIVER],
            index - first,
            L.ZERO,
            a[at + L.A_AMOUNT],
            L.NONE,
        )
    return end - begin


@part
def _key_of_new(w, a, index, first):
    """Queue order of a payment without a row, as one number."""
    return (w[L.LAYER_OF + a[index * L.ARRIVAL_COLUMNS + L.A_PRIORITY]] << L.KEY_SHIFT) | (index - first)


@part
def _arrive(w, a, first, begin, end):
    """Step 3: put arrivals into Queue 1, but for banks that release everything, unless it is held or may escalate."""
    for index in range(begin, end):
        at, p = index * L.ARRIVAL_COLUMNS, index - first
        sender = a[at + L.A_SENDER]
        b = bank_row(sender)
        w[b + L.ARRIVED] += 1
        record_event(w, EventKind.Arrival, sender, a[at + L.A_RECEIVER], p, L.ZERO, a[at + L.A_AMOUNT], L.NONE)
        is_avoided = w[bank_row(a[at + L.A_RECEIVER]) + L.IS_AVOIDED]
        if w[b + L.POLICY] == L.FIFO and not w[b + L.IS_OUT] and not is_avoided and w[L.ESCALATES_AT] == 0:
            continue
        open_row(w, a, first, p)
        enter_queue1(w, p)
        if w[b + L.POLICY] == L.TREES or w[b + L.POLICY] == L.FIFO or w[L.SORTS_QUEUE1]:
            append_queue1(w, p)
        if w[b + L.POLICY] == L.TREES or w[b + L.POLICY] == L.FIFO:
            continue
        r = payment_row(w, p)
        if w[b + L.POLICY] == L.LIQUIDITY_AWARE:
            set_in_segment_tree(w, p, L.QUEUE1_LAYER, L.NOTHING if is_avoided else w[r + L.REST])
        make_urgent_at(w, p, max(w[r + L.DUE] - w[b + L.THRESHOLD], w[L.TICK]))


@part
def _decide(w, f, code, a, first, begin, end):
    """Step 6: collect what is released, as keys of queue order, unsorted; the count."""
    count, urgent = _release_urgent(w, _release_new(w, a, first, begin, end))
    begun = L.ZERO
    for bank in range(w[L.BANKS]):
        b = bank_row(bank)
        kind = w[b + L.POLICY]
        if w[L.SORTS_QUEUE1]:
            sort_queue1(w, bank)
        if w[b + L.IS_OUT]:
            if w[L.ROWS] >= 0 and kind == L.TREES:
                hold_queue1(w, bank)
        elif kind == L.LIQUIDITY_AWARE:
            ended = begun
            while ended < urgent and w[w[L.URGENT_KEYS_AT] + ended] >> L.KEY_SHIFT == bank:
                ended += 1
            count = release_affordable(w, bank, begun, ended, count)
            begun = ended
        elif kind == L.TREES:
            count = decide_queue1(w, f, code, bank, count)
        elif kind == L.FIFO:
            count = release_held(w, bank, count)
        if w[L.ROWS] >= 0 and kind != L.TREES and (kind != L.FIFO or w[L.HAS_OUTAGES]):
            _record_holds(w, a, first, begin, end, bank)
    return count


@part
def _release_new(w, a, first, begin, end):
    """Release what has come and is not in Queue 1; the count."""
    count = L.ZERO
    for index in range(begin, end):
        if w[w[L.KNOWN_AT] + index - first] == 0:
            w[w[L.RELEASED_AT] + count] = _key_of_new(w, a, index, first)
            count += 1
    return count


@part
def _release_urgent(w, count):
    """Release what is urgent at Deadline banks, and list by bank what is at LiquidityAware ones; the count of each."""
    urgent, p = L.ZERO, w[w[L.URGENT_AT] + w[L.TICK]]
    while p != L.NONE:
        r = payment_row(w, p)
        following = w[r + L.NEXT_URGENT]
        if w[r + L.STATE] == L.IN_QUEUE1:
            if held_until(w, r) != L.NONE:
                make_urgent_at(w, p, held_until(w, r) + 1)
            elif w[bank_row(w[r + L.SENDER]) + L.POLICY] == L.DEADLINE:
                if w[L.SORTS_QUEUE1]:
                    remove_queue1(w, p)
                leave_queue1(w, p)
                w[w[L.RELEASED_AT] + count] = queue_key(w, p)
                count += 1
            else:
                w[w[L.URGENT_KEYS_AT] + urgent] = (w[r + L.SENDER] << L.KEY_SHIFT) | p
                urgent += 1
        p = following
    sort_keys(w, w[L.URGENT_KEYS_AT], urgent)
    return count, urgent


@part
def _record_holds(w, a, first, begin, end, bank):
    """Record what a built-in policy or an outage holds, once, as it arrives."""
    if w[L.SORTS_QUEUE1]:
        hold_queue1(w, bank)
        return
    for index in range(begin, end):
        if a[index * L.ARRIVAL_COLUMNS + L.A_SENDER] == bank and w[w[L.KNOWN_AT] + index - first]:
            r = payment_row(w, index - first)
            if w[r + L.STATE] == L.IN_QUEUE1:
                record_piece_event(w, EventKind.PolicyHold, index - first, L.ZERO, w[r + L.REST], L.NONE)


check_complete(
    (
        costs,
        escalation,
        lsm,
        netting,
        on_entry,
        outages,
        policies,
        policy_vm,
        queue2,
        queues,
        releases,
        rules,
        scenario_events,
        treasury,
        tree_fields,
        workspace,
        sys.modules[__name__],
    ),
    (Cost, EventKind, Skipped, ActionKind, Op, L.TreeField, EventColumn),
    idle=(
        *(ActionKind.NoAction, ActionKind.HoldCollateral),
        *(ActionKind[name] for name in REFERENCE_ACTIONS),
        *(L.TreeField[name] for name in REFERENCE_FIELDS),
        *REFERENCE_EVENTS,
    ),
)
