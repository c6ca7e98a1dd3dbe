"""The layout of the kernel's one array of int64: a head, a row per bank, then what waiting payments need.

One array of one type, and places in it that are constants, keep compilation short. A row of a bank begins at
`bank * BANK_COLUMNS + HEAD`; `row + COLUMN` is where a value of it is. A row of a payment is written when the payment
first waits: one that settles as it arrives has none.

Kinds of cost and of event, operations and actions have no numbers here: compiled code takes those of `Cost`,
`EventKind`, `Op` and `ActionKind` by name.
"""

from collections.abc import Iterable
from enum import IntEnum, auto

import numpy as np

from payment_simulator.engine.exact_costs import MOST_DELAY_RATES, RATED_COLUMNS
from payment_simulator.engine.kernel.rates import LIMB_BITS, LIMBS
from payment_simulator.engine.vocabulary import RATES_PER_DAY, RATES_PER_TICK, Cost, EventColumn
from payment_simulator.policy.fields_and_actions import FIELDS, FIXED_FIELDS
from payment_simulator.policy.tree import MAX_DEPTH
from payment_simulator.scenario.given_payments import COLUMNS


def _numbers(*values: int | Iterable[int]) -> list[np.int64]:
    """Return them as int64: numba would compile a function anew for each plain number that it is given."""
    return [np.int64(each) for value in values for each in ([value] if isinstance(value, int) else value)]


class _Places:
    """Places in a row, handed out one after another; what is unpacked into too few or too many names is refused."""

    def __init__(self) -> None:
        self.size = 0

    def take(self, count: int) -> list[np.int64]:
        """The next `count` places."""
        self.size += count
        return _numbers(range(self.size - count, self.size))

    def take_room(self, size: int) -> np.int64:
        """The first of the next `size` places."""
        return self.take(size)[0]


NONE, ZERO, ONE, NOTHING = _numbers(-1, 0, 1, 2**62)
"""NOTHING is more than any amount, and later than any key in queue order."""

NEVER = np.int64(2**40)
"""More than any tick, and so is a tick and it."""

KEY_SHIFT, KEY_MASK = _numbers(40, 2**40 - 1)
"""Queue order as one number: (10 - priority) * 2^40 + place in the sequence."""

PRIORITIES = 11
LIMB_SHIFT, LIMB_MASK, HALF = _numbers(LIMB_BITS, 2**LIMB_BITS - 1, 2 ** (LIMB_BITS - 1))
RATE_COLUMNS = 1 + LIMBS

# The head: what the scenario sets. A rate is the place of its columns, behind the banks; a rule is cents, and the place
# of the rate that counts in their stead, or NONE. The rates of delay, DELAY_RATES of them, follow one another from
# DELAY_RATE on; which of them a priority has, before and after the deadline, stands under DELAY_RATE_OF; a number past
# the last costs nothing
_head = _Places()
(
    BANKS, TICKS_PER_DAY, DEFERRED, BILATERAL, CYCLES, MAX_CYCLE_LENGTH, MAX_CYCLES, FRICTION, DELAY_RATE,
    DELAY_RATES, RESETS_DAILY, HAS_OUTAGES, STOP_SENDING_AFTER, REMAINDERS_AT, ESCALATES_AT, MAX_BOOST,
    HAS_RULES, STRICT, SORTS_QUEUE1, RETRIES_ONCE, PENALISES_OVERDUE, MULTILATERAL, ON_ENTRY, MAX_EDGES, RTGS,
    BATCHES_AT, BATCHES, HAS_BARRIERS, NAMES_PAIRS, HAS_TIMERS, HAS_END_TREES, RESETS_REGISTERS, CONSTANTS_AT,
) = _head.take(33)  # fmt: skip
RATE_PLACES = {name: _head.take_room(1) for name in (*RATES_PER_TICK, *RATES_PER_DAY)}
DEADLINE_RULE, EOD_RULE = _head.take_room(2), _head.take_room(2)
DELAY_RATE_OF = _head.take_room(2 * PRIORITIES)
LAYER_OF, CLASS_OF = _head.take_room(PRIORITIES), _head.take_room(PRIORITIES)
"""By priority: its place in queue order, and its class."""
# then what a run counts, then where things begin; REMAINDERS_AT is 0 where nothing is carried over
(
    ROWS, SETTLED_VALUE, LSM_VALUE, OFFSETS, STAMP, TICK, CENTRAL_SIZE, LISTED, EDGES_LEFT, CYCLES_TRIED, FAULTS,
    IS_PREPARED, LAYER_SIZE, HAS_PAIRS, IS_DENSE, PAIR_COUNT, CALENDAR_SIZE, ROWS_ROOM, LISTED_AT, PAYMENTS_AT,
    KNOWN_AT, PLACE_OF_AT, AT_PLACE_AT, SEGMENT_TREES_AT, READY_AT, DUE_AT, URGENT_AT, RELEASED_AT, URGENT_KEYS_AT,
    PAIRS_AT, LASTS_AT, NEAR_AT, PATH_AT, ROWS_AT, SEARCHES, WATCHED, SHORTFALL, BALANCES_AT,
    ONLY_SETTLEMENTS, ESCALATE_FROM, RETRY_FROM, CUTS, SENT_AT, TIMERS_AT,
) = _head.take(44)  # fmt: skip
SCRATCH = _head.take_room(LIMBS)
HEAD = _head.size

# A row per bank: what the scenario sets; AFTER_HAIRCUT is a rate
_bank = _Places()
(
    OPENING, CAP, CAPACITY, AFTER_HAIRCUT, POLICY, THRESHOLD, BUFFER, LIQUIDITY_COST, PAYMENT_TREE, BANK_TREE,
    COLLATERAL_TREE, ALLOCATED, MULTILATERAL_LIMIT, IS_NET, URGENT_RESERVED, NORMAL_RESERVED, LIMITS, LIMIT_COUNT,
    END_TREE,
) = _bank.take(19)  # fmt: skip
# and what it has at this moment, last its costs, a column per kind
(
    BALANCE, PENDING, POSTED, CREDIT, UNSETTLED_VALUE, UNSETTLED_ITEMS, EOD_PENALTIES, COLLATERAL_COST,
    TICK_PENALTIES, TICK_FRICTION, BUDGET, QUEUE1_VALUE, QUEUE1_SIZE, QUEUE1_FIRST, QUEUE1_LAST, QUEUE2_VALUE,
    QUEUE2_SIZE, CANDIDATE, CHANGED, PLACES, SEGMENT_TREE, SEGMENT_TREE_SIZE, PAIRS, DEGREE, ARRIVED, SETTLED_COUNT,
    DELAY_TICKS, LIQUIDITY_USED, PEAK_CREDIT, PEAK_QUEUE1, PEAK_QUEUE2, SKIP_OF, SKIP, TICK_OVERDUE, OUT_UNTIL,
    AVOIDED_FROM, LETS_IN, IS_OUT, IS_AVOIDED, IS_CLOSED, POSITION, URGENT_LEFT, NORMAL_LEFT, EOD_VALUE,
    NET_OUT, NET_IN, NET_BROKEN, NET_URGENT, NET_NORMAL, NET_LOW, NET_LAST, SETTLED_TODAY,
    BUDGET_KIND, BUDGET_EACH, FOCUS_AT,
) = _bank.take(55)  # fmt: skip
DELAYED = _bank.take_room(MOST_DELAY_RATES)
"""The cents that wait at each rate of delay."""
CHARGED_ON = _bank.take_room(2 * RATED_COLUMNS)
"""Amounts that rates were charged on, in two numbers each: a high part, and a low one of 31 bits a tick."""
COSTS = _bank.take_room(len(Cost))
BANK_COLUMNS = _bank.size

# A row per payment: `LEFT` pieces of `SIZE`, and a `REST`
_payment = _Places()
(
    STATE, SENDER, RECEIVER, PRIORITY, ARRIVAL_PRIORITY, ARRIVAL, DUE, DIVISIBLE, LEFT, SIZE, REST, PIECES, OVERDUE,
    WAITING, HELD, NEXT_DUE, NEXT_URGENT, BEFORE, AFTER, PAIR_BEFORE, PAIR_AFTER, PLACE, PAIR, BLOCKED,
) = _payment.take(24)  # fmt: skip
PAYMENT_COLUMNS = _payment.size
IN_QUEUE1, IN_QUEUE2, SETTLED, DROPPED = _numbers(1, 2, 3, 4)
LASTING, OF_TICK = _numbers(1, 2)
"""Kinds of a budget that has more to it than an amount: one that lasts until it is set again, or one of a tick."""

# A row per pair of sender and receiver, and elsewhere its last payment of each priority, the most urgent first
_pair = _Places()
FIRST, VALUE, COUNT, PAIR_CHANGED, TRIED, BACK, TO, FRONT = _pair.take(8)
PAIR_COLUMNS = _pair.size
DENSE_PAIRS = 2**21
"""Up to so many pairs of banks each has a row of its own; beyond, those that have payments."""

# A row per bilateral limit, behind the banks and the rates: the other bank, the limit, and the position to it; of a
# netting what is in, both ways, and where the last payment to it may be
_limit = _Places()
LIMIT_TO, LIMIT, LIMIT_POSITION, LIMIT_OUT, LIMIT_IN, LIMIT_LAST = _limit.take(6)
LIMIT_COLUMNS = _limit.size

# The path of a search for cycles, for each bank: the edge that leaves it, and its amount; the bank, how far its walk
# is, where that ends, and whether the banks between it and the start can pay what they lose
_path = _Places()
PATH_ROOM = 6
"""The longest has 5 banks, and comes back to its start."""
PATH_EDGE, PATH_AMOUNT, PATH_BANK, PATH_WALK, PATH_END, PATH_FITS = (_path.take_room(PATH_ROOM) for _ in range(6))
PATH_SIZE = _path.size

LAYERS = PRIORITIES + 1
"""Segment trees per bank: one for each priority in Queue 2, the most urgent first, and one for Queue 1."""
(QUEUE1_LAYER,) = _numbers(PRIORITIES)

# A search for an allocation, in an array of its own: the bank, the allocations (the first, the step to the next, their
# number), whether they are stepped over, and the budget; then what is found; then what holds inside of a step: the
# allocation that was run, all costs but liquidity and overdraft, and how many balances below 0 there are
_search = _Places()
(
    S_BANK, S_FIRST, S_STEP, S_NUMBER, S_CAN_STEP, S_BUDGET, S_ALLOCATION, S_COST, S_LOWER_BOUND, S_SEEN, S_WORK,
    S_BASE, S_REST, S_LEVELS,
) = _search.take(14)  # fmt: skip
SEARCH_COLUMNS = _search.size

# A row per arrival, in an array of its own: the columns of `Arrivals`, then its key in queue order
A_TICK, A_SENDER, A_RECEIVER, A_AMOUNT, A_PRIORITY, A_DEADLINE, A_DIVISIBLE, A_KEY = _numbers(
    [*COLUMNS, "key"].index(name)
    for name in ("tick", "sender", "receiver", "amount", "priority", "deadline", "divisible", "key")
)
ARRIVAL_COLUMNS = len(COLUMNS) + 1

ROW_WIDTH = len(EventColumn)

FIFO, DEADLINE, LIQUIDITY_AWARE, TREES = _numbers(range(4))


class TreeField(IntEnum):
    """Places of the fields that change in a run; those of `FIXED_FIELDS` do not, and follow."""

    amount = 0
    remaining_amount = auto()
    priority = auto()
    is_divisible = auto()
    ticks_to_deadline = auto()
    is_overdue = auto()
    arrival_tick = auto()
    queue_age = auto()
    bilateral_limit_left = auto()
    arrival_priority = auto()
    my_q2_out_value_to_counterparty = auto()
    my_q2_in_value_from_counterparty = auto()
    my_bilateral_net_q2 = auto()
    is_in_queue2 = auto()
    balance = auto()
    effective_liquidity = auto()
    credit_used = auto()
    unsecured_cap = auto()
    posted_collateral = auto()
    max_collateral_capacity = auto()
    remaining_collateral_capacity = auto()
    queue1_total_value = auto()
    queue1_size = auto()
    queue2_own_value = auto()
    queue2_own_size = auto()
    multilateral_limit_left = auto()
    excess_collateral = auto()
    my_throughput_fraction_today = auto()
    current_tick = auto()
    current_day = auto()
    system_tick_in_day = auto()
    ticks_remaining_in_day = auto()
    day_progress_fraction = auto()


def check_same_order(kernel: Iterable[str], policies: Iterable[str]) -> None:
    """Refuse a kernel whose fields are not those of the policies, in the same order.

    Raises:
        ImportError: they are not; the message names the first that differs.
    """
    pairs = zip([*kernel, None], [*policies, None], strict=False)
    for ours, theirs in pairs:
        if ours != theirs:
            raise ImportError(
                f"engine/kernel/layout.py: TreeField has {ours or 'no more'} where FIELDS of "
                f"policy/fields_and_actions.py has {theirs or 'no more'}; give both the same fields in the same order"
            )


check_same_order([*TreeField.__members__, *FIXED_FIELDS], FIELDS["payment_tree"])

# Numbers of decision trees, in an array of float64: fields, then the stack, then registers, then constants
F_COST, STACK_AT, STACK_SIZE = len(TreeField), len(FIELDS["payment_tree"]), 4 * MAX_DEPTH
"""An operation holds two values at the most while it works out another, and so does each one inside it."""
REGISTERS_AT = STACK_AT + STACK_SIZE
