"""Boards that a killed run has left set: the next command puts them back, and says so.

Every command looks, so this imports nothing heavy until there is something to put back.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llenergymeasure.run.boards.control import BoardControl
    from llenergymeasure.run.boards.records import BoardRecord, HeldBoard

MOST_RECORDS = 256
"""More boards than any machine has."""


def restore_left_boards() -> None:
    """Put back what killed runs have left set on this machine's boards, and tell the user; never what a living one
    holds. What cannot be put back is told, and kept for the next command."""
    from llenergymeasure.config.own_folders import state_path

    folder = state_path() / "boards"
    try:
        os.lstat(folder)
        names = sorted(os.listdir(folder))[:MOST_RECORDS]
    except OSError:
        return
    from labledger.files import uninterrupted
    from labledger.notices import notify

    with uninterrupted():
        for name in names:
            if name.endswith(".json") and not name.startswith(".") and (said := _restore(name.removesuffix(".json"))):
                notify(said)


def put_back_left(held: "HeldBoard", control: "BoardControl") -> None:
    """Put back what a killed run has left set on a board that is now held, before it is set anew.

    Raises:
        DriverError: the driver refuses; the record stays.
    """
    from labledger.notices import notify

    left = held.left()
    if left is not None and left.is_of_this_boot:
        notify(_told(left, put_back(control, left)))
    if left is not None:
        held.remove()


def put_back(control: "BoardControl", record: "BoardRecord") -> str | None:
    """Put a board's settings back; return what was left as it is, None where nothing was.

    A limit that somebody else has set since is left.

    Raises:
        DriverError: the driver refuses.
    """
    from llenergymeasure.run.boards.control import LIMIT_STEP_W

    said, before_mw, now_mw = None, record.limit_before_mw, control.limit_mw()
    if before_mw is not None and record.limit_set_mw is not None and now_mw is not None and now_mw != before_mw:
        if abs(now_mw - record.limit_set_mw) <= LIMIT_STEP_W * 1e3:
            control.set_limit_mw(before_mw)
        else:
            said = f"its power limit, {now_mw / 1e3:g} W, was set by somebody else meanwhile, and stays"
    if record.locks_clock:
        control.unlock_clock()
    return said


def _restore(stem: str) -> str | None:
    """Put back what the record with this name tells; return what to tell the user."""
    from llenergymeasure.run.boards.control import BoardControl, DriverError, opened_nvml
    from llenergymeasure.run.boards.records import BoardInUseError, HeldBoard

    try:
        held = HeldBoard(stem)
    except BoardInUseError:
        return None
    except OSError as error:
        return f"{error.filename}: {error.strerror}: a board that a killed run has set is not put back"
    with held:
        record = held.left()
        if record is None:
            held.remove()
            return None
        if record.is_of_another_machine:
            return None
        if not record.is_of_this_boot:
            held.remove()
            return None
        try:
            with opened_nvml() as nvml:
                said = put_back(BoardControl(nvml, record.uuid), record)
        except DriverError as error:
            return _not_put_back(record, error)
        held.remove()
        return _told(record, said)


def _told(record: "BoardRecord", said: str | None) -> str:
    which = f"{record.name} ({record.uuid}): a run that was killed, process {record.pid}, had left it set"
    if said is not None:
        return f"{which}; {said}" + ("; its clock is unlocked" if record.locks_clock else "")
    is_back = []
    if record.limit_before_mw is not None:
        is_back.append(f"its power limit is {record.limit_before_mw / 1e3:g} W again")
    if record.locks_clock:
        is_back.append("its clock is unlocked")
    return f"{which}; {' and '.join(is_back)}"


def _not_put_back(record: "BoardRecord", error: Exception) -> str:
    by_hand = [] if record.limit_before_mw is None else [f"-pl {record.limit_before_mw / 1e3:g}"]
    by_hand += ["-rgc"] if record.locks_clock else []
    commands = " and ".join(f"sudo nvidia-smi -i {record.uuid} {each}" for each in by_hand)
    return (
        f"{record.name} ({record.uuid}): a run that was killed, process {record.pid}, has left it set, and it cannot "
        f"be put back now ({error}); run llem as root, or {commands}"
    )
