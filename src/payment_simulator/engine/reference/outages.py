"""Which banks are out in a tick, and what follows for the payments to them."""

from payment_simulator.scenario.scenario_events import Outage
from payment_simulator.scenario.schema import Scenario


class Outages:
    """The outages of a scenario. After `begin_tick`, three sets of banks, by number, hold for that tick.

    Those that are `out` decide nothing; payments to those that are `closed` are not tried; other banks hold what they
    would send to those that are `avoided`, which are closed too.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.out: frozenset[int] = frozenset()
        self.closed: frozenset[int] = frozenset()
        self.avoided: frozenset[int] = frozenset()
        number = {name: place for place, name in enumerate(scenario.agent_ids)}
        self._all = [(number[each.agent], each) for each in scenario.scenario_events if isinstance(each, Outage)]
        self._response = scenario.outage_response

    def begin_tick(self, tick: int) -> None:
        """Find out who is out in this tick."""
        now = [(number, each) for number, each in self._all if each.start_tick <= tick <= each.end_tick]
        after = None if self._response is None else self._response.stop_sending_after
        self.out = frozenset(number for number, _ in now)
        self.avoided = frozenset(n for n, each in now if after is not None and tick - each.start_tick >= after)
        self.closed = self.avoided | {number for number, each in now if not each.incoming}
