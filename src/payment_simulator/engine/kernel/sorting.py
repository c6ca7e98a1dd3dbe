"""Sorting of numbers in place."""

from payment_simulator.engine.kernel import layout as L
from payment_simulator.engine.kernel.jit import part


@part
def sort_keys(w, base, count):
    """Ascending, the `count` numbers from `base` on; mostly they are so already, and then one look is all."""
    for at in range(base + 1, base + count):
        if w[at] < w[at - 1]:
            _heap_sort(w, base, count)
            return


@part
def _heap_sort(w, base, count):
    for root in range(count // 2 - 1, -1, -1):
        _sift_down(w, base, root, count)
    for end in range(count - 1, 0, -1):
        w[base], w[base + end] = w[base + end], w[base]
        _sift_down(w, base, L.ZERO, end)


@part
def _sift_down(w, base, root, end):
    value = w[base + root]
    while 2 * root + 1 < end:
        child = 2 * root + 1
        if child + 1 < end and w[base + child + 1] > w[base + child]:
            child += 1
        if w[base + child] <= value:
            break
        w[base + root] = w[base + child]
        root = child
    w[base + root] = value
