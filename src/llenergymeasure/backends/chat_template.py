"""A tokenizer's chat template, rendered within limits.

A template is a program that came with the model. Its sandbox keeps it from files and from the network, not from a loop
without end, nor from a text of any length (`{{ 'a' * 10**10 }}`); what a signal could end it there is not heard before
one step of it is done. So it runs in a process with limits, which is not there while anything is measured.
"""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NoReturn, Self

from labledger.untrusted_text import reason_of
from llenergymeasure.backends.limited_process import LimitedProcess, LimitError, can_fork
from llenergymeasure.domain.requests import Message

TIME_S = 10.0
"""The time that one conversation may take, of processor and in all; a template takes milliseconds."""
ALL_S, EACH_S = 60.0, 0.1
"""The time that all conversations may take so far, and what each adds to it."""
MEMORY_BYTES = 1 << 28
"""The memory that templates may take beyond what the process has."""
MOST_ADDED, MOST_TIMES = 1_000_000, 2
"""Characters that a template may write besides its conversation, each of which it may write so many times: escaped."""


class TemplateError(ValueError):
    """A conversation that a template refuses, or does not render within its limits; its message is the reason."""


class ChatTemplate:
    """The chat template of a tokenizer; a context, at whose end the child process ends."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._process = LimitedProcess(self._answer, memory_bytes=MEMORY_BYTES)
        self._problem: str | None = None
        self._rendered_count, self._spent_s = 0, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.__exit__(kind, error, trace)

    def token_ids(self, messages: Sequence[Message]) -> list[int]:
        """Return the conversation as the model was taught to read it, up to where its answer begins.

        The template writes the special tokens itself: the tokenizer adds none.

        Raises:
            TemplateError: the template refuses it, takes over 10 s or 256 MiB, or writes a million characters more
                than twice the conversation; or all so far have taken over 60 s and 0.1 s for each.
        """
        turns = [{"role": each.role, "content": each.content} for each in messages]
        if not self._is_rendered_by_jinja():
            try:
                ids: list[int] = self._tokenizer.apply_chat_template(
                    turns, add_generation_prompt=True, return_dict=False
                )
            except Exception as error:  # a tokenizer of another library refuses what it likes
                raise TemplateError(reason_of(error)) from error
            return ids
        most = MOST_ADDED + MOST_TIMES * sum(len(each.role) + len(each.content) for each in messages)
        text = self._rendered(turns, most)
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _is_rendered_by_jinja(self) -> bool:
        """Return False for a tokenizer that renders in its own way (mistral-common), or where there is no fork."""
        from transformers import PreTrainedTokenizerBase

        own = getattr(type(self._tokenizer), "apply_chat_template", None)
        return can_fork() and own is PreTrainedTokenizerBase.apply_chat_template

    def _rendered(self, turns: list[dict[str, str]], most: int) -> str:
        if self._problem is not None:  # of one conversation the next ones need not wait
            raise TemplateError(self._problem)
        begun_s = time.monotonic()
        try:
            answer = self._process.ask([turns, most], time_s=TIME_S)
        except LimitError as error:
            self._give_up(str(error))
        self._count(time.monotonic() - begun_s)
        if "limit" in answer:
            self._give_up(str(answer["limit"]))
        if "refused" in answer:
            raise TemplateError(str(answer["refused"]))
        return str(answer["text"])

    def _count(self, taken_s: float) -> None:
        self._rendered_count, self._spent_s = self._rendered_count + 1, self._spent_s + taken_s
        if self._spent_s > ALL_S + EACH_S * self._rendered_count:
            self._give_up(
                f"it takes {self._spent_s:.0f} s for {self._rendered_count} conversations, and {ALL_S:g} s and "
                f"{EACH_S:g} s for each are the most"
            )

    def _give_up(self, problem: str) -> NoReturn:
        self._process.__exit__(None, None, None)
        self._problem = problem
        raise TemplateError(problem)

    def _answer(self, question: Any) -> dict[str, str]:
        """Return a conversation's text, or why there is none. Runs in the child."""
        turns, most = question
        try:
            text = self._tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
            text.encode()
        except MemoryError:
            raise
        except Exception as error:  # a template raises what its author chose
            return {"refused": reason_of(error)}
        if len(text) > most:
            return {
                "limit": f"it makes {len(text):,} characters of a conversation, for which at most {most:,} are taken"
            }
        return {"text": text}
