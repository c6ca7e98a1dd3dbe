"""The patterns of a task, compiled and searched in a child process with limits.

A pattern is a stranger's, and may take for ever on an answer, as `(a+)+b` on a row of `a`.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from labledger.untrusted_text import reason_of
from llenergymeasure.backends.limited_process import LimitedProcess, LimitError
from llenergymeasure.domain.quality import Question

TIME_S = 2.0
"""The time that one pattern may take, of processor and in all; a search takes microseconds."""
MOST_SLOW = 5
"""Answers on which a pattern may take longer; the patterns of all later ones are not tried."""
MEMORY_BYTES = 1 << 28
"""The memory that patterns may take beyond what the process has."""


def pattern_problems(task: str, questions: Sequence[Question]) -> Iterator[str]:
    """Yield a line, `file:line`, for each pattern of a task that is none."""
    patterns = {each.answer: each.line for each in reversed(questions) if each.match == "regex"}
    with LimitedProcess(_searched, memory_bytes=MEMORY_BYTES) as process:
        for pattern, line in sorted(patterns.items(), key=lambda each: each[1]):
            place = f"{task}:{line}: answer: not a pattern that can be used"
            try:
                problem = process.ask([pattern, None], time_s=TIME_S).get("problem")
            except LimitError as error:
                yield f"{place}: {error}"
                return  # others of its kind would take as long
            if problem is not None:
                yield f"{place}: {problem}"


class Patterns:
    """Patterns, searched in a `process` that stands until it takes too long, and then once more."""

    def __init__(self) -> None:
        self.process = LimitedProcess(_searched, memory_bytes=MEMORY_BYTES)
        self._slow = 0

    def found_in(self, pattern: str, answer: str) -> bool | None:
        """Return True if an answer has the pattern; None where that takes too long."""
        if self._slow >= MOST_SLOW:
            return None
        try:
            return bool(self.process.ask([pattern, answer], time_s=TIME_S).get("found"))
        except (LimitError, OSError):  # or there is no room for a process
            self._slow += 1
            return None


def _searched(question: Any) -> dict[str, Any]:
    """Return if a text has a pattern, or why that is none. Runs in the child."""
    pattern, text = question
    try:
        compiled = re.compile(pattern)
        return {"found": text is not None and compiled.search(text) is not None}
    except MemoryError:
        raise
    except Exception as error:  # an answer that is raised here would be sought once more, without limits
        return {"problem": reason_of(error)}
