"""What to write in place of times, formats and zones that are not known."""

import re

from labledger.untrusted_text import clean, reason_of
from payment_simulator.scenario.payment_files.problems import PaymentsKeyError

SHORT_YEAR = re.compile(r'"\d{1,2}([-/.])\d{1,2}[-/.]\d\d(?: \d{1,2}:\d\d(:\d\d)?)?"')
LETTERS = (
    ("HH:MM", "%H:%M"),
    ("YYYY", "%Y"),
    ("YY", "%y"),
    ("MM", "%m"),
    ("DD", "%d"),
    ("SS", "%S"),
)


def no_time(cell: str) -> str:
    """Return the message on a cell that is no time, as it is shown; a year of two digits needs a format."""
    found = SHORT_YEAR.fullmatch(cell)
    form = "" if found is None else found[1].join(("%d", "%m", "%y"))
    if found is not None and ":" in cell:
        form += " %H:%M:%S" if found[2] else " %H:%M"
    return f"{cell}: is no time that is known; say time_format" + (f': "{form}"' if form else "")


def with_percents(pattern: str) -> str:
    """Return a format in letters, as DD.MM.YYYY hh:mm, as `strptime` has it."""
    found = pattern
    for letters, directive in LETTERS:
        found = re.sub(f"(?<!%){letters}", directive, found, flags=re.IGNORECASE)
    return found


def no_zone(zone: str, error: Exception) -> PaymentsKeyError:
    """Return the error of a time zone that is not known, with that of the city where it is one."""
    import zoneinfo

    known = [each for each in zoneinfo.available_timezones() if each.lower().split("/")[-1] == zone.lower()]
    about = f"no zone that is known; did you mean {min(known)}?" if known else reason_of(error)
    return PaymentsKeyError("clock.timezone", f"{clean(zone, 60)!r}: {about}")
