"""Indicators of a run once more, in plain Python over its event table: slow, and with nothing of the product's own."""

from collections import Counter, defaultdict
from fractions import Fraction

ROUTES = {
    "SettledImmediately": "at_once",
    "SettledFromQueue": "from_queue",
    "LsmBilateralOffset": "bilateral",
    "LsmEntryOffset": "on_entry",
    "LsmCycleSettlement": "cycles",
    "LsmMultilateralOffset": "multilateral",
    "LsmBatchSettlement": "batch",
}


def peak(moves, bank):
    """The most that a bank has sent over what it received; `moves` are dicts of cents, all of one at once."""
    level = highest = 0
    for move in moves:
        level += move.get(bank, 0)
        highest = max(highest, level)
    return level, highest


def paid(sender, receiver, amount):
    return {sender: amount, receiver: -amount}


def moves_of(day, deferred):
    """What settled, move by move: an offset by its net; receipts at the end of the tick where credit is deferred."""
    found = []
    for tick in sorted({row["tick"] for row in day}):
        late, groups = Counter(), defaultdict(Counter)
        for number, row in enumerate(day):
            if row["tick"] == tick:
                group = groups[("offset", row["offset"]) if row["offset"] is not None else number]
                group[row["agent"]] += row["amount"]
                group[row["counterparty"]] -= row["amount"]
        for group in groups.values():
            found.append({bank: cents for bank, cents in group.items() if cents > 0 or not deferred})
            late.update({bank: cents for bank, cents in group.items() if cents < 0 and deferred})
        found.append(late)
    return found


def days_by_hand(events, scenario):
    """Yield the sums of each day by bank: due, settled and so on; delays as (sum of products)."""
    a_day = scenario.simulation.ticks_per_day
    owed = {}  # by payment: sender, receiver, cents left, tick
    for number in range(scenario.simulation.num_days):
        first, end = number * a_day, (number + 1) * a_day
        today = [row for row in events if first <= row["tick"] < end]
        due = [(bank, other, left, first) for bank, other, left, _ in owed.values() if left]
        arrived = [row for row in today if row["event"] == "Arrival"]
        due += [(row["agent"], row["counterparty"], row["amount"], row["tick"]) for row in arrived]
        owed = {name: (*entry[:3], first) for name, entry in owed.items()}
        owed |= {row["payment"]: (row["agent"], row["counterparty"], row["amount"], row["tick"]) for row in arrived}
        settled = [row for row in today if row["event"] in ROUTES]
        waited = defaultdict(int)
        for row in settled:
            bank, other, left, tick = owed[row["payment"]]
            owed[row["payment"]] = (bank, other, left - row["amount"], tick)
            waited[bank] += row["amount"] * (row["tick"] - tick)
        in_sequence = [paid(bank, other, cents) for bank, other, cents, _ in due]
        moves = moves_of(settled, scenario.deferred_crediting)
        for bank in scenario.agent_ids:
            mine = [row for row in settled if row["agent"] == bank]
            unsettled = [(left, tick) for sender, _, left, tick in owed.values() if sender == bank and left]
            yield (
                number,
                bank,
                {
                    "due": sum(cents for sender, _, cents, _ in due if sender == bank),
                    "settled": sum(row["amount"] for row in mine),
                    "unsettled": sum(left for left, _ in unsettled),
                    "lower_bound": max(0, peak(in_sequence, bank)[0]),
                    "upper_bound": peak(in_sequence, bank)[1],
                    "used": peak(moves, bank)[1],
                    "waited": waited[bank],
                    "delay": waited[bank] + sum(left * (end - tick) for left, tick in unsettled),
                    "longest": sum(cents * (end - tick) for sender, _, cents, tick in due if sender == bank),
                    "by_tick": _sums((row["tick"] - first, row["amount"]) for row in mine),
                    "routes": _sums((ROUTES[row["event"]], row["amount"]) for row in mine),
                    "receivers": _sums((other, cents) for sender, other, cents, _ in due if sender == bank),
                },
            )


def _sums(pairs):
    found = Counter()
    for key, value in pairs:
        found[key] += value
    return found


def added(parts):
    """The sums of several banks or days."""
    return {key: sum((part[key] for part in parts), start=type(parts[0][key])()) for key in parts[0]}


def ratio(part, whole):
    return float(Fraction(part, whole)) if whole else None


def ratios(sums, shares):
    """The indicators that are ratios; `shares` are the values whose concentration is asked."""
    settled, total = sums["settled"], sum(shares.values())

    def reached(percent):
        upto = [tick for tick in sorted(sums["by_tick"]) if 100 * _until(sums, tick) >= percent * settled]
        return upto[0] if settled else None

    return {
        "place": ratio(sums["used"] - sums["lower_bound"], sums["upper_bound"] - sums["lower_bound"]),
        "delay_indicator": ratio(sums["delay"], sums["longest"]),
        "value_weighted_delay_ticks": ratio(sums["waited"], settled),
        "throughput_30_tick": reached(30),
        "throughput_50_tick": reached(50),
        "throughput_80_tick": reached(80),
        "turnover": ratio(settled, sums["used"]),
        "share_by_route": {name: ratio(sums["routes"][name], settled) for name in ROUTES.values()},
        "herfindahl": ratio(sum(value**2 for value in shares.values()), total**2),
    }


def _until(sums, tick):
    return sum(cents for each, cents in sums["by_tick"].items() if each <= tick)
