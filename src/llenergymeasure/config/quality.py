"""The `quality` section: questions whose answers are scored, and scores of another tool that are kept beside them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from llenergymeasure.config.section import Name, Section

Match = Literal["exact", "regex", "number"]


class QualityConfig(Section):
    """The quality that a result has beside its joules: the measured answers to a `task`, or results of `lm_eval`."""

    task: Name | None = Field(
        None,
        description='A .jsonl file whose lines are {"prompt": ..., "answer": ..., "match": ...}: its questions are the '
        "prompts of the run, each asked once, and the answers of the measured run are scored.",
    )
    match: Match = Field(
        "exact",
        description="For lines that name none. exact: the answer is this text, but for blanks around it; number: its "
        "last number is this one; regex: this pattern is found in it.",
    )
    keep_answers: Annotated[bool, Field(strict=True)] = Field(
        False, description="Keep the text of each answer in the result, up to 4,000 characters of it."
    )
    lm_eval: Name | None = Field(
        None, description="A results_*.json of lm_eval (lm-evaluation-harness), whose metrics are kept as given."
    )

    @property
    def without_effect(self) -> dict[str, str]:
        """Without a task nothing is scored."""
        return {} if self.task is not None else dict.fromkeys(("match", "keep_answers"), "without quality.task")

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.task is None and self.lm_eval is None:
            raise ValueError("names neither task nor lm_eval: name one, or remove it")
        return self
