"""The picture of a kept day, as that of a run, from its tables."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from payment_simulator.plotting.run import Curves, draw_curves

if TYPE_CHECKING:
    from payment_simulator.days.loading import Day


def draw_day(day: "Day", path: Path) -> None:
    """Draw a day to a .png or .svg file: balances, queues and cumulative costs.

    Raises:
        UnreadableFileError: its tables are not those of a day.
        OSError: it could not be written; what stood there is unharmed.
    """
    scenario, banks = day.scenario, day.scenario.agent_ids
    settled = day.stored("payments").values("settled", missing=-1)
    curves = Curves(
        banks=banks,
        balances=day.by_tick("balances", "balance", banks).T,
        at_banks=day.by_tick("balances", "queue1_payments", banks).sum(axis=1),
        central=day.by_tick("balances", "queue2_payments", banks).sum(axis=1),
        costs=day.by_tick("costs", "amount", banks).cumsum(axis=0).T,
        arrived=len(settled),
        settled=int(np.count_nonzero(settled >= 0)),
    )
    draw_curves(curves, scenario, Path(day.record.name or day.folder.name).stem, path)
