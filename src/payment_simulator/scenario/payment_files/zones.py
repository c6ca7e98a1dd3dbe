"""Clocks of time zones: what they show at an instant, and the hours that they skip or show twice."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from payment_simulator.scenario.payment_files.time_messages import no_zone

if TYPE_CHECKING:
    import pyarrow

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


def shown_at(instants: Ints, zone: str) -> Ints:
    """Return what the clocks of a zone show at instants; all in microseconds since 1970.

    Raises:
        PaymentsKeyError: the zone is not known.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        local = pc.local_timestamp(pa.array(instants, pa.int64()).cast(pa.timestamp("us", zone)))
    except (pa.ArrowException, ValueError) as error:
        raise no_zone(zone, error) from error
    return _numbers(local)


def instants_of(local: Ints, zone: str) -> Ints:
    """Return the first instants at which the clocks of a zone show times; of one that they skip, that of the change.

    Raises as `shown_at`.
    """
    return _instants(local, zone, "earliest")


def about_changes(local: Ints, zone: str | None) -> list[str]:
    """Return remarks on times without an offset that the clocks of a zone show never or twice."""
    if zone is None or not len(local):
        return []
    early, late = (_instants(local, zone, which) for which in ("earliest", "latest"))
    odd = early != late
    never = odd & (shown_at(early, zone) != local)
    found = []
    if number := int(never.sum()):
        found.append(f"times that the clocks of {zone} skip, going forward: {number:,}, taken as they stand")
    if number := int((odd & ~never).sum()):
        found.append(f"times that the clocks of {zone} show twice, going back: {number:,}, taken as they stand")
    return found


def about_second(second: Mask, zone: str) -> list[str]:
    """Return a remark on instants at which the clocks of a zone show a time again."""
    number = int(second.sum())
    ticks = "in the ticks of the first, and there in the order in which they came"
    return [f"times that the clocks of {zone} show for the second time, going back: {number:,}, {ticks}"]


def _instants(local: Ints, zone: str, which: str) -> Ints:
    import pyarrow as pa
    import pyarrow.compute as pc

    naive = pa.array(local, pa.int64()).cast(pa.timestamp("us"))
    try:
        return _numbers(pc.assume_timezone(naive, zone, ambiguous=which, nonexistent=which))
    except (pa.ArrowException, ValueError) as error:
        raise no_zone(zone, error) from error


def _numbers(times: "pyarrow.Array") -> Ints:
    import pyarrow as pa

    found: Ints = times.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return found
