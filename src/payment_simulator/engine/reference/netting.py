"""Multilateral netting, as the reference engine does it: what is left out until every bank can bear the rest."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from payment_simulator.engine.reference.payments import Item
from payment_simulator.engine.reference.rules import HasLiquidity, Rules


class Netting:
    """Payments of the central queue, in its order, from which last ones go out.

    Bech and Soramäki (2001), "Gridlock resolution in interbank payment systems", Bank of Finland Discussion Papers
    9/2001: where nothing but liquidity decides, what remains is the largest set of payments that settles at once and
    has, of each bank, its first ones; and it does not depend on the order in which banks are looked at. With limits it
    does: then the broken limits to single banks come first, and of several banks the first by number.
    """

    def __init__(self, queue: Sequence[Item], rules: Rules, has_liquidity: HasLiquidity, *, is_strict: bool) -> None:
        self._left = dict.fromkeys(queue)
        self._of_bank: dict[int, dict[Item, None]] = defaultdict(dict)
        for item in queue:
            self._of_bank[item.payment.sender][item] = self._of_bank[item.payment.receiver][item] = None
        self._rules, self._has_liquidity, self._is_strict = rules, has_liquidity, is_strict
        self.looks = 0

    def settling(self) -> list[Item]:
        """What settles at once, in queue order."""
        beyond: dict[int, int | None] = {}
        bears: dict[int, bool] = {}
        changed: Iterable[int] = [*self._of_bank]
        while True:
            for bank in changed:
                own = [*self._of_bank[bank]]
                self.looks += len(own)
                beyond[bank] = self._rules.beyond_limit_to(bank, own)
                bears[bank] = self._rules.bears(bank, own, self._has_liquidity)
            banks = sorted(self._of_bank)
            over = [bank for bank in banks if beyond[bank] is not None]
            short = [bank for bank in banks if not bears[bank]]
            if not over and not short:
                return [*self._left]
            bank = (over or short)[0]
            out = self._last(bank, None if self._is_strict else beyond[bank])
            changed = (out.payment.sender, out.payment.receiver)
            del self._left[out], self._of_bank[changed[0]][out], self._of_bank[changed[1]][out]

    def _last(self, bank: int, receiver: int | None) -> Item:
        """The last payment of a bank that is left, or of those to one receiver."""
        payments = (item for item in reversed(self._of_bank[bank]) if item.payment.sender == bank)
        return next(item for item in payments if receiver in (None, item.payment.receiver))
