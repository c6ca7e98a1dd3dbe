"""A line of a task: a prompt as in any dataset, with the answer to it and the rule by which answers are judged."""

import hashlib
from collections.abc import Sequence
from typing import Any, get_args

from labledger.json_text import dump_json
from llenergymeasure.config.quality import Match
from llenergymeasure.domain.quality import Question
from llenergymeasure.domain.requests import Prompt
from llenergymeasure.metrics.quality import number_of

MOST_CHARACTERS = {"exact": 100_000, "number": 1_000, "regex": 1_000}
"""Characters of an answer in a task, by its rule."""


def parse_question(value: Any, default: Match, line: int) -> Question:
    """Return the question of a line's JSON, an object with `answer` and, unless it is to be `default`, `match`.

    Raises:
        ValueError: there is no answer, or none that the rule can be used with. A pattern is not looked at.
    """
    given = value if isinstance(value, dict) else {}
    if "answer" not in given:
        raise ValueError('no answer; write {"prompt": "...", "answer": "..."}')
    answer, match = given["answer"], given.get("match", default)
    if match not in get_args(Match):
        raise ValueError(f"match: {str(match)[:40]!r} is not known; one of {', '.join(get_args(Match))}")
    if match == "number" and isinstance(answer, int | float) and not isinstance(answer, bool):
        answer = str(answer)
    if not isinstance(answer, str):
        raise ValueError(f"answer: expected a text in quotes{'' if match == 'number' else ', or match: number'}")
    if not answer.strip():
        raise ValueError("answer: is empty")
    if len(answer) > (most := MOST_CHARACTERS[match]):
        raise ValueError(f"answer: has {len(answer):,} characters, and with match: {match} at most {most:,} are taken")
    if match == "number" and number_of(answer) is None:
        raise ValueError(f"answer: {answer[:40]!r} is not a number such as 12, -0.5 or 1,234")
    return Question(answer, match, line)


def digest_of(prompts: Sequence[Prompt], questions: Sequence[Question]) -> str:
    """Return the SHA-256 of questions with their answers and rules, in their order."""
    found = hashlib.sha256()
    for prompt, question in zip(prompts, questions, strict=True):
        text = prompt if isinstance(prompt, str) else [[each.role, each.content] for each in prompt]
        found.update(dump_json([text, question.answer, question.match], indent=None).encode() + b"\n")
    return found.hexdigest()
