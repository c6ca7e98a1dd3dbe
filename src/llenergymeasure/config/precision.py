"""The precisions of a model's weights, and torch's name of each."""

from typing import Literal

Precision = Literal["fp32", "fp16", "bf16"]

DTYPES: dict[Precision, str] = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
