"""A stand-in for NVIDIA's library where there is no GPU: it plays what the JSON at $NVML_STANDIN recorded.

`{"began_s": …, "boards": [{"uuid", "name", "limit_w", "rows": [[seconds, joules, watts, degrees], …], …}]}`: at a
moment the last row before it holds, counted from `began_s` on CLOCK_MONOTONIC. Further keys of a board: `processes`
and `throttle` ([[from, to, pid or bits], …]), `memory` ([[from, to, bytes], …], beside a gigabyte),
`process_memory` ({pid: bytes}), `lost`
([[from, to], …]: the counter cannot be read), `gone` (no sensor can), `hangs` (a read then takes until the end),
`no_counter`, `no_instant`, `architecture` (as AMPERE; HOPPER), `powers` ({"instant", "average" or "draw": [[seconds,
watts], ...]}: the fields of power that it has, in place of the rows' watts). `driver` stands beside `boards` (580.00).
What is set holds for every process, in the file at $NVML_STANDIN with `.set` after its name: `power_limits_w` ([least,
most]), `clocks_mhz` (ascending; without one of both it cannot be set), `not_permitted` (to nobody), `rounds_to_mhz` and
`rounds_to_w` (what is set), `ignores` (it is not heeded), `lost_handle` (the board is gone), `mig`.
Constants and errors are those of the real module, which this one stands before.
"""

import bisect
import importlib.machinery
import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

_own = Path(__file__).parent
_found = importlib.machinery.PathFinder.find_spec("pynvml", [p for p in sys.path if Path(p).resolve() != _own])
_spec = importlib.util.spec_from_file_location("nvidia_pynvml", _found.origin)
_real = sys.modules["nvidia_pynvml"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_real)
NVMLError = _real.NVMLError


def nvmlInit():  # noqa: N802
    if "NVML_STANDIN" not in os.environ:
        raise NVMLError(_real.NVML_ERROR_LIBRARY_NOT_FOUND)
    with open(os.environ["NVML_STANDIN"], encoding="utf-8") as file:
        _recorded.update(json.load(file))


def nvmlShutdown():  # noqa: N802
    pass


def nvmlDeviceGetCount():  # noqa: N802
    return len(_recorded["boards"])


def nvmlDeviceGetHandleByIndex(index):  # noqa: N802
    return _recorded["boards"][index]


def nvmlDeviceGetHandleByUUID(uuid):  # noqa: N802
    for board in _recorded["boards"]:
        if board["uuid"] == uuid and not board.get("lost_handle"):
            return board
    raise NVMLError(_real.NVML_ERROR_NOT_FOUND)


def nvmlDeviceGetUUID(board):  # noqa: N802
    return board["uuid"]


def nvmlDeviceGetName(board):  # noqa: N802
    return board["name"]


def nvmlDeviceGetMemoryInfo(board):  # noqa: N802
    used = 1_000_000_000 + sum(_holding(board, "memory"))
    return SimpleNamespace(total=150_000_000_000, used=used, free=150_000_000_000 - used)


def nvmlDeviceGetUtilizationRates(board):  # noqa: N802
    return SimpleNamespace(gpu=100, memory=50)


def nvmlDeviceGetArchitecture(board):  # noqa: N802
    return getattr(_real, "NVML_DEVICE_ARCH_" + board.get("architecture", "HOPPER"))


def nvmlDeviceGetEnforcedPowerLimit(board):  # noqa: N802
    if board.get("limit_w") is None:
        raise NVMLError(_real.NVML_ERROR_NOT_SUPPORTED)
    return int(_set_values(board).get("limit_mw", board["limit_w"] * 1e3))


nvmlDeviceGetPowerManagementLimit = nvmlDeviceGetEnforcedPowerLimit  # noqa: N816


def nvmlDeviceGetPowerManagementLimitConstraints(board):  # noqa: N802
    return [int(watts * 1e3) for watts in _supported(board, "power_limits_w")]


def nvmlDeviceSetPowerManagementLimit(board, milliwatts):  # noqa: N802
    least, most = nvmlDeviceGetPowerManagementLimitConstraints(board)
    if not least <= milliwatts <= most:
        raise NVMLError(_real.NVML_ERROR_INVALID_ARGUMENT)
    _set(board, "limit_mw", _rounded(milliwatts, board.get("rounds_to_w", 0) * 1000))


def nvmlDeviceGetSupportedMemoryClocks(board):  # noqa: N802
    _supported(board, "clocks_mhz")
    return [2619, 1593]


def nvmlDeviceGetSupportedGraphicsClocks(board, memory_mhz):  # noqa: N802
    return _supported(board, "clocks_mhz")[::-1]


def nvmlDeviceGetClockInfo(board, kind):  # noqa: N802
    return _set_values(board).get("clock_mhz", _supported(board, "clocks_mhz")[0])


def nvmlDeviceSetGpuLockedClocks(board, least_mhz, most_mhz):  # noqa: N802
    _supported(board, "clocks_mhz")
    _set(board, "clock_mhz", _rounded(most_mhz, board.get("rounds_to_mhz", 0)))


def nvmlDeviceResetGpuLockedClocks(board):  # noqa: N802
    _supported(board, "clocks_mhz")
    _set(board, "clock_mhz", None)


def nvmlDeviceGetMigMode(board):  # noqa: N802
    return [_supported(board, "mig")] * 2


def nvmlDeviceGetTotalEnergyConsumption(board):  # noqa: N802
    if board.get("no_counter") or _holding(board, "lost"):
        raise NVMLError(_real.NVML_ERROR_NOT_SUPPORTED)
    return round(_row(board)[1] * 1e3)


def nvmlDeviceGetFieldValues(board, fields):  # noqa: N802
    return [_field(board, field[0] if isinstance(field, tuple | list) else field) for field in fields]


def _field(board, field):
    names = {_real.NVML_FI_DEV_POWER_INSTANT: "instant", _real.NVML_FI_DEV_POWER_AVERAGE: "average"}
    watts = _watts(board, names.get(field))
    if watts is None:
        return SimpleNamespace(nvmlReturn=_real.NVML_ERROR_NOT_SUPPORTED, value=SimpleNamespace(uiVal=0))
    return SimpleNamespace(nvmlReturn=0, value=SimpleNamespace(uiVal=round(watts * 1e3)))


def nvmlDeviceGetPowerUsage(board):  # noqa: N802
    watts = _watts(board, "draw")
    if watts is None:
        raise NVMLError(_real.NVML_ERROR_NOT_SUPPORTED)
    return round(watts * 1e3)


def _watts(board, field):
    """The watts in a field now; None where the board has no such field."""
    row = _row(board)
    if "powers" in board:
        rows = board["powers"].get(field)
        return rows and _last(rows)[1]
    has = field == "draw" or (field == "instant" and not board.get("no_instant"))
    return row[2] if has else None


def nvmlDeviceGetTemperature(board, sensor):  # noqa: N802
    return round(_row(board)[3])


def nvmlDeviceGetCurrentClocksEventReasons(board):  # noqa: N802
    return sum(_holding(board, "throttle"))


def nvmlDeviceGetComputeRunningProcesses(board):  # noqa: N802
    used = board.get("process_memory", {})
    return [SimpleNamespace(pid=pid, usedGpuMemory=used.get(str(pid))) for pid in _holding(board, "processes")]


def nvmlSystemGetDriverVersion():  # noqa: N802
    return _recorded.get("driver", "580.00")


def nvmlSystemGetCudaDriverVersion_v2():  # noqa: N802
    return 13000


_recorded = {}


def _now_s():
    return time.monotonic() - _recorded["began_s"]


def _row(board):
    if _holding(board, "gone"):
        raise NVMLError(_real.NVML_ERROR_GPU_IS_LOST)
    for _, end_s in _hanging(board):  # the driver is busy: whoever asks has to wait
        time.sleep(max(end_s - _now_s(), 0))
    return _last(board["rows"])


def _last(rows):
    return rows[max(bisect.bisect_right(rows, [_now_s()]) - 1, 0)]


def _hanging(board):
    now_s = _now_s()
    return [span for span in board.get("hangs", []) if span[0] <= now_s < span[1]]


def _holding(board, what):
    now_s = _now_s()
    return [rest[0] if rest else True for start_s, end_s, *rest in board.get(what, []) if start_s <= now_s < end_s]


def _supported(board, what):
    if what not in board:
        raise NVMLError(_real.NVML_ERROR_NOT_SUPPORTED)
    return board[what]


def _rounded(value, step):
    return round(value / step) * step if step else value


def _file_of_set_values():
    return Path(os.environ["NVML_STANDIN"] + ".set")


def _set_values(board):
    file = _file_of_set_values()
    return json.loads(file.read_text()).get(board["uuid"], {}) if file.exists() else {}


def _set(board, what, value):
    if board.get("not_permitted"):
        raise NVMLError(_real.NVML_ERROR_NO_PERMISSION)
    if board.get("ignores"):
        return
    file = _file_of_set_values()
    values = json.loads(file.read_text()) if file.exists() else {}
    own = values.setdefault(board["uuid"], {})
    own |= {what: value} if value is not None else {}
    if value is None:
        own.pop(what, None)
    own.setdefault("history", []).append([what, value])
    written = file.with_name(f"{file.name}.{os.getpid()}")
    written.write_text(json.dumps(values))
    written.replace(file)


def _not_supported(*arguments):
    raise NVMLError(_real.NVML_ERROR_NOT_SUPPORTED)


def __getattr__(name):
    return _not_supported if name.startswith("nvml") else getattr(_real, name)
