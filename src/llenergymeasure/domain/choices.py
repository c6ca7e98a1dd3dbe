"""The closed sets of values that fields of a result take."""

from typing import Literal

MeasurementMethodology = Literal["total", "steady_state", "windowed"]
Verdict = Literal["valid", "invalid", "not_measured"]
TokenCountSource = Literal["server", "tokenizer", "chunks"]
DeviceKind = Literal["gpu", "cpu", "dram"]
SensorShape = Literal["boxcar", "low_pass"]
SensorModelSource = Literal["table", "measured", "assumed"]
