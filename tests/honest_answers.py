"""Answers of servers that count truly, in all the ways in which true counts look odd; and the same with a lie.

    speaker = Speaker(tokenizer, seed=0)
    with ScriptedServer({"honest": speaker.script(), "half": speaker.script(["half"])}) as server:
        ...  # a prompt with `answer 17` in it gets the 17th, and so does the 17th request with token ids

An answer ends of itself, or at its limit. Its end-of-sequence token is counted or not. Bytes are held back until they
are text; tokens come singly, in bundles, or are cut anew into other chunks.
Some answers have a part parsed as thoughts or as a tool call, and the marks around it are tokens without text. A lie is
told of plain text that ends of itself and has 40 tokens or more: of what there is evidence for.
"""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from standins.scripted_server import DONE, Asked, chunk, counts, sse, usage_event
from tokenizers_of_all_kinds import some_text

Lie = Literal["half", "double", "zero", "prompt_cut"]
OF_OUTPUT: tuple[Lie, ...] = ("half", "double", "zero")
"""Lies about the tokens of the answer, whatever its prompt."""

NO_TEXT = "\ufffd"
LEAST_OF_A_LIE = 40


@dataclass(frozen=True)
class Shape:
    """The way an answer is sent. `unseen` tokens have no text: the end's, marks around parts, a stop string's."""

    part: Literal["content", "reasoning", "tool_call"] = "content"
    cut: Literal["tokens", "bundles", "letters", "paragraphs"] = "tokens"
    usage: Literal["last", "running", "beside"] = "last"
    unseen: int = 0
    ends_itself: bool = True
    names_thoughts: bool = False

    @property
    def reason(self) -> str:
        """The finish reason."""
        return "length" if not self.ends_itself else "tool_calls" if self.part == "tool_call" else "stop"


class Speaker:
    """A model of nothing but a tokenizer; what it says is drawn from `seed` and the number of an answer.

    `stops`: a stop string ends its answers. `like_dummy_weights`: any token follows any, and some bytes are no
    text.
    """

    def __init__(self, tokenizer: Any, seed: int = 0, *, stops: bool = False, like_dummy_weights: bool = False) -> None:
        self.tokenizer = tokenizer
        self._backend = self.tokenizer.backend_tokenizer
        special = set(self.tokenizer.all_special_ids)
        self._ordinary = [number for number in range(len(self.tokenizer)) if number not in special]
        self._legible = [number for number in self._ordinary if self._is_text([number])]
        self._known = set(self._ordinary)
        self._seed = seed
        self._stops = stops
        self._dummy = like_dummy_weights

    def script(self, lies: Sequence[Lie] = ()) -> Callable[[Asked], list[bytes]]:
        """Return the script of a server that gives its answers, each with one of the lies, if there are any."""

        def answered(asked: Asked) -> list[bytes]:
            found = re.search(r"answer (\d+)", asked.text)
            draw = random.Random(f"{self._seed} {found[1] if found else asked.number}")  # noqa: S311
            plain = bool(lies) or self._dummy or "prompt" in asked.body
            ends = asked.limit > 1 and not asked.body.get("ignore_eos") and (plain or draw.random() < 0.7)
            shape = _shape(draw, asked.limit, plain=plain, stops=self._stops, ends_itself=ends)
            least = min(asked.limit - 1, LEAST_OF_A_LIE + 8 if plain else shape.unseen + 1)
            tokens = draw.randint(least, asked.limit - 1) if shape.ends_itself else asked.limit
            pieces = self._spoken(draw, tokens - shape.unseen, whole=shape.ends_itself)
            usage = counts(self._prompt_tokens(draw, asked.body), len(pieces) + shape.unseen)
            lie = draw.choice(lies) if lies else None
            if shape.names_thoughts:
                usage["completion_tokens_details"] = {"reasoning_tokens": len(pieces) // 2}
            return [b"".join(_sent(draw, "messages" in asked.body, pieces, shape, usage, lie))]

        return answered

    def _spoken(self, draw: random.Random, tokens: int, *, whole: bool) -> list[str]:
        """Return the text that each token completed: of texts as they are cut, some tokens in the place of others.

        Where it is `whole`, no bytes in it are no text, and it may be a few tokens shorter.
        """
        others = self._ordinary if self._dummy else self._legible
        strange = 1.0 if self._dummy else draw.choice((0.0, 0.0, 0.05, 0.2, 0.4))
        ids = self._cut(draw, tokens)
        mixed = [draw.choice(others) if draw.random() < strange else number for number in ids]
        if whole and not self._dummy:
            mixed = mixed if self._is_text(mixed) else ids
            while not self._is_text(mixed):
                mixed.pop()
            mixed = mixed or self._legible[:1]
        return self._pieces(mixed)

    def _is_text(self, ids: list[int]) -> bool:
        return NO_TEXT not in self._backend.decode(ids, skip_special_tokens=True)

    def _cut(self, draw: random.Random, tokens: int) -> list[int]:
        found: list[int] = []
        while len(found) < tokens:
            ids = self._backend.encode(some_text(draw), add_special_tokens=False).ids
            found += [number for number in ids if number in self._known]
        return found[:tokens]

    def _pieces(self, ids: list[int]) -> list[str]:
        """Return the text that each token completes; bytes are held back until they are text, or all is over."""
        whole, said, pieces = self._backend.decode(ids, skip_special_tokens=True), 0, []
        for number in range(1, len(ids)):
            so_far = self._backend.decode(ids[:number], skip_special_tokens=True).rstrip(NO_TEXT)
            ready = max(said, len(so_far)) if whole.startswith(so_far) else said
            pieces.append(whole[said:ready])
            said = ready
        return [*pieces, whole[said:]]

    def _prompt_tokens(self, draw: random.Random, body: dict[str, Any]) -> int:
        """Return the tokens of a prompt: of ids and texts with BOS and EOS or without, of chats with any template."""
        if (prompt := body.get("prompt")) is not None:
            ids = prompt if isinstance(prompt, list) else self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
            return len(ids) + draw.randint(0, 2)
        rendered = self.tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True, return_dict=True)
        return len(rendered["input_ids"]) + draw.choice((0, 0, 1, 30))


def _shape(draw: random.Random, limit: int, *, plain: bool, stops: bool, ends_itself: bool) -> Shape:
    part = "content" if plain or stops else draw.choice(("content", "content", "reasoning", "tool_call"))
    marks = {"content": 0, "reasoning": draw.randint(1, 4), "tool_call": draw.randint(2, 14)}[part]
    at_end = (draw.randint(0, 4) if stops else draw.randint(0, 1)) if ends_itself else 0
    cut = draw.choice(("tokens", "tokens", "bundles", "letters", "paragraphs"))
    return Shape(
        part=part,
        cut=cut,
        usage=draw.choice(("last", "running", "beside") if cut in ("tokens", "bundles") else ("last", "beside")),
        unseen=min(marks + at_end, limit - 1),
        ends_itself=ends_itself,
        names_thoughts=part == "reasoning" and draw.random() < 0.5,
    )


def three_tokens_that_are_cut_into_more(tokenizer: Any) -> str:
    """Return the text of three tokens that the tokenizer would cut otherwise, into four or more."""
    backend = tokenizer.backend_tokenizer
    draw, special = random.Random(0), set(tokenizer.all_special_ids)  # noqa: S311
    ordinary = [number for number in range(len(tokenizer)) if number not in special]
    while True:
        text = backend.decode(draw.choices(ordinary, k=3))
        if NO_TEXT not in text and len(backend.encode(text, add_special_tokens=False).ids) > 3:
            return text


def _lied(usage: dict[str, Any], lie: Lie | None) -> dict[str, Any]:
    """Return a usage with the lie in it, whose total adds up."""
    if lie is None:
        return usage
    prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
    told = {"half": completion // 2, "double": 2 * completion, "zero": 0}
    return counts(prompt // 2 if lie == "prompt_cut" else prompt, told.get(lie, completion))


def _sent(
    draw: random.Random, in_chat: bool, pieces: list[str], shape: Shape, usage: dict[str, Any], lie: Lie | None
) -> Iterator[bytes]:
    """Yield the events of an answer."""
    chunks = list(_chunks(draw, pieces, shape))
    for number, (text, so_far) in enumerate(chunks):
        running = _lied(counts(usage["prompt_tokens"], so_far), lie) if shape.usage == "running" else None
        yield _event(_said(text, number, len(chunks), shape), text, None, in_chat, running)
    yield _event({}, "", shape.reason, in_chat, _lied(usage, lie) if shape.usage == "beside" else None)
    if shape.usage != "beside":
        yield usage_event(_lied(usage, lie))
    yield DONE


def _chunks(draw: random.Random, pieces: list[str], shape: Shape) -> Iterator[tuple[str, int]]:
    """Yield each chunk's text, and the tokens so far."""
    text, done = "".join(pieces), 0
    if shape.cut in ("letters", "paragraphs"):
        most = 2 if shape.cut == "letters" else 60
        while done < len(text):
            letters = draw.randint(1, most)
            yield text[done : done + letters], len(pieces)
            done += letters
        return
    while done < len(pieces):
        tokens = 1 if shape.cut == "tokens" else draw.randint(1, 6)
        said = "".join(pieces[done : done + tokens])
        done = min(done + tokens, len(pieces))
        if said or draw.random() < 0.5:
            yield said, done


def _said(text: str, number: int, chunks: int, shape: Shape) -> dict[str, Any]:
    """Return the delta of a chunk."""
    if shape.part == "tool_call":
        function = {"name": "lookup", "arguments": text} if number == 0 else {"arguments": text}
        return {"tool_calls": [{"index": 0, "type": "function", "function": function}]}
    if shape.part == "reasoning" and number < chunks // 2:
        return {"reasoning_content": text}
    return {"content": text}


def _event(delta: dict[str, Any], text: str, reason: str | None, in_chat: bool, usage: Any) -> bytes:
    said = {"delta": delta} if in_chat else {"text": text}
    return sse(chunk([{"index": 0, **said, "finish_reason": reason}], usage=usage))


def prompts(numbers: Iterable[int]) -> list[str]:
    """Return a prompt for each answer of these numbers."""
    return [f"Please say answer {number}, in whatever words." for number in numbers]
