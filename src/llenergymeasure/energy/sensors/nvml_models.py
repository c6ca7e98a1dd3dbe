"""The power sensors of NVIDIA's boards: how often each publishes a value, and what time that is the mean of.

Measured on 70 boards by *Accurate and Convenient Energy Measurements for GPUs* (SC24, arXiv 2312.02741), by
architecture, field and driver. A field or a driver that it does not have, and an architecture since, is `UNKNOWN`.
"""

import re
from typing import Literal

from llenergymeasure.energy.sensor_model import SensorModel

PowerQuantity = Literal["draw", "average", "instant"]
"""Power by `nvmlDeviceGetPowerUsage` (`power.draw`), and by the fields NVML_FI_DEV_POWER_AVERAGE and _INSTANT."""

UNKNOWN = SensorModel(0.1, 0.025, source="assumed")
"""A sensor that nobody has measured sees a quarter of each period, the least that any was found to; its period is taken
from its values, and is 0.1 s where they do not show it."""

AVERAGE_1S = SensorModel(0.1, 1.0)
FULL_TIME = SensorModel(0.1, 0.1)
QUARTER = SensorModel(0.1, 0.025)
FIFTH = SensorModel(0.1, 0.020)
HALF = SensorModel(0.020, 0.010)
LOW_PASS = SensorModel(0.015, 0.060, shape="low_pass")
"""A K40m's, fitted to the study's recording of one beside a meter: a step is there to 99 % after 0.3 s."""

_Drivers = tuple[SensorModel, SensorModel, SensorModel]
"""Models of the plain field with a driver before 530, of 530, and later."""

# Architecture: the plain field by driver, the average field, the instantaneous one.
_MODELS: dict[str, tuple[_Drivers, SensorModel, SensorModel]] = {
    "Hopper GH100": ((UNKNOWN, UNKNOWN, AVERAGE_1S), AVERAGE_1S, QUARTER),
    "Ada": ((AVERAGE_1S, FULL_TIME, AVERAGE_1S), AVERAGE_1S, FULL_TIME),
    "Ampere GA10x": ((AVERAGE_1S, FULL_TIME, AVERAGE_1S), AVERAGE_1S, FULL_TIME),
    "Ampere GA100": ((QUARTER,) * 3, UNKNOWN, QUARTER),
    "Turing RTX 8000": ((FIFTH,) * 3, UNKNOWN, FIFTH),
    "Turing": ((FULL_TIME,) * 3, UNKNOWN, FULL_TIME),
    "Volta": ((HALF,) * 3, UNKNOWN, HALF),
    "Pascal": ((HALF,) * 3, UNKNOWN, HALF),
    "Maxwell": ((LOW_PASS,) * 3, UNKNOWN, UNKNOWN),
    "Kepler": ((LOW_PASS,) * 3, UNKNOWN, UNKNOWN),
}

# The first that is found in a board's name, as NVML gives it, tells its architecture. Numbers of mobile boards mislead:
# an RTX 2050 and an MX570 are Ampere (GA107), an MX450 and an MX550 Turing (TU117), and an RTX 3050 A is Ada (AD106).
_NAMES = [
    (re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), architecture)
    for pattern, architecture in (
        (r"Blackwell|G?B[1-3]\d\d|RTX 50[5-9]0", None),
        (r"Ada|RTX 40[5-9]0|RTX 3050 A|L4|L20|L40[SG]?", "Ada"),
        (r"H100|H200|H800|H20|GH200", "Hopper GH100"),
        (r"A100[XB]?|A800|A30X?", "Ampere GA100"),
        (r"RTX 30[5-9]0|RTX 2050|MX570|RTX A\d{3,4}|A10[GM]?|A16|A2|A40", "Ampere GA10x"),
        (r"Quadro RTX 8000", "Turing RTX 8000"),
        (r"RTX 20[6-8]0|GTX 16\d\d|MX450|MX550|Quadro RTX \d{4}|Titan RTX|T4G?|T[46]00|T1[02]00", "Turing"),
        (r"V100S?|Titan V|Quadro GV100", "Volta"),
        (r"P100|P40|P6|P4|GTX 10\d\d|Titan Xp|Titan X \(Pascal|Quadro G?P\d{3,4}", "Pascal"),
        (r"GTX 9\d\d|GTX 75\d|GTX 745|GTX Titan X|Tesla M\d{1,2}|Quadro M\d{4}|Quadro K[12]200|Quadro K620", "Maxwell"),
        (r"Tesla K\d\d?[a-z]{0,2}|Quadro K\d{3,4}|GTX [67]\d\d|GTX Titan|GRID K\d{1,3}", "Kepler"),
    )
]


def sensor_model(name: str, field: PowerQuantity, driver: str | None) -> SensorModel:
    """Return the model of a field of a board, by the board's name as NVML gives it and the driver's version.

    Where the version decides and cannot be read, the model is `UNKNOWN`, whose bound is the widest.
    """
    architecture = _architecture(name)
    if architecture is None:
        return UNKNOWN
    plain, average, instant = _MODELS[architecture]
    if field != "draw":
        return average if field == "average" else instant
    major = re.match(r"\s*(\d+)(?:\.|\s*$)", driver or "")
    if major is None:
        return plain[0] if len(set(plain)) == 1 else UNKNOWN
    return plain[(int(major[1]) >= 530) + (int(major[1]) > 530)]


def _architecture(name: str) -> str | None:
    return next((architecture for pattern, architecture in _NAMES if pattern.search(name)), None)
