"""The section `payments` of a scenario: a file of payments, and how it is read."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from labledger.sections import Section
from payment_simulator.scenario.numbers import Positive, Priority
from payment_simulator.scenario.payment_files.currencies import decimals_of

Skippable = Literal["outside_day", "unknown_bank", "self", "zero", "past_deadline"]
"""Rows that are counted and left out when they are named under `skip`, and refused otherwise."""


class PaymentColumns(Section):
    """The file's own names of columns, where they are not the usual ones; an empty name: the file has none."""

    time: str | None = Field(None, description="When it was submitted.", examples=["entered_at"])
    date: str | None = Field(None, description="The day of a time of day.", examples=["business_date"])
    sender: str | None = Field(None, description="The bank that pays.", examples=["debtor_bic"])
    receiver: str | None = Field(None, description="The bank that is paid.", examples=["creditor_bic"])
    amount: str | None = Field(None, description="How much.", examples=["amount"])
    priority: str | None = Field(None, description="Its priority.", examples=["prio"])
    deadline: str | None = Field(None, description="When it is overdue.", examples=["due"])
    divisible: str | None = Field(None, description="Policies may split it.", examples=["divisible"])
    settled: str | None = Field(
        None, description="When it settled in reality; kept, and compared with the simulation.", examples=["settled_at"]
    )
    currency: str | None = Field(None, description="Its currency, which is one.", examples=["ccy"])
    id: str | None = Field(None, description="The payment's name; default: its place in the file.", examples=["uetr"])


class Clock(Section):
    """Times of day as ticks: from `open` to `close`, in steps of `tick` or so many `ticks`."""

    open: str = Field(description="HH:MM or HH:MM:SS, in quotes.", examples=["07:00"])
    close: str = Field(description="HH:MM or HH:MM:SS, in quotes; the day's last tick ends there.", examples=["18:00"])
    tick: str | None = Field(None, description="Length of a tick, as in 60s or 5m.", examples=["60s"])
    ticks: Positive | None = Field(None, description="Ticks. Of a day, in place of their length.", examples=[660])
    before_open: Literal["first_tick", "refuse"] = Field(
        "refuse", description="Earlier payments: in the first tick, or refused."
    )
    timezone: str | None = Field(
        None, description="IANA name; times that name another are converted to it.", examples=["Europe/Berlin"]
    )

    @field_validator("tick", mode="before")
    @classmethod
    def _has_a_unit(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            raise ValueError(f"{value} has no unit; write {value}s, or ticks: {value} for so many in a day")
        return value

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if (self.tick is None) == (self.ticks is None):
            raise ValueError("tick: give its length (tick: 60s) or the number of ticks (ticks: 660), one of them")
        return self


def _kind_of_priorities(value: Any) -> str:
    return "t2" if isinstance(value, str) else "words"


Priorities = Annotated[
    Annotated[Literal["t2"], Tag("t2")] | Annotated[dict[str | int, Priority], Tag("words")],
    Discriminator(_kind_of_priorities),
]


class TextFile(Section):
    """The form of a file of text."""

    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = Field(
        None, description="The sign between columns; default: guessed.", examples=[";"]
    )
    decimal: Literal[".", ","] | None = Field(
        None, description="The sign before cents; default: guessed.", examples=[","]
    )
    encoding: str | None = Field(None, description="Default: UTF-8, else latin-1.", examples=["latin-1"])

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        try:
            "a".encode(value or "utf-8")
        except (LookupError, ValueError):  # also of a codec that is none of texts, as rot13
            raise ValueError(f"{value!r} is no encoding that is known; as utf-8, latin-1, cp1252, utf-16") from None
        return value

    @field_validator("separator")
    @classmethod
    def _parts_cells(cls, value: str | None) -> str | None:
        if value is not None and (value in '"\r\n\0' or ord(value) > 127):
            raise ValueError(f"{value!r} cannot part columns")
        return value


class Payments(TextFile):
    """A file of payments, or several: their rows are what banks pay each other, beside or in place of draws."""

    file: str | Annotated[list[str], Field(min_length=1)] = Field(
        description="CSV, Parquet or ISO 20022 XML; a folder or a glob of them; relative to the scenario's file.",
        examples=["day.csv"],
    )
    columns: PaymentColumns = Field(default_factory=PaymentColumns, description="The file's own names of columns.")
    amounts: Literal["currency", "cents"] = Field("currency", description="The unit of its amounts.")
    currency: str | None = Field(
        None, description="ISO 4217 code, whose decimals hold; default: 2 decimals.", examples=["EUR"]
    )
    priorities: Priorities | None = Field(
        None, description="Priorities. Of the file's words for them, or t2.", examples=[{"HIGH": 9, "NORM": 5}]
    )
    clock: Clock | None = Field(
        None, description="Times of day as ticks; default: times are whole numbers, ticks of the run."
    )
    filter: str | None = Field(
        None, description="SQL over the file's own columns: rows that are read.", examples=["currency = 'EUR'"]
    )
    reversals: Literal["skip", "swap"] | None = Field(
        None, description="Negative amounts: left out, or the other way; default: refused.", examples=["skip"]
    )
    skip: list[Skippable] = Field(
        default_factory=list, description="Rows that are left out and counted; others are refused.", examples=[["self"]]
    )
    bic: Literal[8] | None = Field(None, description="8: the branches (BIC11) of a bank are one.", examples=[8])
    time_format: str | None = Field(
        None, description="Of times, as strptime has it; default: the usual ones.", examples=["%d/%m/%Y %H:%M:%S"]
    )

    @field_validator("currency")
    @classmethod
    def _known_currency(cls, value: str | None) -> str | None:
        if value is not None and decimals_of(value) is None:
            raise ValueError(f"{value!r} is no code of ISO 4217, as EUR; or say amounts: cents")
        return value
