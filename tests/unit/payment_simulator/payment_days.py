"""Files of payments for tests: written, and read as a scenario reads them."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from labledger.errors import ConfigError
from payment_simulator.scenario.payment_files.building import read_payments
from payment_simulator.scenario.payment_files.run import Run
from payment_simulator.scenario.payment_files.sections import Payments

CLOCK = {"open": "07:00", "close": "18:00", "tick": "60s"}
HEADER = "time,sender,receiver,amount\n"


def read(folder, content=None, name="day.csv", *, run=Run(), **section):  # noqa: B008 - frozen
    """The payments in a file of `folder`, which gets this content; times are ticks unless `clock` is given."""
    if content is not None:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_payments(Payments.model_validate({"file": name, **section}), folder, run)


def problem(folder, content=None, name="day.csv", **further):
    """What is said of a file that is refused, without the folder's name."""
    try:
        found = read(folder, content, name, **further)
    except ConfigError as error:
        return str(error).replace(f"{folder}/", "")
    raise AssertionError(f"read: {found}")


def rows(*amounts, times=None):
    """A CSV in which A pays B these amounts, as written, at tick 1 or at these times."""
    times = times or ["1"] * len(amounts)
    return HEADER + "".join(f"{time},A,B,{amount}\n" for time, amount in zip(times, amounts, strict=True))


def day_table(seed=1, payments=200, banks=5):
    """A seeded day as a table: log-normal amounts in cents, times in seconds of one day, in order."""
    rng = np.random.default_rng(seed)
    sender = rng.integers(0, banks, payments)
    receiver = (sender + rng.integers(1, banks, payments)) % banks
    names = np.array([f"BANK{number:03d}" for number in range(banks)])
    seconds = np.sort(rng.integers(7 * 3600, 18 * 3600, payments))
    return pa.table(
        {
            "time": pa.array(np.datetime64("2026-03-02", "s") + seconds).cast(pa.timestamp("us")),
            "sender": names[sender],
            "receiver": names[receiver],
            "amount": np.maximum(np.rint(rng.lognormal(13, 1.8, payments)), 1).astype(np.int64),
        }
    )


def csv_of(table, separator=",", decimal=".", groups=""):
    """A day's table as CSV text, amounts with two decimals; a cell with the separator in it stands in quotes."""
    lines = [separator.join(table.column_names)]
    for row in table.to_pylist():
        whole, cents = divmod(row["amount"], 100)
        amount = f"{whole:,}".replace(",", groups) + f"{decimal}{cents:02}"
        cells = (row["time"].isoformat(" "), row["sender"], row["receiver"], amount)
        lines.append(separator.join(f'"{cell}"' if separator in cell else cell for cell in cells))
    return "\n".join(lines) + "\n"


def write_scenario(folder: Path, text: str) -> Path:
    """The path of a scenario with this text."""
    path = folder / "s.yaml"
    path.write_text(text)
    return path
