"""The product: `reference` in compiled code, the same to the cent and to the event.

What makes it fast and changes nothing: a payment that settles in the tick in which it arrives is touched once and
leaves no trace. One that waits is in its sender's tree of minima, in the list of its pair (offsets) and in a calendar
(deadlines, urgency), so that no queue is walked but for trees; and the cost of delay is a sum that changes when a
payment does. `layout` says where everything is, `ledger` keeps it.
"""

from payment_simulator.engine.kernel.costs import close_tick
from payment_simulator.engine.kernel.jit import entry, part
from payment_simulator.engine.kernel.layout import (
    A_AMOUNT,
    A_KEY,
    A_RECEIVER,
    A_SENDER,
    A_TICK,
    ALLOCATED,
    ARRIVAL_COLUMNS,
    ARRIVED,
    BALANCE,
    BANKS,
    BILATERAL,
    BUDGET,
    CANDIDATE,
    CAPACITY,
    CENTRAL_SIZE,
    CYCLES,
    DEADLINE,
    DUE,
    E_ALLOCATED,
    E_ARRIVAL,
    E_FROM_QUEUE,
    E_HOLD,
    E_IMMEDIATE,
    E_QUEUED,
    E_SKIPPED,
    E_SUBMITTED,
    E_TRANSFER,
    FIFO,
    HURRIED_AT,
    IN_QUEUE1,
    IS_PREPARED,
    KEY_MASK,
    KEY_SHIFT,
    KNOWN_AT,
    LEFT,
    LIQUIDITY_AWARE,
    LISTED,
    LISTED_AT,
    NEXT_URGENT,
    NONE,
    NOTHING,
    OPENING,
    PATH_AT,
    PIECES,
    POLICY,
    POSTED,
    QUEUE1_FIRST,
    QUEUE1_LAST,
    QUEUE1_LAYER,
    RECEIVER,
    RELEASED_AT,
    REST,
    ROW_WIDTH,
    ROWS,
    ROWS_AT,
    ROWS_ROOM,
    SENDER,
    SETTLED_COUNT,
    SETTLED_VALUE,
    SIZE,
    SKIPPED_CAPACITY,
    SKIPPED_FLOOR,
    STATE,
    THRESHOLD,
    TICK,
    TICKS_PER_DAY,
    TREES,
    URGENT_AT,
    ZERO,
)  # fmt: skip
from payment_simulator.engine.kernel.lsm import offset_pairs, settle_cycles
from payment_simulator.engine.kernel.policies import ask_tree, release_affordable, run_bank_trees
from payment_simulator.engine.kernel.queues import (
    append_queue1,
    bank_row,
    count_front_settled,
    enter_queue1,
    enter_queue2,
    find_candidate,
    front,
    front_place,
    headroom,
    leave_queue1,
    make_urgent_at,
    move,
    open_row,
    payment_row,
    queue_key,
    say,
    say_piece,
    set_in_tree,
    take_front,
)  # fmt: skip
from payment_simulator.engine.kernel.sorting import sort_keys
from payment_simulator.engine.kernel.workspace import NO_BUDGET, credit_with, post, prepare, set_posted


@entry
def run(w, template, events, code, f, a, first, last, ticks, room):  # type: ignore[no-untyped-def]
    """One sample, arrivals `first` to `last` of `a`, in the workspace `w`, with `room` for so many events (-1: none).

    `template` is the head and the banks as they begin, and rates; `events` has five numbers an event; `code` and `f`
    are trees. What it found is in `w`: the totals of the head, and the rows of the banks.
    """
    simple = _open(w, template, last - first, room)
    if not simple:
        prepare(w, a, first, last, ticks)
    at, event = first, ZERO
    for tick in range(ticks):
        w[TICK] = tick
        if tick % w[TICKS_PER_DAY] == 0:
            _open_day(w)
        while event < len(events) and events[event] == tick:
            _happen(w, events[event + 1], events[event + 2], events[event + 3], events[event + 4])
            event += 5
        begin = at
        while at < last and a[at * ARRIVAL_COLUMNS + A_TICK] == tick:
            at += 1
        if simple:
            count = _release_all(w, a, first, begin, at)
        else:
            _arrive(w, a, first, begin, at)
            run_bank_trees(w, f, code)
            count = _decide(w, f, code, a, first, begin, at)
        _settle_releases(w, a, first, last, ticks, count)
        _work_queue2(w)
        close_tick(w, tick)
    return w[ROWS]


@entry
def run_samples(w, template, events, code, f, a, bounds, begin, end, ticks, found):  # type: ignore[no-untyped-def]
    """Samples one after another; the head and the banks' rows of each go into its row of `found`."""
    registers = f.copy()
    for sample in range(begin, end):
        f[:] = registers
        run(w, template, events, code, f, a, bounds[sample], bounds[sample + 1], ticks, -1)
        found[sample] = w[: found.shape[1]]


@part
def _open(w, template, count, room):  # type: ignore[no-untyped-def]
    """The first moment of a run; whether every bank releases everything."""
    for at in range(len(template)):
        w[at] = template[at]
    w[ROWS] = 0 if room >= 0 else -1
    w[ROWS_ROOM] = room
    w[LISTED_AT] = len(template)
    w[PATH_AT] = w[LISTED_AT] + w[BANKS]
    w[ROWS_AT] = w[PATH_AT] + 40
    w[RELEASED_AT] = w[ROWS_AT] + ROW_WIDTH * max(room, 0)
    w[HURRIED_AT] = w[RELEASED_AT] + count
    w[TICK] = 0
    simple = True
    for bank in range(w[BANKS]):
        b = bank_row(bank)
        simple = simple and w[b + POLICY] == FIFO
        w[b + BALANCE] = w[b + OPENING]
        w[b + CANDIDATE] = NONE
        w[b + QUEUE1_FIRST] = NONE
        w[b + QUEUE1_LAST] = NONE
        set_posted(w, b, w[b + POSTED])
        if w[b + ALLOCATED] > 0:
            say(w, E_ALLOCATED, bank, NONE, NONE, NONE, w[b + ALLOCATED], NONE)
    return simple


@part
def _open_day(w):  # type: ignore[no-untyped-def]
    """Step 1."""
    for bank in range(w[BANKS]):
        w[bank_row(bank) + BUDGET] = NO_BUDGET


@part
def _happen(w, kind, bank, other, amount):  # type: ignore[no-untyped-def]
    """Step 2: a transfer, or collateral."""
    b = bank_row(bank)
    if kind == E_TRANSFER:
        if amount > headroom(w, b):
            say(w, E_SKIPPED, bank, other, NONE, NONE, amount, SKIPPED_FLOOR)
            return
        say(w, E_TRANSFER, bank, other, NONE, NONE, amount, NONE)
        move(w, bank, other, amount)
        return
    posted = w[b + POSTED] + amount
    if posted < 0 or (amount > 0 and posted > w[b + CAPACITY]):
        say(w, E_SKIPPED, bank, NONE, NONE, NONE, amount, SKIPPED_CAPACITY)
    elif w[b + BALANCE] + credit_with(w, b, posted) < 0:
        say(w, E_SKIPPED, bank, NONE, NONE, NONE, amount, SKIPPED_FLOOR)
    else:
        post(w, bank, amount)


@part
def _release_all(w, a, first, begin, end):  # type: ignore[no-untyped-def]
    """Steps 3 to 6 where every bank releases everything; how many."""
    for index in range(begin, end):
        at = index * ARRIVAL_COLUMNS
        w[bank_row(a[at + A_SENDER]) + ARRIVED] += 1
        w[w[RELEASED_AT] + index - begin] = a[at + A_KEY] | (index - first)
        say(w, E_ARRIVAL, a[at + A_SENDER], a[at + A_RECEIVER], index - first, ZERO, a[at + A_AMOUNT], NONE)
    return end - begin


@part
def _arrive(w, a, first, begin, end):  # type: ignore[no-untyped-def]
    """Step 3: into Queue 1, but for banks that release everything."""
    for index in range(begin, end):
        at, p = index * ARRIVAL_COLUMNS, index - first
        sender = a[at + A_SENDER]
        b = bank_row(sender)
        w[b + ARRIVED] += 1
        say(w, E_ARRIVAL, sender, a[at + A_RECEIVER], p, ZERO, a[at + A_AMOUNT], NONE)
        if w[b + POLICY] == FIFO:
            continue
        open_row(w, a, first, p)
        enter_queue1(w, p)
        if w[b + POLICY] == TREES:
            append_queue1(w, p)
            continue
        r = payment_row(w, p)
        if w[b + POLICY] == LIQUIDITY_AWARE:
            set_in_tree(w, p, QUEUE1_LAYER, w[r + REST])
        make_urgent_at(w, p, max(w[r + DUE] - w[b + THRESHOLD], w[TICK]))


@part
def _decide(w, f, code, a, first, begin, end):  # type: ignore[no-untyped-def]
    """Step 6: what is released, as keys of queue order, unsorted; how many."""
    count = ZERO
    for index in range(begin, end):
        at = index * ARRIVAL_COLUMNS
        if w[bank_row(a[at + A_SENDER]) + POLICY] == FIFO:
            w[w[RELEASED_AT] + count] = a[at + A_KEY] | (index - first)
            count += 1
    count, hurried = _release_urgent(w, count)
    begun = ZERO
    for bank in range(w[BANKS]):
        kind = w[bank_row(bank) + POLICY]
        if kind == LIQUIDITY_AWARE:
            ended = begun
            while ended < hurried and w[w[HURRIED_AT] + ended] >> KEY_SHIFT == bank:
                ended += 1
            count = release_affordable(w, bank, begun, ended, count)
            begun = ended
        elif kind == TREES:
            count = ask_tree(w, f, code, bank, count)
        if w[ROWS] >= 0 and kind in (DEADLINE, LIQUIDITY_AWARE):
            _say_holds(w, a, first, begin, end, bank)
    return count


@part
def _release_urgent(w, count):  # type: ignore[no-untyped-def]
    """What Deadline banks release, and in order of banks what is urgent at LiquidityAware ones; how many of each."""
    hurried, p = ZERO, w[w[URGENT_AT] + w[TICK]]
    while p != NONE:
        r = payment_row(w, p)
        if w[r + STATE] == IN_QUEUE1:
            if w[bank_row(w[r + SENDER]) + POLICY] == DEADLINE:
                leave_queue1(w, p)
                w[w[RELEASED_AT] + count] = queue_key(w, p)
                count += 1
            else:
                w[w[HURRIED_AT] + hurried] = (w[r + SENDER] << KEY_SHIFT) | p
                hurried += 1
        p = w[r + NEXT_URGENT]
    sort_keys(w, w[HURRIED_AT], hurried)
    return count, hurried


@part
def _say_holds(w, a, first, begin, end, bank):  # type: ignore[no-untyped-def]
    """What a built-in policy holds is said once, as it arrives."""
    for index in range(begin, end):
        if a[index * ARRIVAL_COLUMNS + A_SENDER] == bank:
            r = payment_row(w, index - first)
            if w[r + STATE] == IN_QUEUE1:
                say_piece(w, E_HOLD, index - first, ZERO, w[r + REST], NONE)


@part
def _settle_releases(w, a, first, last, ticks, count):  # type: ignore[no-untyped-def]
    """Step 7: all releases once, in queue order."""
    sort_keys(w, w[RELEASED_AT], count)
    for index in range(count):
        p = w[w[RELEASED_AT] + index] & KEY_MASK
        if w[IS_PREPARED] and w[w[KNOWN_AT] + p]:
            _settle_known(w, p)
        elif not _settle_new(w, a, first, p):
            if not w[IS_PREPARED]:
                prepare(w, a, first, last, ticks)
            open_row(w, a, first, p)
            enter_queue2(w, p)


@part
def _settle_new(w, a, first, p):  # type: ignore[no-untyped-def]
    """Step 7, of a payment that never waited; whether it settled."""
    at = (first + p) * ARRIVAL_COLUMNS
    sender, receiver, amount = a[at + A_SENDER], a[at + A_RECEIVER], a[at + A_AMOUNT]
    b = bank_row(sender)
    say(w, E_SUBMITTED, sender, receiver, p, ZERO, amount, NONE)
    if amount > headroom(w, b):
        say(w, E_QUEUED, sender, receiver, p, ZERO, amount, NONE)
        return False
    move(w, sender, receiver, amount)
    w[b + SETTLED_COUNT] += 1
    w[SETTLED_VALUE] += amount
    say(w, E_IMMEDIATE, sender, receiver, p, ZERO, amount, NONE)
    return True


@part
def _settle_known(w, p):  # type: ignore[no-untyped-def]
    """Step 7, of a payment that was in Queue 1: each piece in turn, what does not fit to Queue 2."""
    r = payment_row(w, p)
    b = bank_row(w[r + SENDER])
    while front(w, r) <= headroom(w, b):
        amount = front(w, r)
        say_piece(w, E_SUBMITTED, p, front_place(w, r), amount, NONE)
        say_piece(w, E_IMMEDIATE, p, front_place(w, r), amount, NONE)
        is_last = count_front_settled(w, p)
        move(w, w[r + SENDER], w[r + RECEIVER], amount)
        if is_last:
            return
    if w[ROWS] >= 0:
        for left in range(w[r + LEFT], -1, -1):
            amount = w[r + SIZE] if left > 0 else w[r + REST]
            say_piece(w, E_SUBMITTED, p, w[r + PIECES] - 1 - left, amount, NONE)
            say_piece(w, E_QUEUED, p, w[r + PIECES] - 1 - left, amount, NONE)
    enter_queue2(w, p)


@part
def _work_queue2(w):  # type: ignore[no-untyped-def]
    """Steps 8 and 9."""
    if w[LISTED] > 0:
        _retry_queue2(w)
    if w[CENTRAL_SIZE] > 0:
        if w[BILATERAL]:
            offset_pairs(w)
        if w[CYCLES]:
            settle_cycles(w)


@part
def _retry_queue2(w):  # type: ignore[no-untyped-def]
    """While any fits, the first in queue order."""
    for at in range(w[LISTED_AT], w[LISTED_AT] + w[LISTED]):
        w[bank_row(w[at]) + CANDIDATE] = find_candidate(w, w[at])
    while True:
        best = _best_candidate(w)
        if best == NOTHING:
            return
        p = best & KEY_MASK
        r = payment_row(w, p)
        sender, receiver = w[r + SENDER], w[r + RECEIVER]
        move(w, sender, receiver, take_front(w, p, E_FROM_QUEUE, NONE))
        w[bank_row(sender) + CANDIDATE] = find_candidate(w, sender)
        if w[bank_row(receiver) + CANDIDATE] != NONE:
            w[bank_row(receiver) + CANDIDATE] = find_candidate(w, receiver)


@part
def _best_candidate(w):  # type: ignore[no-untyped-def]
    """The first in queue order of the banks' candidates; banks without one leave the list."""
    best, at = NOTHING, w[LISTED_AT]
    while at < w[LISTED_AT] + w[LISTED]:
        b = bank_row(w[at])
        if w[b + CANDIDATE] == NOTHING:
            w[b + CANDIDATE] = NONE
            w[LISTED] -= 1
            w[at] = w[w[LISTED_AT] + w[LISTED]]
        else:
            best = min(best, w[b + CANDIDATE])
            at += 1
    return best
