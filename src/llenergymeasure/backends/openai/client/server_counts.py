"""The token counts of one answer, in whatever event and under whatever names the server gives them.

Sources of the names: OpenAI's chat completions (`prompt_tokens`, ..., with `..._details`) and Responses, whose names
gateways pass on (`input_tokens`, ...); SGLang (`reasoning_tokens` beside the counts); DeepSeek
(`prompt_cache_hit_tokens`); Moonshot (`cached_tokens`, and usage within the choice); Groq (`x_groq.usage`); Anthropic
(`cache_read_input_tokens`); llama.cpp's server (`timings`: tokens in context are prompt_n + cache_n + predicted_n).
"""

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any

from llenergymeasure.backends.openai.client.count_bounds import ANY_REQUEST, MostTokens
from llenergymeasure.backends.openai.client.records import ServerCounts

INPUT = ("prompt_tokens", "input_tokens")
OUTPUT = ("completion_tokens", "output_tokens")
INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")
REASONING = ("reasoning_tokens", ("reasoning_tokens",))
REJECTED = "rejected_prediction_tokens"
CACHED = ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
BESIDE_OUTPUT = (*INPUT, *INPUT_DETAILS, *OUTPUT_DETAILS, *CACHED, *REASONING[1])


class CountReader:
    """Takes the counts of one answer as they come, and tells what they say in all (`totals`) and of each chunk.

    What is no whole number counts nothing, nor what is beyond `most`: it takes no other count's place. Of counts with
    each chunk some servers give the sum so far, as OpenAI's do, others each chunk's own. They are its own where they
    fall, or stay the same and are fewer than the chunks.
    """

    def __init__(self, most: MostTokens = ANY_REQUEST) -> None:
        self._most_input, self._most_output = most
        self._input: int | None = None
        self._cached: int | None = None
        self._reasoning: int | None = None
        self._rejected: int | None = None
        self._total: int | None = None
        self._kept: tuple[Any, ...] = ()
        self._last: int | None = None
        self._last_has_text = False
        self._most = self._before_last = 0
        self._with_text = 0
        self._last_with_text = 0
        self._fell = self._rose = False
        self._finals: tuple[int, ...] = ()

    def read(self, message: Mapping[str, Any], text: str = "") -> int | None:
        """Take the counts of an event or an answer, with the text of it, and return its output tokens; None where it
        gives none."""
        has_text = bool(text)
        self._most_output += len(text)
        if has_text and self._finals:
            self._finals = ()  # of an answer that was not yet whole
        usage = message.get("usage")
        if type(usage) is not dict and (usage := _usage_elsewhere(message)) is None:
            return None
        self._keep(usage)
        output, total = _first(usage, OUTPUT, self._most_output), self._whole_total(usage)
        if output is None:
            self._total = total if self._last is None else self._total
            return None
        self._before_last += self._last or 0
        if total is not None or output != self._last:
            self._total = total
        self._last, self._last_has_text = output, has_text
        if output > self._most:
            self._most = output
        if not has_text and not message.get("choices"):
            known = [*self._finals, *([output] if output else [])]  # a zero is a count that nobody filled in
            self._finals = (min(known), max(known)) if known else ()
        if has_text:
            if output > self._last_with_text:
                self._rose = self._rose or self._with_text > 0
            elif output < self._last_with_text:
                self._fell = True
            self._with_text += 1
            self._last_with_text = output
        return output

    def _keep(self, usage: Mapping[str, Any]) -> None:
        """Keep the largest of all counts but the output's; they are the same in nearly every chunk."""
        given = tuple(map(usage.get, BESIDE_OUTPUT))
        if given == self._kept:
            return
        self._kept = given
        most_input, most_output = self._most_input, self._most_output
        self._input = _larger(self._input, _first(usage, INPUT, most_input))
        self._cached = _larger(self._cached, _detail(usage, INPUT_DETAILS, "cached_tokens", CACHED, most_input))
        self._reasoning = _larger(self._reasoning, _detail(usage, OUTPUT_DETAILS, *REASONING, most_output))
        self._rejected = _larger(self._rejected, _detail(usage, OUTPUT_DETAILS, REJECTED, (), most_output))

    def _whole_total(self, usage: Mapping[str, Any]) -> int | None:
        return _whole(usage.get("total_tokens"), self._most_input + self._most_output)

    @property
    def are_each_chunks_own(self) -> bool:
        """True where the counts that came with text are of that text alone."""
        return self._fell or (self._with_text > 1 and not self._rose and self._last_with_text < self._with_text)

    def totals(self) -> ServerCounts:
        """Return the counts of the whole answer."""
        output, total = self._last, self._total
        if output is not None and self.are_each_chunks_own:
            if self._last_has_text or output < self._before_last:
                output, total = self._before_last + output, None
        elif output is not None and output < self._most:
            output, total = self._most, None
        return ServerCounts(
            self._input, output, total, self._reasoning, self._cached, self._other(output), self._rejected
        )

    def _other(self, output: int | None) -> int | None:
        """Return the final count that is farthest from this one; None where all are the same, or each chunk's own."""
        if output is None or not self._finals or self.are_each_chunks_own:
            return None
        other = max(self._finals, key=lambda each: abs(each - output))
        return None if other == output else other

    def by_chunk(self, counted: Sequence[int | None]) -> Iterator[int | None]:
        """Yield the tokens of each chunk, None where they are not known; `counted` is what was said when it came.

        A chunk at which a count has not risen brought none: a text that was cut anew. One at which it has not begun to
        count is not known.
        """
        if self.are_each_chunks_own:
            yield from (own or None for own in counted)
            return
        before: int | None = 0
        for so_far in counted:
            yield None if before is None or not so_far or so_far < before else so_far - before
            before = so_far


def _larger(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)


def _usage_elsewhere(message: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the usage that is not at the top: of the choice, of Groq's own field, or llama.cpp's timings as one."""
    choices = message.get("choices")
    choice = choices[0] if type(choices) is list and choices else None
    if type(choice) is dict and type(usage := choice.get("usage")) is dict:
        return usage
    if "x_groq" in message and type(own := message["x_groq"]) is dict and type(usage := own.get("usage")) is dict:
        return usage
    if "timings" not in message or type(timings := message["timings"]) is not dict:
        return None
    asked, cached = _whole(timings.get("prompt_n")), _whole(timings.get("cache_n"))
    whole = None if asked is None or cached is None else asked + cached  # `prompt_n` lacks what the cache had
    return {"prompt_tokens": whole, "completion_tokens": timings.get("predicted_n"), "cached_tokens": cached}


def _detail(usage: Mapping[str, Any], places: Sequence[str], name: str, beside: Sequence[str], most: int) -> int | None:
    for place in places:
        if type(details := usage.get(place)) is dict and (found := _whole(details.get(name), most)) is not None:
            return found
    return _first(usage, beside, most)


def _first(usage: Mapping[str, Any], names: Sequence[str], most: int) -> int | None:
    for name in names:
        if name in usage and (found := _whole(usage[name], most)) is not None:
            return found
    return None


def _whole(value: Any, most: float = inf) -> int | None:
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= most else None
