"""Trees of minima in one array: which payment, in sequence, is the first that is small enough."""

from payment_simulator.engine.kernel.jit import part


@part
def set_minimum(w, base, size, place, value):
    """Put `value` at a place of the tree of `size` leaves that begins at `base`."""
    node = size + place
    w[base + node] = value
    node >>= 1
    while node >= 1:
        left, right = w[base + 2 * node], w[base + 2 * node + 1]
        low = left if left < right else right
        if w[base + node] == low:
            return
        w[base + node] = low
        node >>= 1


@part
def next_within(w, base, size, start, limit):
    """The first place from `start` on with a value of at most `limit`; -1 for none."""
    if start >= size or w[base + 1] > limit:
        return -1
    node = size + start if start > 0 else 1
    while True:
        if w[base + node] <= limit:
            while node < size:
                node *= 2
                if w[base + node] > limit:
                    node += 1
            return node - size
        while node & 1:  # a right child: what follows is beside its parent
            node >>= 1
        if node == 0:
            return -1
        node += 1


@part
def least_within(w, base, size, start, end):
    """The least value of the places from `start` up to `end`; 2^62 of none."""
    least, low, high = 2**62, size + start, size + end
    while low < high:
        if low & 1:
            least = min(least, w[base + low])
            low += 1
        if high & 1:
            high -= 1
            least = min(least, w[base + high])
        low >>= 1
        high >>= 1
    return least
