"""A fitted scenario as a YAML file, and its amounts beside it."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from labledger.counts import counted
from labledger.files import uninterrupted, write_durably
from labledger.parquet_files import parquet_bytes
from labledger.untrusted_text import clean
from payment_simulator.calibration.fitting import Fit, kept_amounts

if TYPE_CHECKING:
    import pyarrow

MAX_NAMES = 300
"""Characters of the names of files in a comment."""


def write_scenario(
    fit: Fit, seed: int, sources: Sequence[str], path: Path, amounts: Path, times: str = ""
) -> list[Path]:
    """Write the scenario, and its observed amounts to `amounts` if it has some; return the files, the scenario last.

    `times` are those of its ticks, in words, for its reader: without a file of payments it has no clock.

    Raises:
        OSError: one could not be written; what stood there is unharmed.
    """
    from ruamel.yaml import YAML

    table = _amounts(fit)
    document = fit.scenario(amounts.name)
    document["simulation"]["rng_seed"] = seed
    yaml = YAML()
    yaml.width = 100_000
    yaml.default_flow_style = None
    text = io.StringIO()
    names = clean(", ".join(Path(each).name for each in sources), MAX_NAMES)
    text.write(f"# Fitted to {counted(fit.days, 'day')} of payments: {names}\n")
    text.write(f"# {times}\n" if times else "")
    yaml.dump(document, text)
    content = {amounts: parquet_bytes(table)} if table is not None else {}
    content[path] = text.getvalue().encode()
    with uninterrupted():  # the scenario is of these amounts, and of no others
        for file, each in content.items():
            write_durably(file, each)
    return [*content]


def _amounts(fit: Fit) -> "pyarrow.Table | None":
    """Return the amounts of banks whose distribution is empirical: sender, and amount in cents."""
    import pyarrow as pa

    empirical = [each for each in fit.banks if each.arrival_config["amount_distribution"]["type"] == "Empirical"]
    if not empirical:
        return None
    kept = [kept_amounts(each.observed) for each in empirical]
    senders = np.repeat([each.bank for each in empirical], [len(each) for each in kept])
    return pa.table({"sender": pa.array(senders), "amount": pa.array(np.concatenate(kept).astype(np.int64))})
