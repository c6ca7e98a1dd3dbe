"""How the kernel lays everything out in one array of int64: a head, a row a bank, then what waiting payments need.

One array of one type, and places in it that are constants, keep compilation short. A row of a bank begins at
`bank * BANK_COLUMNS + HEAD`; `row + COLUMN` is where a value of it is. A row of a payment is written when the payment
first waits: one that settles as it arrives has none.
"""

from collections.abc import Iterable

import numpy as np

from payment_simulator.engine.kernel.rates import LIMB_BITS


def _numbers(*values: int | Iterable[int]) -> list[np.int64]:
    """As int64: of a plain number numba would compile each function anew that it is given to."""
    return [np.int64(each) for value in values for each in ([value] if isinstance(value, int) else value)]


NONE, ZERO, ONE, NOTHING = _numbers(-1, 0, 1, 2**62)
"""NOTHING is more than any amount, and later than any key in queue order."""

KEY_SHIFT, KEY_MASK = _numbers(40, 2**40 - 1)
"""Queue order as one number: (10 - priority) * 2^40 + place in the sequence."""

LIMB_SHIFT, LIMB_MASK, HALF = _numbers(LIMB_BITS, 2**LIMB_BITS - 1, 2 ** (LIMB_BITS - 1))

# The head: what the scenario says. A rate is the place of its columns, behind the banks; a rule is cents, and the place
# of the rate that counts in their stead, or NONE; delay is charged at DELAY_RATE times what stands under DELAY_TIMES
# for a priority, before and after the deadline
(
    BANKS, TICKS_PER_DAY, DEFERRED, BILATERAL, CYCLES, MAX_CYCLE_LENGTH, MAX_CYCLES, FRICTION, OVERDRAFT_RATE,
    COLLATERAL_RATE, BORROWING_RATE, DELAY_RATE,
) = _numbers(range(12))  # fmt: skip
DEADLINE_RULE, EOD_RULE, DELAY_TIMES = _numbers(12, 14, 16)
# then what a run counts, then where things begin
(
    ROWS, SETTLED_VALUE, LSM_VALUE, OFFSETS, STAMP, TICK, CENTRAL_SIZE, LISTED, EDGES_LEFT, CYCLES_TRIED, FAULTS,
    IS_PREPARED, LAYER_SIZE, HAS_PAIRS, IS_DENSE, PAIR_COUNT, CALENDAR_SIZE, ROWS_ROOM, LISTED_AT, PAYMENTS_AT,
    KNOWN_AT, PLACE_OF_AT, AT_PLACE_AT, LOWS_AT, READY_AT, DUE_AT, URGENT_AT, RELEASED_AT, HURRIED_AT, PAIRS_AT,
    LASTS_AT, NEAR_AT, PATH_AT, ROWS_AT, SEARCHES,
) = _numbers(range(38, 73))  # fmt: skip
HEAD = 73

# A row a bank: what the scenario says of it; AFTER_HAIRCUT is a rate
(
    OPENING, CAP, CAPACITY, AFTER_HAIRCUT, POLICY, THRESHOLD, BUFFER, LIQUIDITY_COST, PAYMENT_TREE, BANK_TREE,
    COLLATERAL_TREE, ALLOCATED,
) = _numbers(range(12))  # fmt: skip
# and what it has at this moment
(
    BALANCE, PENDING, POSTED, CREDIT, WEIGHT, UNSETTLED_VALUE, UNSETTLED_ITEMS, EOD_PENALTIES, COLLATERAL_COST,
    TICK_PENALTIES, TICK_FRICTION, BUDGET, QUEUE1_VALUE, QUEUE1_SIZE, QUEUE1_FIRST, QUEUE1_LAST, QUEUE2_VALUE,
    QUEUE2_SIZE, CANDIDATE, CHANGED, PLACES, TREE, TREE_SIZE, PAIRS, DEGREE, ARRIVED, SETTLED_COUNT, DELAY_TICKS,
    LIQUIDITY_USED, PEAK_CREDIT, PEAK_QUEUE1, PEAK_QUEUE2, SKIP_OF, SKIP, COSTS,
) = _numbers(range(12, 47))  # fmt: skip
BANK_COLUMNS = COSTS + 8

# Columns from COSTS on: kinds of cost
LIQUIDITY, OVERDRAFT, COLLATERAL, DELAY, DEADLINE_PENALTY, EOD_PENALTY, EOD_BORROWING, SPLIT_FRICTION = _numbers(
    range(8)
)

# A row a payment: `LEFT` pieces of `SIZE`, and a `REST`
(
    STATE, SENDER, RECEIVER, PRIORITY, ARRIVAL_PRIORITY, ARRIVAL, DUE, DIVISIBLE, LEFT, SIZE, REST, PIECES, OVERDUE,
    WAITING, HELD, NEXT_DUE, NEXT_URGENT, BEFORE, AFTER, PAIR_BEFORE, PAIR_AFTER, PLACE, PAIR,
) = _numbers(range(23))  # fmt: skip
PAYMENT_COLUMNS = 23
IN_QUEUE1, IN_QUEUE2, SETTLED, DROPPED = _numbers(1, 2, 3, 4)

# A row a pair of sender and receiver, and elsewhere its last payment of each priority, the most urgent first
FIRST, VALUE, COUNT, PAIR_CHANGED, TRIED, BACK, TO, FRONT = _numbers(range(8))
PAIR_COLUMNS, PRIORITIES = 8, 11
DENSE_PAIRS = 2**21
"""Up to so many pairs of banks each has a row of its own; beyond, those that have payments."""

LAYERS = 12
"""Trees of minima a bank: one for each priority in Queue 2, the most urgent first, and one for Queue 1."""
(QUEUE1_LAYER,) = _numbers(11)

# A row an arrival, in an array of its own
A_TICK, A_SENDER, A_RECEIVER, A_AMOUNT, A_PRIORITY, A_DEADLINE, A_DIVISIBLE, A_KEY = _numbers(range(8))
ARRIVAL_COLUMNS = 8

# A row a recorded event
ROW_WIDTH = 8
(
    E_ALLOCATED, E_ARRIVAL, E_TRANSFER, E_POSTED, E_WITHDRAWN, E_SKIPPED, E_HOLD, E_DROP, E_SPLIT, E_REPRIORITIZE,
    E_SUBMITTED, E_IMMEDIATE, E_QUEUED, E_FROM_QUEUE, E_BILATERAL, E_CYCLE, E_CREDIT, E_OVERDUE, E_COST, E_END_OF_DAY,
) = _numbers(range(20))  # fmt: skip
SKIPPED_FLOOR, SKIPPED_CAPACITY = _numbers(0, 1)

FIFO, DEADLINE, LIQUIDITY_AWARE, TREES = _numbers(range(4))

# Numbers of trees, in an array of float64: fields, then the stack, then registers, then constants
F_BANK, F_TIME, F_COST = 8, 19, 24
STACK_AT = 33
REGISTERS_AT = STACK_AT + 1024
