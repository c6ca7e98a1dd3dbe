"""The search for cycles in the central queue, as the reference engine does it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from payment_simulator.engine.reference.payments import Item


@dataclass
class CycleSearch:
    """The search of one tick: what it may still visit and settle."""

    max_length: int
    cycles_left: int
    edges_left: int
    was_cut: bool = False

    @property
    def goes_on(self) -> bool:
        """True while it may settle more, and there was no edge that it might not visit."""
        return self.cycles_left > 0 and not self.was_cut

    def find(
        self, start: int, edges: dict[int, dict[int, Item]], covers: Callable[[Sequence[Item]], bool]
    ) -> list[Item] | None:
        """The first cycle over `start` and higher ids, depth first, that `covers` allows.

        An edge is visited when it is looked at: one to the start, or to a higher id.
        """
        path: list[Item] = []
        banks = [start]
        walks: list[Iterator[tuple[int, Item]]] = [_outgoing(edges, start, start)]
        while walks:
            step = next(walks[-1], None)
            if step is None:
                walks.pop()
                banks.pop()
                path = path[:-1]
                continue
            if self.edges_left == 0:
                self.was_cut = True
                return None
            self.edges_left -= 1
            receiver, item = step
            if receiver == start:
                if len(banks) >= 3 and covers([*path, item]):
                    return [*path, item]
            elif receiver not in banks and len(banks) < self.max_length:
                banks.append(receiver)
                path = [*path, item]
                walks.append(_outgoing(edges, receiver, start))
        return None


def _outgoing(edges: dict[int, dict[int, Item]], bank: int, start: int) -> Iterator[tuple[int, Item]]:
    return iter(sorted((to, item) for to, item in edges.get(bank, {}).items() if to >= start and to != bank))
