"""A watch on one bank: by how little its tests of liquidity failed, and what it had as each tick ended."""

from dataclasses import dataclass, field


@dataclass
class Watch:
    """The facts that a run learns about a bank, by number. Money in cents.

    `shortfall` is the least that it lacked where a test of its liquidity failed, None where none did: with so much more
    from the beginning, and not with less, something else could happen. `balances` has one for each tick, with which
    its costs accrued.
    """

    bank: int
    shortfall: int | None = None
    balances: list[int] = field(default_factory=list)

    def has(self, bank: int, lacks: int) -> bool:
        """True where a bank that `lacks` so much passes a test: nothing, or less."""
        if lacks > 0 and bank == self.bank and (self.shortfall is None or lacks < self.shortfall):
            self.shortfall = lacks
        return lacks <= 0

    def end_tick(self, bank: int, balance: int) -> None:
        """Keep the balance with which a tick ended."""
        if bank == self.bank:
            self.balances.append(balance)


NOBODY = -1
"""The bank of a watch in an ordinary run."""
