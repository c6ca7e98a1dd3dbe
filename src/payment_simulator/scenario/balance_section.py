"""The section `balances` of a scenario: what its banks have, from a file, or as a share of what their payments need."""

from typing import Any, Self

from pydantic import Field, model_validator

from payment_simulator.scenario.numbers import Rate
from payment_simulator.scenario.payment_files.sections import TextFile


class Balances(TextFile):
    """Funds of banks: a row of a file for each, the level of liquidity that their payments need, or both."""

    file: str | None = Field(
        None,
        description="CSV or Parquet, relative to the scenario's file: a column `id`, others named as a bank's keys, "
        "and `date` and `time` where rows hold from then on. Money is in the unit that payments.amounts says.",
        examples=["balances.csv"],
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="The file's own name of a column, by ours, where they are not the usual ones.",
        examples=[{"id": "bic", "unsecured_cap": "credit_line"}],
    )
    level: Rate | None = Field(
        None,
        description="Share. Opening balance of each bank: the lower bound of the liquidity that its payments need, and "
        "this share of what the upper bound is more.",
        examples=[0.5],
    )

    @model_validator(mode="before")
    @classmethod
    def _file_alone(cls, data: Any) -> Any:
        return {"file": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.file is None and self.level is None:
            raise ValueError("file: give a file, or a level")
        if self.columns and self.file is None:
            raise ValueError("columns: are those of a file, and none is given")
        return self
